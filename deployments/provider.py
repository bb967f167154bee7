"""A provider replica: a Serve replica, on CPU alone, around the worker of an account or an engine."""

from __future__ import annotations

import platform
from typing import Any

from ray import serve

from deployments.args import ProviderArgs
from deployments.autoscaling import IN_FLIGHT
from deployments.call_desk import CallPace, Desk
from deployments.media_process import MediaProcess
from deployments.provider_keys import read_key
from deployments.provider_worker import ProviderWorker
from deployments.scratch import scratch_directory
from deployments.wiring import catalog, keep_for_good, media_store, open_store
from models.errors import ConfigError
from models.gpus import load_gpus
from models.providers.base import Account
from models.providers.limits import AccountLimits, Turnstile
from models.providers.registry import ProviderSpec, spec
from router.jobs.records import Worker
from router.jobs.store import JobStore
from router.settings import Settings


class ProviderReplica:
    """Serve deployment class; `Provider` in `deployments.app` binds it."""

    async def __init__(self, args: dict[str, Any]) -> None:  # type: ignore[misc]
        given = ProviderArgs.model_validate(args)
        settings = Settings()
        context = serve.get_replica_context()
        store = await open_store(settings)
        self._worker = provider_worker(
            given, settings, store, replica=context.replica_id.unique_id, pool=context.app_name
        )
        await self._worker.open()
        keep_for_good()

    async def check_health(self) -> None:
        """Serve's health check: fails when only a new replica can help."""
        self._worker.check()

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """What `deployments.autoscaling.CallsInFlight` scales by: Serve calls this every now and then."""
        return {IN_FLIGHT: float(self._worker.in_flight)}

    async def run(self, job_id: str, fence: int) -> dict[str, Any]:
        """Begin a job. Returns the members of `Taken`; the clip is made whether or not anybody waits."""
        taken = await self._worker.take(job_id, fence)
        return {"taken": taken.taken, "reason": taken.reason, "elsewhere": taken.elsewhere}

    async def __del__(self) -> None:
        """Serve calls and awaits this when the replica drains: calls under way are handed back at once."""
        await self._worker.close()


def provider_worker(
    args: ProviderArgs,
    settings: Settings,
    store: JobStore,
    *,
    replica: str,
    pool: str,
    pace: CallPace | None = None,
) -> ProviderWorker:
    """The worker of one application, wired from its arguments and the environment.

    Raises:
        ConfigError: no such provider; an engine's card, offer or GPU type is not known.
    """
    found, cards = spec(args.provider), catalog(settings)
    _check(args, found, settings)
    media, scratch = media_store(settings), scratch_directory(settings, replica, in_memory=False)
    limits = AccountLimits(
        ceiling=args.most_calls, submits_per_s=args.submits_per_s, looks_per_s=args.looks_per_s
    )
    turns, photographs, clips = Turnstile(limits), MediaProcess(), MediaProcess()
    usd_per_gpu_s = load_gpus()[args.gpu].usd_per_hour / 3600 if args.gpu is not None else None

    def desk(worker: ProviderWorker) -> Desk:
        return Desk(
            args=args,
            store=store,
            media=media,
            provider=found.connect(_account(args, found, settings)),
            photographs=photographs,
            clips=clips,
            scratch=scratch,
            lease_s=settings.lease_s,
            retain_s=settings.retain_s,
            turns=turns,
            noted=worker.noted,
            usd_per_gpu_s=usd_per_gpu_s,
            webhook_base=webhook_base(settings, args),
            pace=pace or CallPace(),
        )

    return ProviderWorker(
        Worker(
            id=replica,
            pool=pool,
            model=args.model or "",
            offer=args.offer or "",
            gpu=args.gpu or "hosted",
            gang_size=args.gpus,
            slots=args.most_calls,
            node=platform.node(),
            state="starting",
            detail=_told(args, found),
        ),
        store=store,
        catalog=cards,
        backend=found.backend,
        make_desk=desk,
        limits=limits,
    )


def webhook_base(settings: Settings, args: ProviderArgs) -> str | None:
    """Where the provider calls back for this account; the call's id is added."""
    if settings.public_url is None:
        return None
    return f"{settings.public_url.rstrip('/')}/v1/hooks/{args.provider}/{args.account}"


def _check(args: ProviderArgs, found: ProviderSpec, settings: Settings) -> None:
    if args.engine is not (found.backend == "engine"):
        wants = "url, model, offer, gpu" if found.backend == "engine" else "no model, offer, gpu"
        raise ConfigError(f"args: provider {args.provider} takes {wants}", param="args")
    if not args.engine:
        return
    card = catalog(settings).get(args.model or "")
    offers = [offer.id for offer in card.offers if offer.backend == "engine"]
    if args.offer not in offers:
        raise ConfigError(
            f"args.offer: {card.id} has no engine offer {args.offer!r}", param="offer", allowed=offers
        )
    if args.gpu not in load_gpus():
        raise ConfigError(f"args.gpu: no GPU type {args.gpu!r}", param="gpu", allowed=sorted(load_gpus()))


def _told(args: ProviderArgs, found: ProviderSpec) -> dict[str, str | None]:
    """Whose account it is: follow-ups and webhooks are told by it. The key itself nobody tells."""
    key_env = args.key_env or found.key_env
    return {"provider": args.provider, "account": args.account, "url": args.url, "key_env": key_env}


def _account(args: ProviderArgs, found: ProviderSpec, settings: Settings) -> Account:
    """Raises `ConfigError` while a key that is needed is not set; the worker then says so and looks again."""
    name = args.key_env or found.key_env
    key = read_key(name, settings.secrets) if name is not None else None
    if key is None and found.key_needed:
        raise ConfigError(f"no key for {args.provider}: {name} is not set", param=name)
    return Account(provider=args.provider, key=key, url=args.url)
