"""What a call's run is told from outside while it waits."""

from __future__ import annotations

import asyncio
import contextlib


class CallNews:
    """Flags of one run; waiting ends when one is set."""

    def __init__(self) -> None:
        self.cancelled = False
        """The client wants it stopped."""
        self.overtaken = False
        """A later attempt exists, or the job is over: write nothing more."""
        self.drains = False
        """The replica goes: hand the job back, the call goes on without us."""
        self._heard_at = 0.0
        self._event = asyncio.Event()

    @property
    def stops(self) -> bool:
        """Something other than progress is asked for."""
        return self.cancelled or self.overtaken or self.drains

    def cancel(self) -> None:
        """Stop, at the client's wish."""
        if not self.cancelled:
            self.cancelled = True
            self._event.set()

    def overtake(self) -> None:
        """Stop, and leave no trace."""
        self.overtaken = True
        self._event.set()

    def drain(self) -> None:
        """Let go."""
        self.drains = True
        self._event.set()

    def hear(self, at: float) -> None:
        """A webhook came at that time: look now, unless it is known already."""
        if at > self._heard_at:
            self._heard_at = at
            self._event.set()

    async def wait(self, seconds: float) -> None:
        """Sleep, or until there is news."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._event.wait(), seconds)
        self._event.clear()
