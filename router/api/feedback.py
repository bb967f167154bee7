"""`POST /v1/videos/{id}/feedback`: a thumb, or a comparison; both teach which model suits what."""

from __future__ import annotations

from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.responses import Response

from models.errors import JobNotFound
from router.api.context import Context, JobId, Tenant, job_id
from router.api.intake import read_json
from router.api.videos import json_answer
from router.jobs.records import Vote
from router.schemas import Feedback, parse
from router.votes import ballot, check_pair

router = APIRouter(tags=["videos"])


class FeedbackTaken(BaseModel):
    """The answer to feedback."""

    id: str
    object: str = "video.feedback"
    rating: int | None
    better_than: str | None
    model: str
    """The card that the vote is about."""
    use_case: str | None
    """In which use of the model it counts; None: the model has left the catalog, so it counts in none."""


@router.post("/v1/videos/{video_id}/feedback", responses={200: {"model": FeedbackTaken}})
async def rate_video(video_id: JobId, request: Request, context: Context, tenant: Tenant) -> Response:
    """A thumb up (1) or down (-1), or another clip of the same photograph that this one is better than.

    It moves what the router holds of the model in this use. A later word on the same clip (or the same two)
    takes the place of the earlier one.
    """
    feedback = parse(Feedback, await read_json(request))
    rated = await context.store.standing(video_id, tenant)
    mine = ballot(rated.job, rated.attempts, context.engine)
    over = None
    if feedback.better_than is not None:
        try:
            other = await context.store.standing(await job_id(feedback.better_than), tenant)
        except JobNotFound:
            raise JobNotFound(f"better_than: no job {feedback.better_than!r}", param="better_than") from None
        check_pair(rated.job, other.job)
        over = ballot(other.job, other.attempts, context.engine, param="better_than")
    vote = Vote(tenant, mine, feedback.rating or 1, over, feedback.comment)
    await context.store.vote(vote)
    return json_answer(
        FeedbackTaken(
            id=video_id,
            rating=feedback.rating,
            better_than=feedback.better_than,
            model=mine.model,
            use_case=mine.use_case,
        )
    )
