"""Following an accepted call until it is over: looks, progress, cancel, and an end to patience."""

from __future__ import annotations

import logging
import time

from deployments.call_state import CallState
from deployments.polling import next_look
from models.errors import Cancelled, OutcomeUnknown, ProviderError, ProviderFault, RateLimited
from models.providers.base import Phase, Sighting, Ticket
from models.providers.limits import LONGEST_LOOK_PAUSE_S
from router.jobs.call_store import CallOutcome, RemoteCall

log = logging.getLogger("i2v.call")

STAGES = {Phase.QUEUED: "waiting", Phase.RUNNING: "generating"}
"""Stages of a call as the job's progress names them."""
URGENT_S = 1.0
SLOWEST_STOP_S = 8.0
"""Between the first looks at a call that is being stopped; twice as long each time, up to the second."""


async def follow(state: CallState, call: RemoteCall, ticket: Ticket) -> tuple[Sighting, float]:
    """Look until it is over; returns what was seen last, and the seconds since it was accepted.

    Raises:
        StaleFence, HandedBack: this attempt is to let go; the call stays open.
        Cancelled: the client's cancel reached the provider, which has not said yet that it is over.
        ProviderFault: it took far too long and was cancelled.
        OutcomeUnknown: the same, and the cancel was not confirmed.
    """
    watch, limits = _Watch(state, call, ticket), state.desk.turns.limits
    limits.begun()
    try:
        while True:
            state.heed_leaving()
            await watch.stop_if_asked()
            sighting = await watch.look()
            if sighting is not None and sighting.phase.over:
                return watch.judged(sighting), watch.elapsed
            watch.check_patience()
            if sighting is not None:
                await watch.show(sighting)
            await state.news.wait(watch.pause())
    finally:
        limits.ended()


class _Watch:
    """One call under observation."""

    def __init__(self, state: CallState, call: RemoteCall, ticket: Ticket) -> None:
        self._stops = 0
        self._absent_since: float | None = None
        pace, expected = state.desk.pace, state.task.expected_s
        since = 0.0 if call.submitted_at is None else max(0.0, time.time() - call.submitted_at)
        self._state = state
        self._ticket = ticket
        self._began = time.monotonic() - since
        self._life_s = max(pace.least_life_s, pace.lives * expected)
        self._stopping_since: float | None = None
        self._retry_after_s = 0.0

    @property
    def elapsed(self) -> float:
        """Seconds since the provider accepted it."""
        return time.monotonic() - self._began

    async def stop_if_asked(self) -> None:
        """Send the cancel, and again with every look until the call is over."""
        if not self._state.news.cancelled and self.elapsed <= self._life_s:
            return
        if self._stopping_since is None:
            self._stopping_since = time.monotonic()
        self._stops += 1
        try:
            await self._state.desk.provider.cancel(self._ticket)
        except ProviderError as error:
            if isinstance(error, RateLimited):
                self._state.desk.turns.refused("look", error.retry_after_s)
            log.warning("the cancel of %s is sent again: %s", self._state.task.job_id, error.message)

    async def look(self) -> Sighting | None:
        """What is to be seen; None when the provider cannot say now."""
        desk, task = self._state.desk, self._state.task
        if self._stopping_since is None:
            # A call that is being stopped is looked at out of turn: somebody waits for it to end.
            await self._state.take_turn("look")
            if self._state.news.stops:
                return None
        try:
            sighting = await desk.provider.look(self._ticket)
        except ProviderError as error:
            desk.noted(task, error)
            if isinstance(error, RateLimited):
                desk.turns.refused("look", error.retry_after_s)
            self._retry_after_s = max(
                desk.pace.retry_s, min(error.retry_after_s or 0.0, LONGEST_LOOK_PAUSE_S)
            )
            return None
        self._retry_after_s = 0.0
        return None if self._not_there_yet(sighting) else sighting

    def _not_there_yet(self, sighting: Sighting) -> bool:
        """A paid call is lost only once it has been absent for a while: status may lag behind acceptance."""
        desk = self._state.desk
        if sighting.phase is not Phase.LOST or not desk.provider.abilities.paid:
            self._absent_since = None
            return False
        if self._absent_since is None:
            self._absent_since = time.monotonic()
        self._retry_after_s = desk.pace.lost_s / 5
        return time.monotonic() - self._absent_since < desk.pace.lost_s

    def judged(self, sighting: Sighting) -> Sighting:
        """The last sighting; a call that we ended ourselves for its length is a fault of the provider."""
        ours = self._stopping_since is not None and not self._state.news.cancelled
        if ours and sighting.phase is Phase.CANCELLED:
            cost = self._state.charge(sighting, billed=bool(sighting.billed))
            self._state.close_as(CallOutcome.CANCELLED, cost)
            raise ProviderFault(f"no end after {self.elapsed:.0f} s: the call was cancelled")
        return sighting

    def check_patience(self) -> None:
        """Answer the client when a cancel is not confirmed in time; the worker watches the call on."""
        state = self._state
        if self._stopping_since is None:
            return
        if state.news.cancelled and not state.desk.provider.abilities.cancels:
            state.close_as(CallOutcome.CANCELLED)
            raise Cancelled("cancelled; the engine cannot stop and works on for nothing")
        if time.monotonic() - self._stopping_since <= state.desk.pace.cancel_s:
            return
        if state.news.cancelled:
            raise Cancelled("cancelled; the provider has not confirmed it yet")
        state.close_as(CallOutcome.UNKNOWN, state.price())
        raise OutcomeUnknown(f"no end after {self.elapsed:.0f} s, and its cancel was not confirmed")

    async def show(self, sighting: Sighting) -> None:
        """Pass progress on."""
        percent = 0 if sighting.progress is None else int(100 * sighting.progress)
        left = self._state.task.expected_s - self.elapsed
        await self._state.show(STAGES[sighting.phase], percent, round(left, 1) if left > 0 else None)

    def pause(self) -> float:
        """Seconds until the next look."""
        desk = self._state.desk
        if self._stopping_since is not None:
            pause = min(SLOWEST_STOP_S, URGENT_S * 2.0 ** min(self._stops - 1, 10))
        else:
            called_back = desk.webhook_base is not None and desk.provider.abilities.webhooks
            pause = next_look(self.elapsed, self._state.task.expected_s, called_back=called_back)
        return max(self._retry_after_s, min(pause, desk.pace.longest_look_s))
