"""Grace for leases that ran out while the job store was away: their workers could not renew them."""

from __future__ import annotations

import time
from collections.abc import Callable


class Outage:
    """Remembers how long the store was away, and asks for grace when that was long.

    An outage shorter than half a lease leaves every living worker time to renew. After a longer one, workers
    get one lease to be heard again before the reaper may judge them.
    """

    def __init__(self, lease_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._lease_s = lease_s
        self._clock = clock
        self._since: float | None = None
        self._grace_until = float("-inf")

    def began(self) -> None:
        """The store did not answer."""
        if self._since is None:
            self._since = self._clock()

    def ended(self) -> None:
        """The store answered."""
        if self._since is not None and self._clock() - self._since > self._lease_s / 2:
            self._grace_until = self._clock() + self._lease_s
        self._since = None

    @property
    def grace(self) -> bool:
        """True while no lease may be held against its worker."""
        return self._since is not None or self._clock() < self._grace_until
