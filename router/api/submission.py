"""From a checked request to a committed job: the one path that create, remix and finalize share."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from time import time
from typing import Any
from uuid import uuid4

from starlette.responses import Response

from models.errors import FleetUnavailable, I2VError, IdempotencyMismatch, MediaUnavailable, NoRoute
from models.types import Objective, Size
from policies.base import Decision, Features, Fleet, RouteRequest
from router.api.context import GatewayContext
from router.api.intake import Prepared, prepare
from router.api.view import video
from router.drivers import PreparedDriver
from router.engine import (
    ClipRequest,
    RouteEngine,
    StoredDriver,
    StoredImage,
    clip_from_json,
    clip_request,
    fingerprint,
    new_job,
    route_request,
)
from router.finals import final_estimate
from router.jobs.records import Created, Submission
from router.media import driver_key, photograph_key
from router.schemas import Wishes

logger = logging.getLogger("router.gateway")


async def prepare_image(context: GatewayContext, content: bytes, prompt: str, field: str) -> Prepared:
    """`prepare` in a thread, with few at a time."""
    async with context.decoders:
        return await asyncio.to_thread(
            prepare, content, prompt, field=field, max_pixels=context.settings.max_image_pixels
        )


@dataclass(frozen=True, slots=True)
class Inputs:
    """The media of a request: prepared here, or shared with an earlier job."""

    image: Prepared | StoredImage
    last_image: Prepared | StoredImage | None = None
    drivers: Mapping[str, PreparedDriver | StoredDriver] = field(default_factory=dict)

    @property
    def identities(self) -> dict[str, str | None]:
        """What the request's fingerprint knows of them."""
        return {
            "image": _identity(self.image),
            "last_image": _identity(self.last_image),
            **{name: made.driver.sha256 for name, made in self.drivers.items()},
        }


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, and how a repeat of the same request would be known."""

    tenant: str
    idempotency_key: str | None
    client_retry: int


async def submit(
    context: GatewayContext,
    clip: ClipRequest,
    features: Features,
    inputs: Inputs,
    caller: Caller,
    *,
    notes: tuple[str, ...] = (),
    remixed_from: str | None = None,
    finalizes: str | None = None,
) -> Created:
    """Decide, store the media, commit the job, wake the Router.

    Nothing is stored before the decision found a model. Media of a request that turns out to be a replay
    are dropped again; when the commit's outcome is unknown they stay, for the job may exist.

    Raises:
        NoRoute, FleetUnavailable: nothing can take it.
        MediaUnavailable, StoreUnavailable: nothing was accepted.
        IdempotencyMismatch: the key came before with another request.
    """
    request = route_request(
        clip,
        features,
        has_last_image=inputs.last_image is not None,
        tenant=caller.tenant,
        drivers={name: made.driver for name, made in inputs.drivers.items()},
    )
    fleet = await context.fleet()
    try:
        decision, estimate = await context.decided(partial(_estimates, context.engine, request, fleet))
    except (NoRoute, FleetUnavailable):
        # The fleet may have filled up since this very submission was accepted: then the answer is that job.
        content = fingerprint(clip, inputs.identities, remixed_from, finalizes)
        earlier = await context.store.earlier(
            Submission(caller.tenant, content, caller.idempotency_key, caller.client_retry)
        )
        if earlier is None:
            raise
        return Created(earlier, replayed=True)
    if notes:
        decision = replace(decision, advice=(*decision.advice, *notes))
    written: list[str] = []
    try:
        stored = await _stored(context, inputs.image, written)
        last = inputs.last_image
        created = await context.store.create(
            new_job(
                clip,
                features,
                decision,
                image=stored,
                last_image=await _stored(context, last, written) if last is not None else None,
                drivers={
                    name: await _stored_driver(context, made, written)
                    for name, made in inputs.drivers.items()
                },
                final_estimate=estimate,
                tenant=caller.tenant,
                settings=context.settings,
                idempotency_key=caller.idempotency_key,
                client_retry=caller.client_retry,
                remixed_from=remixed_from,
                finalizes=finalizes,
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


def _estimates(
    engine: RouteEngine, request: RouteRequest, fleet: Fleet
) -> tuple[Decision, Mapping[str, Any] | None]:
    """What would make the clip now and, of a preview, its final."""
    decision = engine.estimate(request, fleet)
    if request.objective is not Objective.PREVIEW:
        return decision, None
    return decision, final_estimate(engine.policies, request, decision, fleet)


async def replayed(context: GatewayContext, source: str, caller: Caller, wishes: Wishes) -> Created | None:
    """The job that an earlier send of this remix made, when there is one: its source may be gone since.

    Raises:
        IdempotencyMismatch: the key was used for another remix of this source.
    """
    job = await context.store.descendant(
        caller.tenant,
        source,
        idempotency_key=caller.idempotency_key,
        client_retry=caller.client_retry,
    )
    if job is None:
        return None
    image = job.features["image"]
    made = clip_from_json(job.request)
    asked = clip_request(wishes, Size(int(image["width"]), int(image["height"])), made)
    if asked == made:
        return Created(job, replayed=True)
    if caller.idempotency_key is not None:
        raise IdempotencyMismatch(
            f"Idempotency-Key {caller.idempotency_key!r} was used for another request",
            param="Idempotency-Key",
        )
    return None


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


async def _stored_driver(
    context: GatewayContext, driver: PreparedDriver | StoredDriver, written: list[str]
) -> StoredDriver:
    if isinstance(driver, StoredDriver):
        return driver
    key = driver_key(uuid4().hex)
    written.append(key)
    await asyncio.to_thread(context.media.put_file, key, driver.path, driver.content_type)
    return StoredDriver(key, driver.driver)


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
