"""`POST /v1/videos/{id}/remix`: the same photograph with other words."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request
from starlette.responses import Response

from router.api.context import ClientRetry, Context, GatewayContext, IdempotencyKey, JobId, Tenant
from router.api.intake import Prepared, read_json
from router.api.submission import Caller, Inputs, accepted, prepare_image, replayed, submit
from router.api.view import Video
from router.engine import StoredImage, clip_from_json, clip_request, stored_drivers_of
from router.jobs.records import Job
from router.schemas import RemixVideo, parse

router = APIRouter(tags=["videos"])


@router.post("/v1/videos/{video_id}/remix", status_code=202, responses={202: {"model": Video}})
async def remix_video(
    video_id: JobId,
    request: Request,
    context: Context,
    tenant: Tenant,
    key: IdempotencyKey,
    retry: ClientRetry,
) -> Response:
    """A new job with the source's photograph and wishes; what the body says replaces them.

    Both jobs share the photograph; the job store keeps it until the last of them is deleted.
    """
    wishes = parse(RemixVideo, await read_json(request))
    caller = Caller(tenant, key, retry)
    earlier = await replayed(context, video_id, caller, wishes)
    if earlier is not None:
        return accepted(earlier)
    source = await context.store.get(video_id, tenant)
    inputs, image = await shared(context, source, wishes.prompt)
    clip = context.engine.known(clip_request(wishes, image.size, clip_from_json(source.request)))
    created = await submit(
        context, clip, image.features, inputs, caller, notes=image.notes, remixed_from=source.id
    )
    return accepted(created)


async def shared(context: GatewayContext, source: Job, prompt: str) -> tuple[Inputs, Prepared]:
    """The media of a job for another one, and its photograph read anew: advice depends on the words too."""
    media = source.request["media"]
    photograph = source.request.get("photograph")
    image = StoredImage(media["image"], media["image"], photograph)
    last = StoredImage(media["last_image"], media["last_image"]) if media["last_image"] is not None else None
    return Inputs(image, last, stored_drivers_of(source)), await _again(context, media["image"], prompt)


async def _again(context: GatewayContext, key: str, prompt: str) -> Prepared:
    """A stored photograph, read anew: what to advise depends on the words too."""
    content = await asyncio.to_thread(context.media.read, key)
    return await prepare_image(context, content, prompt, "video_id")
