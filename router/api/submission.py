"""From a checked request to a committed job: the one path that create and remix share."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from time import time
from uuid import uuid4

from starlette.responses import Response

from models.errors import I2VError, IdempotencyMismatch
from router.api.context import GatewayContext
from router.api.intake import Prepared, prepare
from router.api.view import video
from router.engine import ClipRequest, StoredImage, new_job, route_request
from router.jobs.records import Created
from router.media import photograph_key

logger = logging.getLogger("router.gateway")


async def prepare_image(context: GatewayContext, content: bytes, prompt: str, field: str) -> Prepared:
    """`prepare` in a thread, with few at a time."""
    async with context.decoders:
        return await asyncio.to_thread(
            prepare, content, prompt, field=field, max_pixels=context.settings.max_image_pixels
        )


async def submit(
    context: GatewayContext,
    clip: ClipRequest,
    image: Prepared,
    last_image: Prepared | None,
    *,
    tenant: str,
    idempotency_key: str | None,
    client_retry: int,
    remixed_from: str | None = None,
) -> Created:
    """Decide, store the images, commit the job, wake the Router.

    Nothing is stored before the decision found a model. Images of a request that turns out to be a replay
    are dropped again; when the commit's outcome is unknown they stay, for the job may exist.

    Raises:
        UnknownModel, InvalidRequest: the request names a model that does not exist.
        NoRoute, FleetUnavailable: nothing can take it.
        MediaUnavailable, StoreUnavailable: nothing was accepted.
        IdempotencyMismatch: the key came before with another request.
    """
    request = route_request(clip, image.features, has_last_image=last_image is not None, tenant=tenant)
    decision = context.engine.estimate(request, await context.fleet())
    if image.notes:
        decision = replace(decision, advice=(*decision.advice, *image.notes))
    stored = await _store_image(context, image)
    keys = [stored.key]
    stored_last = None
    try:
        if last_image is not None:
            stored_last = await _store_image(context, last_image)
            keys.append(stored_last.key)
        job = new_job(
            clip,
            image.features,
            decision,
            image=stored,
            last_image=stored_last,
            tenant=tenant,
            settings=context.settings,
            idempotency_key=idempotency_key,
            client_retry=client_retry,
            remixed_from=remixed_from,
        )
        created = await context.store.create(job)
    except IdempotencyMismatch:
        await drop(context, keys)
        raise
    if created.replayed:
        await drop(context, keys)
    else:
        context.wake_router()
    return created


async def _store_image(context: GatewayContext, image: Prepared) -> StoredImage:
    key = photograph_key(uuid4().hex)
    await asyncio.to_thread(context.media.put_bytes, key, image.content, image.content_type)
    return StoredImage(key, image.sha256)


async def drop(context: GatewayContext, keys: list[str]) -> None:
    """Delete objects that no job points to; what cannot be deleted is logged and left."""
    try:
        await asyncio.to_thread(context.media.delete, keys)
    except I2VError as error:
        logger.warning("left in the media store: %s (%s)", ", ".join(keys), error.code)


def accepted(created: Created, clock: Callable[[], float] = time) -> Response:
    """202 with the job and where to find it."""
    job = created.job
    headers = {"Location": f"/v1/videos/{job.id}"}
    if created.replayed:
        headers["Idempotent-Replayed"] = "true"
    return Response(
        video(job, now=clock()).model_dump_json(), 202, headers=headers, media_type="application/json"
    )
