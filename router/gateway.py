"""The HTTP face as a FastAPI application; everything it talks to is injected."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from starlette.middleware import Middleware

from policies.base import Fleet
from router import errors
from router.api import content, events, feedback, finalize, fleet, health, models, remix, route, videos
from router.api import hooks as hooks_resource
from router.api.context import GatewayContext
from router.body import BodyLimit
from router.engine import RouteEngine
from router.errors import Problem, ProblemBoundary
from router.hooks import Hooks
from router.jobs.store import JobStore
from router.media import MediaStore
from router.schemas import CreateVideo, Feedback, FinalizeVideo, RemixVideo, RouteVideo
from router.settings import Settings

BODIES: dict[tuple[str, str], tuple[type[BaseModel], bool]] = {
    ("/v1/videos", "post"): (CreateVideo, True),
    ("/v1/videos/{video_id}/remix", "post"): (RemixVideo, False),
    ("/v1/videos/{video_id}/finalize", "post"): (FinalizeVideo, False),
    ("/v1/videos/{video_id}/feedback", "post"): (Feedback, False),
    ("/v1/route", "post"): (RouteVideo, True),
}
"""Bodies that routes read themselves: the shape, and whether it may come as a form."""
SCHEMAS = "#/components/schemas/"
WITH_DRIVERS = ("/v1/videos", "/v1/route")
"""Paths that take a driving video or a sound."""
FILES = ("input_reference", "last_image", "driving_video", "audio")


def create_app(
    *,
    settings: Settings,
    store: JobStore,
    media: MediaStore,
    engine: RouteEngine,
    fleet: Callable[[], Awaitable[Fleet]],
    nudge: Callable[[], Awaitable[None]],
    hooks: Hooks | None = None,
) -> FastAPI:
    """Build the Gateway.

    Args:
        settings: Limits and defaults.
        store: An open job store.
        media: Where photographs and clips lie.
        engine: Decides at submission.
        fleet: What runs now; called at each submission and dry run.
        nudge: Tells the Router that the queue changed; may fail, the Router looks by itself too.
        hooks: Checks who sent a provider's webhook; None: none are taken.
    """
    context = GatewayContext(
        settings=settings, store=store, media=media, engine=engine, fleet=fleet, nudge=nudge, hooks=hooks
    )
    app = FastAPI(
        title="i2v-router",
        version=_version(),
        summary="Makes clips out of photographs, on the model that fits.",
        # FastAPI's own pages load scripts from a public CDN.
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan,
        middleware=[
            Middleware(ProblemBoundary),
            Middleware(
                BodyLimit,
                limit=settings.max_upload_bytes,
                larger=dict.fromkeys(WITH_DRIVERS, settings.max_body_bytes),
            ),
        ],
        responses={
            "4XX": {"model": Problem, "description": "The request was refused"},
            "5XX": {"model": Problem, "description": "Our fault; try again"},
        },
    )
    app.state.context = context
    errors.install(app)
    # `/v1/videos/models` must stand before `/v1/videos/{video_id}`.
    for resource in (
        *(models, videos, content, events, remix, finalize, feedback),
        *(route, _fleet_resource, health, hooks_resource),
    ):
        app.include_router(resource.router)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


_fleet_resource = fleet
"""The module, which `create_app`'s argument of that name hides."""


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    context: GatewayContext = app.state.context
    for task in tuple(context.nudges):
        task.cancel()


def _version() -> str:
    try:
        return version("i2v-router")
    except PackageNotFoundError:  # a checkout that was never installed
        return "0"


def _openapi(app: FastAPI) -> dict[str, Any]:
    """FastAPI's document with the bodies that routes read themselves."""
    if app.openapi_schema is not None:
        return app.openapi_schema
    document = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for (path, method), (shape, form) in BODIES.items():
        schema = shape.model_json_schema(ref_template=SCHEMAS + "{model}")
        schemas.update(schema.pop("$defs", {}))
        schemas[shape.__name__] = schema
        reference = {"schema": {"$ref": SCHEMAS + shape.__name__}}
        accepted: dict[str, Any] = {"application/json": reference}
        if form:
            files = {name: {"type": "string", "format": "binary"} for name in FILES}
            accepted["multipart/form-data"] = {
                "schema": {**schema, "properties": {**schema["properties"], **files}}
            }
        document["paths"][path][method]["requestBody"] = {"required": True, "content": accepted}
    app.openapi_schema = document
    return document
