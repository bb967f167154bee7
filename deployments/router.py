"""The Router deployment: the dispatcher, and Serve handles as its launcher."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from typing import Any

from ray.exceptions import ActorUnavailableError, RayError
from ray.serve.exceptions import (
    BackPressureError,
    DeploymentUnavailableError,
    RayServeException,
    ReplicaUnavailableError,
)
from ray.serve.handle import DeploymentHandle

from deployments.discovery import MODEL_DEPLOYMENT, PROVIDER_DEPLOYMENT, model_pools
from deployments.wiring import keep_for_good, media_store, open_store, route_engine
from router.dispatch import Dispatcher
from router.jobs.records import PoolRecord
from router.launching import Taken, WorkerLost
from router.settings import Settings


class ServeLauncher:
    """Reaches pools by application name. One handle per pool: each handle owns a Serve request router."""

    def __init__(self) -> None:
        self._handles: dict[str, DeploymentHandle[Any]] = {}
        self._accounts: frozenset[str] = frozenset()
        """Pools that are a provider's account or an engine."""

    async def pools(self) -> Sequence[PoolRecord]:
        """Applications that run models, as Serve reports them. Raises `ConnectionError` when it does not."""
        try:
            found = await model_pools()
        except (RayError, RayServeException, TimeoutError) as error:
            raise ConnectionError(f"Serve does not tell its applications: {type(error).__name__}") from error
        self._accounts = frozenset(pool.name for pool in found if pool.backend != "local")
        return found

    async def launch(self, pool: str, job_id: str, fence: int) -> Taken:
        """Call `run` on some replica of the pool and wait for it to be done.

        Raises:
            WorkerLost: the replica died, or its `run` failed.
        """
        handle = self._handles.get(pool)
        if handle is None:
            # Not `serve.get_deployment_handle`: it blocks the loop to ask whether the pool exists, and gives
            # out a cached handle that goes on refusing calls after its application was deleted and made anew.
            deployment = PROVIDER_DEPLOYMENT if pool in self._accounts else MODEL_DEPLOYMENT
            handle = self._handles[pool] = DeploymentHandle(deployment, pool)
        response = handle.run.remote(job_id, fence)
        try:
            answer = await response
        except asyncio.CancelledError:
            response.cancel()
            raise
        except DeploymentUnavailableError:
            self._handles.pop(pool, None)
            return Taken(taken=False, reason=f"pool {pool} cannot be called")
        except (BackPressureError, ReplicaUnavailableError) as error:
            return Taken(taken=False, reason=f"pool {pool}: {type(error).__name__}")
        except ActorUnavailableError:
            # The network failed, not the replica: it goes on and beats, or its lease runs out.
            return Taken(taken=True, reason=f"pool {pool}: contact lost")
        except (RayError, RayServeException) as error:
            raise WorkerLost(f"pool {pool}: {type(error).__name__}") from error
        return Taken(bool(answer["taken"]), str(answer["reason"]), bool(answer.get("elsewhere")))


class RouterReplica:
    """Holds the dispatcher's loop; restartable at any time."""

    async def __init__(self) -> None:  # type: ignore[misc]
        settings = Settings()
        store = await open_store(settings)
        engine = route_engine(settings)
        self._dispatcher = Dispatcher(
            store=store,
            media=media_store(settings),
            engine=engine.policies,
            launcher=ServeLauncher(),
            lease_s=settings.lease_s,
            catalog=engine.catalog,
        )
        keep_for_good()
        self._loop = asyncio.create_task(self._dispatcher.run())

    async def nudge(self) -> None:
        """Look at the queue now."""
        self._dispatcher.nudge()

    async def pid(self) -> int:
        """Process id, for operators and for tests that kill it."""
        return os.getpid()

    async def check_health(self) -> None:
        """The loop must be running: a dead loop would leave jobs queued for ever."""
        if self._loop.done():
            raise RuntimeError(f"the dispatcher's loop has ended: {self._loop.exception()!r}")
