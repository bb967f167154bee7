"""Tables of the job store. JSON is JSONB on PostgreSQL and text on SQLite; times are Unix seconds."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    and_,
    literal_column,
)
from sqlalchemy.dialects.postgresql import JSONB

REVISION = "0004"
"""Newest migration: a database at this revision needs no look at the migrations."""

metadata = MetaData(
    naming_convention={"pk": "pk_%(table_name)s", "fk": "fk_%(table_name)s_%(column_0_name)s"}
)

Document = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")

jobs = Table(
    "jobs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("prompt", Text, nullable=False),
    Column("request", Document, nullable=False),
    Column("features", Document, nullable=False),
    Column("routing", Document, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("due_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("lease_until", Double),  # of the newest attempt while it is dispatched or running
    Column("attempts", Integer, nullable=False),
    Column("max_attempts", Integer, nullable=False),
    Column("progress", Integer, nullable=False),
    Column("progress_detail", Document),
    Column("heartbeat_at", Double),
    Column("cancel_requested", Boolean, nullable=False),
    Column("not_before", Double, nullable=False),
    Column("excluded", Document, nullable=False),
    Column("started_at", Double),
    Column("finished_at", Double),
    Column("result", Document),
    Column("error", Document),
    Column("usage", Document),
    Column("remixed_from", Text),
    Column("retain_until", Double),
    Column("idempotency_key", Text),
    Column("fingerprint", Text, nullable=False),
    Column("last_event", Integer, nullable=False),  # seq of the newest event: makes them gapless
    Column("deleted_at", Double),
    Column("purged_at", Double),
    # What the newest decision predicts, as columns: thousands of waiting jobs are summed up at each look.
    Column("estimate_model", Text),
    Column("estimate_offer", Text),
    Column("estimate_seconds", Double),
    Column("estimate_gpu_seconds", Double),
    Column("finalizes", Text),  # the preview that this job makes again at full quality
    Column("finalized_by", Text),  # the newest such job of this preview
    Column("checkpoint", Document),  # where the next attempt can go on
    Column("open_call", Text),  # the call to a provider that the next attempt follows
    Column(
        "spent_usd", Double, nullable=False, server_default="0"
    ),  # what providers charged for it, or may have
    Column("ceiling_usd", Double),  # most that it may cost in all, once an outcome was unknown
    CheckConstraint(
        "status IN ('queued', 'in_progress', 'completed', 'failed', 'cancelled', 'expired')",
        name="ck_jobs_status",
    ),
    CheckConstraint(
        "lease_until IS NULL OR status IN ('queued', 'in_progress')", name="ck_jobs_lease_only_when_live"
    ),
    CheckConstraint(
        "progress >= 0 AND progress <= 100 AND (progress < 100 OR status = 'completed')",
        name="ck_jobs_progress",
    ),
)

# Literals, not bound parameters: SQLite uses a partial index only for a condition it can read.
WAITING = and_(jobs.c.status == literal_column("'queued'"), jobs.c.lease_until.is_(None))
"""A queued job that nobody has."""
_RETAINED = and_(jobs.c.retain_until.is_not(None), jobs.c.purged_at.is_(None))
VISIBLE = jobs.c.deleted_at.is_(None)
"""A job that was not deleted."""

Index(
    "ix_jobs_queue",
    jobs.c.priority.desc(),
    jobs.c.due_at,
    jobs.c.created_at,
    jobs.c.id,
    sqlite_where=WAITING,
    postgresql_where=WAITING,
)
Index(
    "ix_jobs_lease",
    jobs.c.lease_until,
    sqlite_where=jobs.c.lease_until.is_not(None),
    postgresql_where=jobs.c.lease_until.is_not(None),
)
Index(
    "ix_jobs_listing",
    jobs.c.tenant,
    jobs.c.created_at,
    jobs.c.id,
    sqlite_where=VISIBLE,
    postgresql_where=VISIBLE,
)
Index("ix_jobs_status", jobs.c.status, sqlite_where=VISIBLE, postgresql_where=VISIBLE)
Index("ix_jobs_twin", jobs.c.tenant, jobs.c.fingerprint, jobs.c.created_at)
Index("ix_jobs_retention", jobs.c.retain_until, sqlite_where=_RETAINED, postgresql_where=_RETAINED)
Index("uq_jobs_idempotency", jobs.c.tenant, jobs.c.idempotency_key, unique=True)

attempts = Table(
    "attempts",
    metadata,
    Column("job_id", Text, ForeignKey("jobs.id"), primary_key=True),
    Column("fence", Integer, primary_key=True),
    Column("status", Text, nullable=False),
    Column("pool", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("offer", Text, nullable=False),
    Column("gpus", Integer, nullable=False),
    Column("worker", Text),
    Column("decision", Document, nullable=False),
    Column("dispatched_at", Double, nullable=False),
    Column("started_at", Double),
    Column("finished_at", Double),
    Column("error", Document),
    Column("gpu_seconds", Double),
    CheckConstraint(
        "status IN ('dispatched', 'running', 'completed', 'failed', 'lost', 'cancelled')",
        name="ck_attempts_status",
    ),
)
Index("ix_attempts_finished", attempts.c.finished_at)

events = Table(
    "events",
    metadata,
    Column("job_id", Text, ForeignKey("jobs.id"), primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("at", Double, nullable=False),
    Column("type", Text, nullable=False),
    Column("data", Document, nullable=False),
)

media = Table(
    "media",  # which job uses which key: a photograph may serve a job and its remixes
    metadata,
    Column("job_id", Text, ForeignKey("jobs.id"), primary_key=True),
    Column("key", Text, primary_key=True),
    Column("dropped_at", Double),  # the job needs it no more
)
Index("ix_media_key", media.c.key)
Index(
    "ix_media_dropped",
    media.c.dropped_at,
    sqlite_where=media.c.dropped_at.is_not(None),
    postgresql_where=media.c.dropped_at.is_not(None),
)

calls = Table(
    "calls",  # to providers: each is money, so it is written before it is sent
    metadata,
    Column("id", Text, primary_key=True),
    Column("job_id", Text, ForeignKey("jobs.id"), nullable=False),
    Column("fence", Integer, nullable=False),
    Column("provider", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("offer", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("marker", Document, nullable=False),
    Column("usd", Double, nullable=False),
    Column("intended_at", Double, nullable=False),
    Column("ticket", Text),
    Column("urls", Document, nullable=False),
    Column("submitted_at", Double),
    Column("heard_at", Double),
    Column("closed_at", Double),
    Column("outcome", Text),
    CheckConstraint("state IN ('intended', 'submitted', 'closed')", name="ck_calls_state"),
    CheckConstraint(
        "(state = 'closed') = (closed_at IS NOT NULL) AND (closed_at IS NULL) = (outcome IS NULL)",
        name="ck_calls_closed",
    ),
)
_OPEN = calls.c.closed_at.is_(None)
Index("ix_calls_job", calls.c.job_id)
# With the price, so that a cap is checked from the index alone.
Index("ix_calls_account", calls.c.provider, calls.c.account, calls.c.intended_at, calls.c.usd)
Index("ix_calls_ticket", calls.c.provider, calls.c.account, calls.c.ticket)
Index(
    "ix_calls_open",  # few of all: orphans are looked for every few seconds
    *(calls.c.provider, calls.c.account, calls.c.intended_at),
    sqlite_where=_OPEN,
    postgresql_where=_OPEN,
)
Index("uq_calls_open", calls.c.job_id, unique=True, sqlite_where=_OPEN, postgresql_where=_OPEN)

feedback = Table(
    "feedback",  # votes: a thumb for a clip (`other` empty), or a clip preferred over another
    metadata,
    Column("job_id", Text, ForeignKey("jobs.id"), primary_key=True),
    Column("other", Text, primary_key=True),  # job id of the clip that was liked less
    Column("tenant", Text, nullable=False),
    Column("rating", Integer, nullable=False),
    Column("comment", Text, nullable=False),
    Column("at", Double, nullable=False),
    Column("model", Text, nullable=False),
    Column("offer", Text, nullable=False),
    Column("use_case", Text),  # the cell that it is booked in; NULL: in none, it does not count
    Column("elo", Double),  # rating of the model for that use without what votes taught
    Column("reference_elo", Double),
    Column("decided", Text, nullable=False),  # learned, explore or hold_out
    Column("other_model", Text),
    Column("other_elo", Double),
    CheckConstraint("rating IN (-1, 1)", name="ck_feedback_rating"),
    CheckConstraint("other = '' OR rating = 1", name="ck_feedback_pair"),
)
Index("ix_feedback_cell", feedback.c.use_case, feedback.c.at)

beliefs = Table(
    "beliefs",  # what the votes of a cell add up to; always recomputed from `feedback`
    metadata,
    Column("model", Text, primary_key=True),
    Column("use_case", Text, primary_key=True),
    Column("elo_offset", Double, nullable=False),
    Column("precision", Double, nullable=False),
    Column("votes", Integer, nullable=False),
    Column("updated_at", Double, nullable=False),
)

tallies = Table(
    "tallies",  # thumbs on clips that were decided with beliefs (`learned`) and without (`hold_out`)
    metadata,
    Column("slice", Text, primary_key=True),
    Column("likes", Integer, nullable=False),
    Column("votes", Integer, nullable=False),
)

workers = Table(
    "workers",
    metadata,
    Column("id", Text, primary_key=True),
    Column("pool", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("offer", Text, nullable=False),
    Column("gpu", Text, nullable=False),
    Column("gang_size", Integer, nullable=False),
    Column("slots", Integer, nullable=False),
    Column("node", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("detail", Document, nullable=False),
    Column("registered_at", Double, nullable=False),
    Column("heartbeat_at", Double, nullable=False),
)

pools = Table(
    "pools",
    metadata,
    Column("name", Text, primary_key=True),
    Column("model", Text, nullable=False),
    Column("offer", Text, nullable=False),
    Column("gpu", Text, nullable=False),
    Column("gang_size", Integer, nullable=False),
    Column("min_replicas", Integer, nullable=False),
    Column("max_replicas", Integer, nullable=False),
    Column("healthy", Boolean, nullable=False),
    Column("reason", Text, nullable=False),
    Column("updated_at", Double, nullable=False),
    Column("backend", Text, nullable=False, server_default="local"),
)

calibration = Table(
    "calibration",
    metadata,
    Column("model", Text, primary_key=True),
    Column("offer", Text, primary_key=True),
    Column("gpu", Text, primary_key=True),
    Column("gpus", Integer, primary_key=True),
    Column("mean", Double, nullable=False),
    Column("variance", Double, nullable=False),
    Column("samples", Integer, nullable=False),
    Column("updated_at", Double, nullable=False),
)

meta = Table(
    "meta",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
    Column("at", Double, nullable=False),
)
