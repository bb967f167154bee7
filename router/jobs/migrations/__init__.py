"""Schema history of the job store (Alembic); `router.jobs.migrate` runs it."""
