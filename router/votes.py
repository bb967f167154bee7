"""A vote on clips as it is counted: whose clip it was, in which use case, and what was held of its maker."""

from __future__ import annotations

from collections.abc import Sequence

from models.errors import InvalidRequest, NotReady
from policies.quality import evidence, rated, use_case
from router.binding import LEARNING
from router.engine import RouteEngine, route_request_from_job
from router.jobs.records import Attempt, AttemptStatus, Ballot, Job, JobStatus


def ballot(job: Job, attempts: Sequence[Attempt], engine: RouteEngine, *, param: str = "video_id") -> Ballot:
    """The clip of a job as a vote sees it.

    A clip of a model that has left the catalog is voted on in no cell: the vote is kept and moves nothing.

    Raises:
        NotReady: the job is not completed.
    """
    made = next((a for a in attempts if a.status is AttemptStatus.COMPLETED), None)
    if job.status is not JobStatus.COMPLETED or made is None:
        raise NotReady(f"job {job.id} has no clip to rate: it is {job.status}", param=param)
    request = route_request_from_job(job, job.created_at)
    card = engine.catalog.cards.get(made.model)
    return Ballot(
        job_id=job.id,
        model=made.model,
        offer=made.offer,
        use_case=use_case(request) if card is not None else None,
        elo=rated(card, evidence(request)).elo if card is not None else None,
        reference_elo=engine.policies.profile(request.objective).reference_elo,
        decided=str(made.decision.get(LEARNING, "learned")),
    )


def check_pair(better: Job, worse: Job) -> None:
    """Two clips can be compared when they were made of one photograph.

    Raises:
        InvalidRequest: they are the same job, or show different photographs.
    """
    if better.id == worse.id:
        raise InvalidRequest("better_than: a clip cannot be better than itself", param="better_than")
    if better.status is not JobStatus.COMPLETED or worse.status is not JobStatus.COMPLETED:
        return  # the ballot says it better
    if _photographs(better).isdisjoint(_photographs(worse)):
        raise InvalidRequest(
            f"better_than: {worse.id} shows another photograph than {better.id}; only clips "
            "of one photograph are compared",
            param="better_than",
        )


def _photographs(job: Job) -> set[str]:
    """What identifies the photograph: its key, which remixes and finals share, and the hash of its bytes."""
    found = {job.request["media"]["image"], job.request.get("photograph")}
    return {str(name) for name in found if name is not None}
