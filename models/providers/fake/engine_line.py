"""One GPU, one clip at a time: when the calls of a fake engine begin, in the order in which they came."""

from __future__ import annotations

import math

from models.providers.fake.calls import QUEUE_SHARE, Call, Calls, Status
from models.providers.fake.core import Fake

ARRIVED = "arrived"
"""Tag: when the call came, by the fake's clock."""
DELETED = "deleted"
"""Tag: its record is gone; whether its work goes on is another matter."""


def line_up(calls: Calls, now: float) -> None:
    """Let every call that waits begin when the one before it is over.

    A call's waiting share is part of its time (see `calls`), so it begins that share earlier.
    """
    free = -math.inf
    for call in calls.oldest_first():
        if call.status(now) is Status.QUEUED:
            call.begun = max(call.tags[ARRIVED], free - call.latency_s * QUEUE_SHARE)
        free = max(free, call.ends)


def known(fake: Fake, call_id: str) -> Call | None:
    """A call whose record is there."""
    call = fake.calls.get(call_id)
    return None if call is None or call.tags.get(DELETED) else call


def listed(fake: Fake) -> list[Call]:
    """All calls with a record, oldest first."""
    return [call for call in fake.calls.oldest_first() if not call.tags.get(DELETED)]
