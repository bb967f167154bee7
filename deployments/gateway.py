"""The Gateway deployment: the FastAPI application behind Serve's proxy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle
from starlette.datastructures import MutableHeaders

from deployments.hooks import AccountHooks
from deployments.wiring import keep_for_good, media_store, open_store, route_engine
from router.fleet import CachedFleet
from router.gateway import create_app
from router.settings import Settings

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


class ProxyNamesRequests:
    """Serve's proxy adds the same `X-Request-Id` to every response; a second one would make it a list."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on, less that header."""

        async def without_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                del MutableHeaders(scope=message)["X-Request-Id"]
            await send(message)

        await self._app(scope, receive, without_id)


class GatewayReplica:
    """Serve ingress class; `router` is only ever nudged.

    A nudge that fails is no fault: the job is committed and the Router looks at the queue by itself.
    """

    async def __init__(self, router: DeploymentHandle[Any]) -> None:  # type: ignore[misc]
        self._router = router
        self._settings = Settings()
        self._store = await open_store(self._settings)

    def __serve_build_asgi_app__(self) -> FastAPI:
        """Called by Serve once, after the constructor, inside the replica."""
        settings = self._settings
        engine = route_engine(settings)
        app = create_app(
            settings=settings,
            store=self._store,
            media=media_store(settings),
            engine=engine,
            fleet=CachedFleet(self._store, engine.catalog),
            nudge=self._nudge,
            hooks=AccountHooks(self._store, settings),
        )
        app.add_middleware(ProxyNamesRequests)
        keep_for_good()
        return app

    async def _nudge(self) -> None:
        try:
            await self._router.nudge.remote()
        except (RayError, RayServeException) as error:
            raise ConnectionError(f"the Router did not hear the nudge: {type(error).__name__}") from error
