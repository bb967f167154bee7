"""The Gateway deployment: the FastAPI application behind Serve's proxy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from deployments.wiring import job_store, media_store, route_engine
from router.fleet import CachedFleet
from router.gateway import create_app
from router.settings import Settings

if TYPE_CHECKING:
    from fastapi import FastAPI


class GatewayReplica:
    """Serve ingress class; `router` is only ever nudged.

    A nudge that fails is no fault: the job is committed and the Router looks at the queue by itself.
    """

    async def __init__(self, router: DeploymentHandle[Any]) -> None:  # type: ignore[misc]
        self._router = router
        self._settings = Settings()
        self._store = job_store(self._settings)
        await self._store.open()

    def __serve_build_asgi_app__(self) -> FastAPI:
        """Called by Serve once, after the constructor, inside the replica."""
        settings = self._settings
        return create_app(
            settings=settings,
            store=self._store,
            media=media_store(settings),
            engine=route_engine(settings),
            fleet=CachedFleet(self._store),
            nudge=self._nudge,
        )

    async def _nudge(self) -> None:
        try:
            await self._router.nudge.remote()
        except (RayError, RayServeException) as error:
            raise ConnectionError(f"the Router did not hear the nudge: {type(error).__name__}") from error
