"""One fake at work: its calls, script, clips and counts, shared by all of its routes."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Any

import httpx
from starlette.requests import Request
from starlette.responses import Response

from models.providers.fake.calls import QUEUE_SHARE, Call, Calls, Ending, EndingKind, Status
from models.providers.fake.downloads import delivered
from models.providers.fake.faults import Fault, Script
from models.providers.fake.render import Clips, Shape
from models.providers.fake.settings import FakeSettings
from models.providers.fake.uploads import Uploads

FAULT = "i2v.fault"
"""Where the desk leaves a request's fault in its ASGI scope."""
MINUTE_S = 60.0
WEBHOOK_WAIT_S = 15.0
"""How long fal waits for the answer to a webhook."""
ENDINGS: Mapping[str, EndingKind] = {
    "fails": "fails",
    "refuses_input": "refuses_input",
    "refuses_content": "refuses_content",
}


class Fake:
    """What tests hold in their hands, and what routes work on. Used in one event loop."""

    def __init__(self, settings: FakeSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self.settings = settings
        self.url = ""
        """Base URL, once it listens."""
        self.latency_s = settings.latency_s
        self.now = clock
        self.calls = Calls(clock)
        self.faults = Script()
        self.clips = Clips(full_size=settings.full_size)
        self.uploads = Uploads()
        self.requests: Counter[str] = Counter()
        """Requests by operation: submit, look, cancel, list, upload, download, …"""
        self.peak_per_second = 0
        self._lately: deque[float] = deque()
        self._submits: deque[float] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._outbound: httpx.AsyncClient | None = None

    # --- for tests ---------------------------------------------------------------------------

    def script(
        self,
        fault: str,
        times: int = 1,
        *,
        operation: str | None = None,
        endpoint: str | None = None,
        retry_after_s: float = 1.0,
        seconds: float = 1.0,
        status: int | None = None,
        field: str | None = None,
        bytes: int | None = None,
        declared: bool = True,
    ) -> None:
        """Let something go wrong; see `faults.Fault` for the settings.

        Raises:
            ValueError: there is no such fault, or `times` is below 1.
        """
        self.faults.add(
            Fault(fault, times, operation, endpoint, retry_after_s, seconds, status, field, bytes, declared)
        )

    @property
    def ledger(self) -> list[dict[str, Any]]:
        """All accepted calls, oldest first."""
        return self.calls.rows()

    def set_latency(self, seconds: float) -> None:
        """Another length for open calls and those to come; what it puts into the past ends now."""
        self.latency_s = seconds
        self.calls.retime(seconds)

    # --- for families ------------------------------------------------------------------------

    @property
    def queue_s(self) -> float:
        """How long a call that is accepted now waits before it starts."""
        return self.latency_s * QUEUE_SHARE

    def count(self, operation: str) -> None:
        """Book a request."""
        self.requests[operation] += 1
        now = time.monotonic()
        self._lately.append(now)
        while self._lately[0] <= now - 1.0:
            self._lately.popleft()
        self.peak_per_second = max(self.peak_per_second, len(self._lately))

    def over_limit_s(self) -> float | None:
        """Book a submission against the limit a minute; how long to wait when it is one too many."""
        limit = self.settings.submits_per_minute
        if limit is None:
            return None
        now = self.now()
        while self._submits and self._submits[0] <= now - MINUTE_S:
            self._submits.popleft()
        if len(self._submits) >= limit:
            return self._submits[0] + MINUTE_S - now if self._submits else MINUTE_S
        self._submits.append(now)
        return None

    def accept(
        self,
        request: Request,
        *,
        endpoint: str,
        body: dict[str, Any],
        shape: Shape,
        call_id: str | None = None,
        webhook: str | None = None,
        ending: Ending | None = None,
        stops_after_s: float | None = None,
    ) -> Call:
        """Take a call in: from here on it runs, whatever becomes of the answer.

        Args:
            request: The submission; its fault may say how the call ends.
            endpoint: Model or route, as the ledger shows it.
            body: What was sent.
            shape: The clip that it will make.
            call_id: The family's own form of id; None: a UUID.
            webhook: Where to tell.
            ending: How it ends, where the input decides that.
            stops_after_s: It is stopped by itself when it is not over by then.

        Raises:
            ValueError: the id is taken.
        """
        fault = self.fault(request)
        if fault is not None and fault.name in ENDINGS:
            ending = Ending(ENDINGS[fault.name])
            used(request)
        now = self.now()
        call = Call(
            call_id or str(uuid.uuid4()),
            endpoint,
            body,
            shape,
            accepted_at=time.time(),
            begun=now,
            latency_s=self.latency_s,
            why=ending or Ending(),
            webhook=webhook,
            deadline=None if stops_after_s is None else now + stops_after_s,
        )
        self.calls.add(call)
        return call

    def cancel(self, request: Request, call: Call) -> Status:
        """Stop a call now, unless it is over; returns where it stood before.

        With `cancel_race` it succeeds at this very moment instead.
        """
        now = self.now()
        before = call.status(now)
        fault = self.fault(request)
        if not before.over:
            if fault is not None and fault.name == "cancel_race":
                used(request)
                call.why, call.latency_s = Ending(), now - call.begun
            else:
                call.stopped = now
            call.moved.set()
        return before

    async def deliver(self, request: Request, call: Call, *, name: str = "output.mp4") -> Response:
        """The clip of a call, with what the script says about downloads."""
        fault = self.fault(request)
        used(request)
        return delivered(await self.clips.get(call.shape), name, fault)

    def result_url(self, call: Call, name: str = "output.mp4") -> str:
        """Where the clip can be fetched without a key."""
        return f"{self.url}/_delivery/{call.id}/{name}"

    def fault(self, request: Request) -> Fault | None:
        """What is to go wrong with this request."""
        fault: Fault | None = request.scope.get(FAULT)
        return fault

    async def over(self, call: Call, at_most_s: float | None = None) -> None:
        """Return when a call is over, also when that comes sooner or later than planned.

        Args:
            call: Which.
            at_most_s: Return after so long in any case.
        """
        until = None if at_most_s is None else self.now() + at_most_s
        while not call.status(now := self.now()).over:
            if until is not None and now >= until:
                return
            wake = call.ends if until is None else min(call.ends, until)
            call.moved.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(call.moved.wait(), max(wake - now, 0.0) + 0.001)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something beside the requests; it ends with the fake."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @property
    def outbound(self) -> httpx.AsyncClient:
        """For webhooks: follows no redirect, waits as long as providers do."""
        if self._outbound is None:
            self._outbound = httpx.AsyncClient(
                timeout=WEBHOOK_WAIT_S, follow_redirects=False, trust_env=False
            )
        return self._outbound

    async def idle(self) -> None:
        """Return when nothing runs beside the requests any more: all webhooks are sent or given up."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    async def close(self) -> None:
        """End what runs beside the requests."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._outbound is not None:
            await self._outbound.aclose()


def used(request: Request) -> None:
    """The request's fault has been played."""
    request.scope[f"{FAULT}.used"] = True
