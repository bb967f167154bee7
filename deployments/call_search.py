"""Finding out whether a submission arrived whose answer was lost."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from deployments.call_desk import Desk
from deployments.call_news import CallNews
from models.errors import OutcomeUnknown, ProviderError
from models.providers.base import Ticket
from router.jobs.call_store import RemoteCall

log = logging.getLogger("i2v.call")

CLOCK_SLACK_S = 120.0
"""The provider's clock and the database's may differ by as much."""
SURE = 2
"""So many looks in a row must show nothing before a submission counts as never accepted."""


async def search(
    desk: Desk, call: RemoteCall, news: CallNews, heed: Callable[[], None], expected_s: float
) -> Ticket | None:
    """The call's ticket, or None when it certainly was not accepted.

    Raises:
        OutcomeUnknown: it cannot be found out, or not in time.
    """
    deadline = time.time() + desk.pace.find_s
    finds = desk.provider.abilities.finds
    if finds == "webhook" and desk.webhook_base is not None:
        return await _called_back(desk, call, news, heed, deadline + 2 * expected_s)
    if finds in {"webhook", "nothing"}:
        raise OutcomeUnknown(
            f"{desk.provider.name} did not answer the submission and has no means to ask for it; "
            "it may run and be charged"
        )
    return await _listed(desk, call, news, heed, deadline)


async def _listed(
    desk: Desk, call: RemoteCall, news: CallNews, heed: Callable[[], None], deadline: float
) -> Ticket | None:
    nothing = 0
    while True:
        heed()
        settled = time.time() - call.intended_at >= desk.pace.settle_s
        await desk.turns.turn("look")
        try:
            known = await desk.store.calls.tickets(
                call.provider, call.account, call.intended_at - CLOCK_SLACK_S
            )
            found = await desk.provider.find(call.id, call.marker, call.intended_at - CLOCK_SLACK_S, known)
        except OutcomeUnknown:
            raise
        except ProviderError as error:
            log.warning("%s cannot be searched for now: %s", call.id, error.message)
            nothing = 0
        else:
            if found is not None:
                return found
            # What was still on its way when it was looked for arrives within seconds, or never.
            nothing = nothing + 1 if settled else 0
            if nothing >= SURE:
                return None
        if time.time() > deadline:
            raise OutcomeUnknown(
                f"the submission to {desk.provider.name} was not answered, and it could not be found out "
                f"within {desk.pace.find_s:.0f} s whether it arrived"
            )
        await news.wait(desk.pace.settle_s / SURE)


async def _called_back(
    desk: Desk, call: RemoteCall, news: CallNews, heed: Callable[[], None], deadline: float
) -> Ticket:
    while time.time() < deadline:
        heed()
        row = await desk.store.calls.get(call.id)
        if row is not None and row.ticket is not None:
            return Ticket(row.ticket, row.urls or row.marker)
        await news.wait(desk.pace.retry_s * 5)
    raise OutcomeUnknown(
        f"{desk.provider.name} did not answer the submission and no webhook came; it may run and be charged"
    )
