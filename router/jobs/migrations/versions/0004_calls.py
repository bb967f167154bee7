"""Calls to providers: what was sent, what it cost; pools say on whose machines they run."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"

DOCUMENT = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    op.add_column("jobs", sa.Column("open_call", sa.Text(), nullable=True))
    op.add_column("jobs", sa.Column("spent_usd", sa.Double(), nullable=False, server_default="0"))
    op.add_column("jobs", sa.Column("ceiling_usd", sa.Double(), nullable=True))
    op.add_column("pools", sa.Column("backend", sa.Text(), nullable=False, server_default="local"))
    op.create_table(
        "calls",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("offer", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("marker", DOCUMENT, nullable=False),
        sa.Column("usd", sa.Double(), nullable=False),
        sa.Column("intended_at", sa.Double(), nullable=False),
        sa.Column("ticket", sa.Text(), nullable=True),
        sa.Column("urls", DOCUMENT, nullable=False),
        sa.Column("submitted_at", sa.Double(), nullable=True),
        sa.Column("heard_at", sa.Double(), nullable=True),
        sa.Column("closed_at", sa.Double(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.CheckConstraint("state IN ('intended', 'submitted', 'closed')", name="ck_calls_state"),
        sa.CheckConstraint(
            "(state = 'closed') = (closed_at IS NOT NULL) AND (closed_at IS NULL) = (outcome IS NULL)",
            name="ck_calls_closed",
        ),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_calls_job_id"),
        sa.PrimaryKeyConstraint("id", name="pk_calls"),
    )
    op.create_index("ix_calls_job", "calls", ["job_id"])
    op.create_index("ix_calls_account", "calls", ["provider", "account", "intended_at", "usd"])
    op.create_index("ix_calls_ticket", "calls", ["provider", "account", "ticket"])
    still_open = sa.text("closed_at IS NULL")
    op.create_index(
        "ix_calls_open",
        "calls",
        ["provider", "account", "intended_at"],
        sqlite_where=still_open,
        postgresql_where=still_open,
    )
    op.create_index(
        "uq_calls_open",
        "calls",
        ["job_id"],
        unique=True,
        sqlite_where=still_open,
        postgresql_where=still_open,
    )
