"""Votes with the cell they count in, what they add up to, previews and their finals, estimates as columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"

DOCUMENT = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
JOBS = sa.table(
    "jobs",
    sa.column("id", sa.Text()),
    sa.column("status", sa.Text()),
    sa.column("fence", sa.Integer()),
    sa.column("routing", DOCUMENT),
    sa.column("estimate_model", sa.Text()),
    sa.column("estimate_offer", sa.Text()),
    sa.column("estimate_seconds", sa.Double()),
    sa.column("estimate_gpu_seconds", sa.Double()),
)
ATTEMPTS = sa.table(
    "attempts",
    sa.column("job_id", sa.Text()),
    sa.column("fence", sa.Integer()),
    sa.column("model", sa.Text()),
    sa.column("offer", sa.Text()),
)


def upgrade() -> None:
    for name, kind in (
        ("estimate_model", sa.Text()),
        ("estimate_offer", sa.Text()),
        ("estimate_seconds", sa.Double()),
        ("estimate_gpu_seconds", sa.Double()),
        ("finalizes", sa.Text()),
        ("finalized_by", sa.Text()),
    ):
        op.add_column("jobs", sa.Column(name, kind, nullable=True))
    _fill_estimates()
    op.create_index("ix_attempts_finished", "attempts", ["finished_at"])
    _renew_feedback()
    op.create_table(
        "beliefs",
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("use_case", sa.Text(), nullable=False),
        sa.Column("elo_offset", sa.Double(), nullable=False),
        sa.Column("precision", sa.Double(), nullable=False),
        sa.Column("votes", sa.Integer(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("model", "use_case", name="pk_beliefs"),
    )
    op.create_table(
        "tallies",
        sa.Column("slice", sa.Text(), nullable=False),
        sa.Column("likes", sa.Integer(), nullable=False),
        sa.Column("votes", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("slice", name="pk_tallies"),
    )


def _fill_estimates() -> None:
    """Jobs that are not final count in the backlog; the others are only counted for an hour."""
    connection = op.get_bind()
    live = sa.select(JOBS.c.id, JOBS.c.routing).where(JOBS.c.status.in_(["queued", "in_progress"]))
    for row in connection.execute(live).all():
        chosen: Mapping[str, Any] = row.routing.get("chosen") or {}
        predicted: Mapping[str, Any] = chosen.get("predicted") or {}
        connection.execute(
            sa.update(JOBS)
            .where(JOBS.c.id == row.id)
            .values(
                estimate_model=chosen.get("model"),
                estimate_offer=chosen.get("offer"),
                estimate_seconds=predicted.get("seconds"),
                estimate_gpu_seconds=predicted.get("gpu_seconds"),
            )
        )


def _renew_feedback() -> None:
    """Thumbs of before name their model from now on; without a cell they do not count."""
    connection = op.get_bind()
    columns = ("job_id", "tenant", "rating", "comment", "at")
    old = sa.table("feedback", *(sa.column(name) for name in columns))
    rows = connection.execute(
        sa.select(*(old.c[name] for name in columns), ATTEMPTS.c.model, ATTEMPTS.c.offer)
        .join_from(old, JOBS, JOBS.c.id == old.c.job_id)
        .join(ATTEMPTS, (ATTEMPTS.c.job_id == JOBS.c.id) & (ATTEMPTS.c.fence == JOBS.c.fence))
    ).all()
    op.drop_table("feedback")
    renewed = op.create_table(
        "feedback",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("other", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("rating", sa.Integer(), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("offer", sa.Text(), nullable=False),
        sa.Column("use_case", sa.Text(), nullable=True),
        sa.Column("elo", sa.Double(), nullable=True),
        sa.Column("reference_elo", sa.Double(), nullable=True),
        sa.Column("decided", sa.Text(), nullable=False),
        sa.Column("other_model", sa.Text(), nullable=True),
        sa.Column("other_elo", sa.Double(), nullable=True),
        sa.CheckConstraint("rating IN (-1, 1)", name="ck_feedback_rating"),
        sa.CheckConstraint("other = '' OR rating = 1", name="ck_feedback_pair"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_feedback_job_id"),
        sa.PrimaryKeyConstraint("job_id", "other", name="pk_feedback"),
    )
    op.create_index("ix_feedback_cell", "feedback", ["use_case", "at"])
    if rows:
        kept = [{**row._mapping, "other": "", "decided": "learned"} for row in rows]
        op.bulk_insert(renewed, kept)
