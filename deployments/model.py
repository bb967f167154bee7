"""A model replica: a Serve replica around the coordinator of a gang."""

from __future__ import annotations

import platform
from functools import partial
from typing import Any

from ray import serve

from deployments.args import ModelArgs
from deployments.attempt import Terms
from deployments.clip_times import times_of
from deployments.coordinator import Coordinator
from deployments.gang import Gang
from deployments.pace import Pace
from deployments.scratch import scratch_directory
from deployments.wiring import catalog, media_store, open_store
from models.gpus import load_gpus
from policies.gang_scheduler import GangScheduler
from router.jobs.records import Worker
from router.settings import Settings


class ModelReplica:
    """Serve deployment class; `Model` in `deployments.app` binds it."""

    async def __init__(self, args: dict[str, Any]) -> None:  # type: ignore[misc]
        given = ModelArgs.model_validate(args)
        settings = Settings()
        context = serve.get_replica_context()
        card = catalog(settings).get(given.model)
        gpu, ranks = load_gpus()[given.gpu], Gang(given)
        store = await open_store(settings)
        self._coordinator = Coordinator(
            Worker(
                id=context.replica_id.unique_id,
                pool=context.app_name,
                model=given.model,
                offer=given.offer,
                gpu=given.gpu,
                gang_size=given.gang_size,
                slots=given.held,
                node=platform.node(),
                state="starting",
                detail={},
            ),
            store=store,
            media=media_store(settings),
            ranks=ranks,
            policy=GangScheduler(),
            pace=Pace(
                stall_floor_s=settings.stall_s,
                step_floor_s=settings.stall_step_s,
                save_s=min(Pace().save_s, settings.checkpoint_s),
                checkpoint_s=settings.checkpoint_s,
            ),
            scratch=scratch_directory(settings, context.replica_id.unique_id),
            terms=Terms(
                model=given.model,
                offer=given.offer,
                gpu=given.gpu,
                usd_per_gpu_s=gpu.usd_per_hour / 3600,
                lease_s=settings.lease_s,
                retain_s=settings.retain_s,
                times=partial(times_of, card, gpu, given.gang_size),
                also=tuple(o.id for o in card.offers if o.replica == given.offer),
            ),
        )
        await self._coordinator.open()

    async def check_health(self) -> None:
        """Serve's health check: fails when only a new replica can help."""
        self._coordinator.check()

    async def run(self, job_id: str, fence: int) -> dict[str, Any]:
        """Take a job and see it through. Returns the members of `Taken`."""
        taken = await self._coordinator.take(job_id, fence)
        return {"taken": taken.taken, "reason": taken.reason, "elsewhere": taken.elsewhere}

    async def __del__(self) -> None:
        """Serve calls and awaits this when the replica drains, within `graceful_shutdown_timeout_s`.

        Serve itself waits only for calls that it still knows; a clip whose caller went away is finished here.
        """
        await self._coordinator.close()
