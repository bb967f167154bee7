"""The Gateway deployment: the FastAPI application behind Serve's proxy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from models.catalog import load_catalog
from models.gpus import load_gpus
from policies.engine import Engine
from policies.profile import load_profiles
from router.fleet import CachedFleet
from router.gateway import create_app
from router.jobs.sql import SqlJobStore
from router.media import MediaStore
from router.settings import Settings

if TYPE_CHECKING:
    from fastapi import FastAPI


class GatewayReplica:
    """Serve ingress class; `router` is only ever nudged.

    A nudge that fails is no fault: the job is committed and the Router looks at the queue by itself.
    """

    async def __init__(self, router: DeploymentHandle[Any]) -> None:
        self._router = router
        self._settings = Settings()
        self._store = SqlJobStore.from_settings(self._settings)
        await self._store.open()

    def __serve_build_asgi_app__(self) -> FastAPI:
        """Called by Serve once, after the constructor, inside the replica."""
        settings = self._settings
        return create_app(
            settings=settings,
            store=self._store,
            media=MediaStore(settings.resolved_media_url),
            engine=Engine(load_catalog(settings.cards), load_gpus(), load_profiles(settings.cards)),
            fleet=CachedFleet(self._store),
            nudge=self._nudge,
        )

    async def _nudge(self) -> None:
        try:
            await self._router.nudge.remote()
        except (RayError, RayServeException) as error:
            raise ConnectionError(f"the Router did not hear the nudge: {type(error).__name__}") from error
