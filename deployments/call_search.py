"""Finding out whether a submission arrived whose answer was lost."""

from __future__ import annotations

import logging
import time

from deployments.call_state import CallState
from models.errors import OutcomeUnknown, ProviderError
from models.providers.base import Ticket
from router.jobs.call_store import RemoteCall

log = logging.getLogger("i2v.call")

CLOCK_SLACK_S = 120.0
"""The provider's clock and the database's may differ by as much."""
SURE = 2
"""So many looks in a row must show nothing before a submission counts as never accepted."""


async def search(state: CallState, call: RemoteCall) -> Ticket | None:
    """The call's ticket, or None when it certainly was not accepted.

    Raises:
        OutcomeUnknown: it cannot be found out, or not in time.
        StaleFence, Cancelled, HandedBack: see `CallState.heed`.
    """
    desk = state.desk
    finds = desk.provider.abilities.finds
    if finds == "webhook" and desk.webhook_base is not None:
        return await _called_back(state, call)
    if finds in {"webhook", "nothing"}:
        raise OutcomeUnknown(
            f"{desk.provider.name} did not answer the submission and has no means to ask for it; "
            "it may run and be charged"
        )
    return await _listed(state, call)


async def _listed(state: CallState, call: RemoteCall) -> Ticket | None:
    desk, nothing = state.desk, 0
    # From now on, not from the intent: the submission may have been sent long after that.
    began = time.monotonic()
    while True:
        state.heed()
        settled = time.monotonic() - began >= desk.pace.settle_s
        await state.take_turn("look")
        state.heed()
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
        if time.monotonic() - began > desk.pace.find_s:
            raise OutcomeUnknown(
                f"the submission to {desk.provider.name} was not answered, and it could not be found out "
                f"within {desk.pace.find_s:.0f} s whether it arrived"
            )
        await state.news.wait(desk.pace.settle_s / SURE)


async def _called_back(state: CallState, call: RemoteCall) -> Ticket:
    desk = state.desk
    deadline = time.monotonic() + desk.pace.find_s + 2 * state.task.expected_s
    while time.monotonic() < deadline:
        state.heed()
        row = await desk.store.calls.get(call.id)
        if row is not None and row.ticket is not None:
            return Ticket(row.ticket, row.urls or row.marker)
        await state.news.wait(desk.pace.retry_s * 5)
    raise OutcomeUnknown(
        f"{desk.provider.name} did not answer the submission and no webhook came; it may run and be charged"
    )
