"""From a checked request to a committed job: the one path that create and remix share."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from time import time
from uuid import uuid4

from starlette.responses import Response

from models.errors import FleetUnavailable, I2VError, IdempotencyMismatch, MediaUnavailable, NoRoute
from policies.base import Features
from router.api.context import GatewayContext
from router.api.intake import Prepared, prepare
from router.api.view import video
from router.engine import ClipRequest, StoredImage, fingerprint, new_job, route_request
from router.jobs.records import Created, Submission
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
    features: Features,
    image: Prepared | StoredImage,
    last_image: Prepared | StoredImage | None,
    *,
    notes: tuple[str, ...] = (),
    tenant: str,
    idempotency_key: str | None,
    client_retry: int,
    remixed_from: str | None = None,
) -> Created:
    """Decide, store the images, commit the job, wake the Router.

    Nothing is stored before the decision found a model. Images of a request that turns out to be a replay
    are dropped again; when the commit's outcome is unknown they stay, for the job may exist.

    Raises:
        NoRoute, FleetUnavailable: nothing can take it.
        MediaUnavailable, StoreUnavailable: nothing was accepted.
        IdempotencyMismatch: the key came before with another request.
    """
    request = route_request(clip, features, has_last_image=last_image is not None, tenant=tenant)
    try:
        decision = context.engine.estimate(request, await context.fleet())
    except (NoRoute, FleetUnavailable):
        # The fleet may have filled up since this very submission was accepted: then the answer is that job.
        identities = {"image": _identity(image), "last_image": _identity(last_image)}
        content = fingerprint(clip, identities, remixed_from)
        earlier = await context.store.earlier(Submission(tenant, content, idempotency_key, client_retry))
        if earlier is None:
            raise
        return Created(earlier, replayed=True)
    if notes:
        decision = replace(decision, advice=(*decision.advice, *notes))
    written: list[str] = []
    try:
        stored = await _stored(context, image, written)
        stored_last = await _stored(context, last_image, written) if last_image is not None else None
        created = await context.store.create(
            new_job(
                clip,
                features,
                decision,
                image=stored,
                last_image=stored_last,
                tenant=tenant,
                settings=context.settings,
                idempotency_key=idempotency_key,
                client_retry=client_retry,
                remixed_from=remixed_from,
            )
        )
    except (MediaUnavailable, IdempotencyMismatch):
        await drop(context, written)
        raise
    if created.replayed:
        await drop(context, written)
    else:
        context.wake_router()
    return created


def _identity(image: Prepared | StoredImage | None) -> str | None:
    if image is None:
        return None
    return image.identity if isinstance(image, StoredImage) else image.sha256


async def _stored(context: GatewayContext, image: Prepared | StoredImage, written: list[str]) -> StoredImage:
    if isinstance(image, StoredImage):
        return image
    key = photograph_key(uuid4().hex)
    written.append(key)
    await asyncio.to_thread(context.media.put_bytes, key, image.content, image.content_type)
    return StoredImage(key, image.sha256)


async def drop(context: GatewayContext, keys: list[str]) -> None:
    """Delete objects that no job points to; what cannot be deleted is logged and left."""
    if not keys:
        return
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
