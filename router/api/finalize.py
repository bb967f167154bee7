"""`POST /v1/videos/{id}/finalize`: a preview again, at full quality."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from router.api.context import ClientRetry, Context, IdempotencyKey, JobId, Tenant
from router.api.intake import read_json
from router.api.remix import shared
from router.api.submission import Caller, accepted, submit
from router.api.view import Video
from router.finals import final_clip
from router.schemas import FinalizeVideo, parse

router = APIRouter(tags=["videos"])


@router.post("/v1/videos/{video_id}/finalize", status_code=202, responses={202: {"model": Video}})
async def finalize_video(
    video_id: JobId,
    request: Request,
    context: Context,
    tenant: Tenant,
    key: IdempotencyKey,
    retry: ClientRetry,
) -> Response:
    """A new job with the photograph, words, seed and asked playing time of a completed preview, for quality.

    The body may set what it may take and where it may be made. The same request again is the same job.
    """
    wishes = parse(FinalizeVideo, await read_json(request, optional=True))
    caller = Caller(tenant, key, retry)
    preview = await context.store.get(video_id, tenant)
    clip = context.engine.known(final_clip(preview, wishes))
    inputs, image = await shared(context, preview, clip.prompt)
    created = await submit(
        context, clip, image.features, inputs, caller, notes=image.notes, finalizes=preview.id
    )
    return accepted(created)
