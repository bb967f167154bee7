"""`POST /v1/route`: what would be chosen and why, without making anything."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse

from models.errors import InvalidRequest
from models.types import Size
from policies.base import Features, Fleet, ImageFeatures, RouteRequest
from policies.render import decision_json
from router.api.context import Context, GatewayContext, Tenant
from router.api.intake import Body, images_of, reading
from router.api.submission import prepare_image
from router.api.uploads import prepare_drivers
from router.engine import RouteEngine, clip_request, route_request
from router.features.image import orientation_of
from router.features.prompt import read_prompt
from router.finals import with_final_estimate
from router.schemas import RouteVideo

router = APIRouter(tags=["routing"])


@router.post("/v1/route", responses={200: {"content": {"application/json": {}}}})
async def route(request: Request, context: Context, tenant: Tenant) -> JSONResponse:
    """The decision for a request that is not run; `chosen` is null when nothing fits.

    Takes what `POST /v1/videos` takes. Instead of the photograph, `image_size` may say its shape alone.
    """
    async with reading(request, RouteVideo) as (body, wishes):
        features, size, last = await _features(context, body, wishes)
        drivers = {name: made.driver for name, made in (await prepare_drivers(context, body.drivers)).items()}
    clip = context.engine.known(clip_request(wishes, size))
    asked = route_request(clip, features, has_last_image=last, tenant=tenant, drivers=drivers)
    fleet = context.engine.idle() if wishes.fleet == "all" else await context.fleet()
    answer = await context.decided(partial(_decision, context.engine, asked, fleet))
    return JSONResponse(answer, headers={"Cache-Control": "no-store"})


def _decision(engine: RouteEngine, asked: RouteRequest, fleet: Fleet) -> dict[str, Any]:
    decision = engine.decide(asked, fleet)
    return with_final_estimate(decision_json(decision), engine.policies, asked, decision, fleet)


async def _features(context: GatewayContext, body: Body, wishes: RouteVideo) -> tuple[Features, Size, bool]:
    """Features, photograph size, and whether a last frame came."""
    first, last = await images_of(body, wishes, context.settings.max_upload_bytes)
    prompt = (wishes.prompt or "").strip()
    if last is not None:
        await prepare_image(context, last[1], "", last[0])
    if first is not None and wishes.image_size is not None:
        raise InvalidRequest("give the photograph or image_size, not both", param="image_size")
    if first is not None:
        image = await prepare_image(context, first[1], prompt, first[0])
        features = replace(image.features, advice=(*image.features.advice, *image.notes))
        return features, image.size, last is not None
    if wishes.image_size is None:
        raise InvalidRequest(
            "input_reference is missing: send the photograph, or its image_size (WIDTHxHEIGHT)",
            param="input_reference",
        )
    size = Size.parse(wishes.image_size)
    return Features(image=shape_only(size), prompt=read_prompt(prompt)), size, last is not None


def shape_only(size: Size) -> ImageFeatures:
    """What is known of a photograph that nobody sent: its shape."""
    return ImageFeatures(size.width, size.height, orientation_of(size))
