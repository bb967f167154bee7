"""What every route is given: settings, stores, the engine, and the identity behind a request."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Annotated, TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi import Depends, Request

from models.errors import InvalidRequest, JobNotFound
from policies.base import Fleet
from router.engine import RouteEngine
from router.hooks import Hooks
from router.jobs.store import JobStore
from router.media import MediaStore
from router.settings import Settings

logger = logging.getLogger("router.gateway")

T = TypeVar("T")

DECODERS = 2
"""Photographs decoded at once: bounds memory (120 MB of pixels each at the default cap), not throughput."""
LARGE_BODIES = 16
"""Bodies larger than a photograph that are read at once: bounds disk (2 GB at the default limits)."""
NUDGE_SECONDS = 2.0
JOB_ID = re.compile(r"vid_[0-9A-Za-z_-]{1,60}")
DEFAULT_TENANT = "default"
MAX_KEY = 255


@dataclass(frozen=True, slots=True)
class GatewayContext:
    """Everything injected into the application, once per process."""

    settings: Settings
    store: JobStore
    media: MediaStore
    engine: RouteEngine
    fleet: Callable[[], Awaitable[Fleet]]
    nudge: Callable[[], Awaitable[None]]
    hooks: Hooks | None = None
    """Checks webhooks of providers; None: none are taken."""
    decoders: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(DECODERS))
    large_bodies: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(LARGE_BODIES))
    nudges: set[asyncio.Task[None]] = field(default_factory=set)
    deciders: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(1))
    """The engine keeps what it planned from decision to decision, so it makes one at a time."""

    async def decided(self, decide: Callable[[], T]) -> T:
        """What `decide` answers, computed in a thread: counter-offers take up to hundreds of decisions.

        A request that goes away leaves the thread to end, so that two never meet in the engine.
        """
        return await to_thread.run_sync(decide, limiter=self.deciders)

    def wake_router(self) -> None:
        """Tell the Router that something changed, without waiting: it looks by itself soon anyway."""
        task = asyncio.create_task(self._nudge())
        self.nudges.add(task)
        task.add_done_callback(self.nudges.discard)

    async def _nudge(self) -> None:
        try:
            async with asyncio.timeout(NUDGE_SECONDS):
                await self.nudge()
        except Exception as error:  # noqa: BLE001 - a nudge is a courtesy: the job is committed
            logger.warning("nudge failed: %s", type(error).__name__)


async def _context(request: Request) -> GatewayContext:
    context = request.app.state.context
    if not isinstance(context, GatewayContext):
        raise TypeError("the application was not built by create_app")
    return context


async def _tenant(request: Request) -> str:
    """Whose jobs a request may see."""
    return DEFAULT_TENANT


async def job_id(video_id: str) -> str:
    """A path parameter as a job id; what cannot be one of ours is not found."""
    if not JOB_ID.fullmatch(video_id):
        raise JobNotFound("no such video", param="video_id")
    return video_id


async def idempotency_key(request: Request) -> str | None:
    """`Idempotency-Key`, quoted (a structured-field string) or bare."""
    raw = request.headers.get("idempotency-key")
    if raw is None:
        return None
    key = raw.strip()
    if len(key) >= 2 and key.startswith('"') and key.endswith('"'):
        key = re.sub(r"\\(.)", r"\1", key[1:-1])
    if not key or len(key) > MAX_KEY or not key.isascii() or not key.isprintable():
        raise InvalidRequest(
            f"Idempotency-Key must be 1 to {MAX_KEY} printable ASCII characters", param="Idempotency-Key"
        )
    return key


async def client_retry(request: Request) -> int:
    """How often the OpenAI client says it has tried this request before (`x-stainless-retry-count`)."""
    raw = request.headers.get("x-stainless-retry-count", "0")
    return min(int(raw), 100) if raw.isdecimal() and len(raw) <= 4 else 0


Context = Annotated[GatewayContext, Depends(_context)]
Tenant = Annotated[str, Depends(_tenant)]
JobId = Annotated[str, Depends(job_id)]
IdempotencyKey = Annotated[str | None, Depends(idempotency_key)]
ClientRetry = Annotated[int, Depends(client_retry)]
