"""What all calls of one provider replica share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from deployments.args import ProviderArgs
from deployments.call_task import CallTask
from deployments.media_process import MediaProcess
from models.errors import I2VError
from models.providers.base import Provider
from models.providers.limits import Turnstile
from router.jobs.store import JobStore
from router.media import MediaStore


@dataclass(frozen=True, slots=True)
class CallPace:
    """Periods and time-outs of calls, in seconds. Tests shorten them."""

    submit_s: float = 60.0
    """A provider that is away or full is asked again for so long; then the job may go elsewhere."""
    settle_s: float = 10.0
    """After a submission whose answer was lost, so long may pass until it shows in a listing. Our choice."""
    find_s: float = 600.0
    """So long a lost submission is looked for before its outcome is called unknown."""
    cancel_s: float = 60.0
    """So long its attempt watches a cancelled call; then the client is answered and the worker goes on."""
    least_life_s: float = 1800.0
    """A call may run so long at least: Replicate ends predictions after 30 minutes itself."""
    lives: float = 4.0
    """And so many times what was predicted."""
    lost_s: float = 30.0
    """So long a paid call must be absent at the provider before it counts as lost. Our choice."""
    retry_s: float = 2.0
    outcome_s: float = 120.0
    """An outcome waits so long for the job store."""
    store_s: float = 120.0
    """A finished clip waits so long for the media store."""
    orphans_s: float = 15.0
    """Between looks for calls that nobody follows any more."""
    longest_look_s: float = 60.0
    """Time between looks, at most (see `deployments.polling`)."""


@dataclass(frozen=True, slots=True)
class Desk:
    """Everything that a call needs beside its own job."""

    args: ProviderArgs
    store: JobStore
    media: MediaStore
    provider: Provider
    photographs: MediaProcess
    clips: MediaProcess
    """Two, so that photographs do not wait behind a crowd of clips."""
    scratch: Path
    lease_s: float
    retain_s: float
    turns: Turnstile
    """What the account allows: requests wait for their turn there."""
    noted: Callable[[CallTask, I2VError | None], None]
    """Told how each request to the provider went: for whom, and what failed."""
    usd_per_gpu_s: float | None = None
    """Of engines."""
    webhook_base: str | None = None
    """Public URL that webhooks go to; the call's id is added."""
    pace: CallPace = field(default_factory=CallPace)
    books: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(4))
    """Writes of calls to the store at once: a thousand calls must not queue up before its few connections,
    where the renewal of their leases would wait behind them."""
    uploads: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(8))
    """Inputs in memory at once."""
    downloads: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(8))
    held: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(64))
    """Results on this machine at once, fetched and not yet stored: they expire, so they are fetched soon, but
    a disk is finite (64 clips of 20 MB)."""
