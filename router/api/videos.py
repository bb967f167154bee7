"""`/v1/videos`: create, list, retrieve, delete, cancel."""

from __future__ import annotations

import asyncio
import logging
from time import time
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel
from starlette.responses import Response

from models.errors import InvalidRequest, MediaUnavailable
from router.api.context import ClientRetry, Context, GatewayContext, IdempotencyKey, JobId, Tenant
from router.api.intake import images_of, reading
from router.api.submission import Caller, Inputs, accepted, prepare_image, submit
from router.api.uploads import prepare_drivers
from router.api.view import Video, VideoDeleted, VideoList, poll_after_ms, video
from router.engine import clip_request
from router.jobs.records import JobStatus, Standing
from router.schemas import CreateVideo, ListVideos

logger = logging.getLogger("router.gateway")
router = APIRouter(tags=["videos"])
NO_STORE = {"Cache-Control": "no-store"}


def json_answer(body: BaseModel, headers: dict[str, str] | None = None) -> Response:
    """A wire type as the answer; state changes, so nobody may keep it."""
    return Response(
        body.model_dump_json(), headers={**NO_STORE, **(headers or {})}, media_type="application/json"
    )


@router.post("/v1/videos", status_code=202, responses={202: {"model": Video}})
async def create_video(
    request: Request, context: Context, tenant: Tenant, key: IdempotencyKey, retry: ClientRetry
) -> Response:
    """Make a clip out of a photograph. Answers once the job is committed; follow it by id."""
    async with reading(request, CreateVideo) as (body, wishes):
        first, last = await images_of(body, wishes, context.settings.max_upload_bytes)
        if first is None:
            raise InvalidRequest(
                "input_reference is missing: send the photograph as a file or as a data: URI",
                param="input_reference",
            )
        image = await prepare_image(context, first[1], wishes.prompt or "", first[0])
        clip = context.engine.known(clip_request(wishes, image.size))
        end = await prepare_image(context, last[1], "", last[0]) if last is not None else None
        created = await submit(
            context,
            clip,
            image.features,
            Inputs(image, end, await prepare_drivers(context, body.drivers)),
            Caller(tenant, key, retry),
            notes=image.notes,
        )
    return accepted(created)


@router.get("/v1/videos", responses={200: {"model": VideoList}})
async def list_videos(query: Annotated[ListVideos, Query()], context: Context, tenant: Tenant) -> Response:
    """Jobs by creation time, newest first; `routing` and `attempts` are shown by retrieve only."""
    page = await context.store.list(
        tenant,
        after=query.after,
        limit=query.limit,
        descending=query.order == "desc",
        status=JobStatus(query.status) if query.status is not None else None,
    )
    now = time()
    shown = [video(job, now=now, full=False) for job in page.jobs]
    return json_answer(
        VideoList(
            data=shown,
            first_id=shown[0].id if shown else None,
            last_id=shown[-1].id if shown else None,
            has_more=page.has_more,
        )
    )


@router.get("/v1/videos/{video_id}", responses={200: {"model": Video}})
async def retrieve_video(video_id: JobId, context: Context, tenant: Tenant) -> Response:
    """One job. A failed one is a good answer (200) that says `failed`."""
    return await _shown(context, await context.store.standing(video_id, tenant))


@router.post("/v1/videos/{video_id}/cancel", responses={200: {"model": Video}})
async def cancel_video(video_id: JobId, context: Context, tenant: Tenant) -> Response:
    """Stop a job. A queued one ends at once, a running one at its next step; a final one stays as it is."""
    await context.store.cancel(video_id, tenant)
    context.wake_router()
    return await _shown(context, await context.store.standing(video_id, tenant))


@router.delete("/v1/videos/{video_id}", responses={200: {"model": VideoDeleted}})
async def delete_video(video_id: JobId, context: Context, tenant: Tenant) -> Response:
    """Cancel if needed and remove the job, its words and its media."""
    keys = list(await context.store.delete(video_id, tenant))
    context.wake_router()
    await _purge(context, keys)
    return json_answer(VideoDeleted(id=video_id))


async def _shown(context: GatewayContext, standing: Standing) -> Response:
    """The answer about one job, with how long to wait before asking again."""
    now = time()
    poll = poll_after_ms(standing.job, now)
    headers = {"openai-poll-after-ms": str(poll)} if poll is not None else None
    sent = any(attempt.decision.get("backend", "local") != "local" for attempt in standing.attempts)
    shown = video(
        standing.job,
        now=now,
        attempts=standing.attempts,
        queue_position=standing.queue_position,
        calls=await context.store.calls.of_job(standing.job.id) if sent else (),
    )
    return json_answer(shown, headers)


async def _purge(context: GatewayContext, keys: list[str]) -> None:
    """Delete media now; what the media store refuses stays on the store's list of garbage."""
    if not keys:
        return
    try:
        await asyncio.to_thread(context.media.delete, keys)
    except MediaUnavailable as error:
        logger.warning("purge left to the reaper: %s", error.message)
        return
    await context.store.forget_garbage(keys)
