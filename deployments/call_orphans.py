"""Calls whose job is over: the provider is told to stop, and what they cost is booked."""

from __future__ import annotations

import logging
import time

from deployments.call_desk import Desk
from deployments.call_search import CLOCK_SLACK_S
from models.errors import OutcomeUnknown, ProviderError, StoreUnavailable
from models.providers.base import Phase, Sighting, Ticket
from router.jobs.call_store import CallEnd, CallOutcome, RemoteCall

log = logging.getLogger("i2v.call")

SETTLED = 6
"""So many times the time in which a submission shows in a listing must have passed before it counts as never
accepted. Our choice."""


async def sweep(desk: Desk) -> int:
    """One pass over the account's orphans; returns how many were closed.

    Raises:
        StoreUnavailable: the job store is away.
    """
    closed = 0
    for call in await desk.store.calls.orphans(desk.provider.name, desk.args.account):
        try:
            end = await _ended(desk, call)
        except ProviderError as error:
            log.warning("orphan %s is looked at later: %s", call.id, error.message)
            end = _given_up(desk, call)
        except StoreUnavailable:
            raise
        except Exception:
            # One stray call must not keep the worker from all others.
            log.exception("orphan %s cannot be looked at", call.id)
            end = _given_up(desk, call)
        if end is not None:
            await desk.store.calls.close(call.id, end)
            closed += 1
    return closed


def _given_up(desk: Desk, call: RemoteCall) -> CallEnd | None:
    """An orphan that could not be looked at for so long that nobody will know: booked as if it was paid."""
    old = time.time() - call.intended_at > 2 * desk.pace.least_life_s
    return CallEnd(CallOutcome.UNKNOWN, call.usd) if old else None


async def _ended(desk: Desk, call: RemoteCall) -> CallEnd | None:
    """How an orphan ended; None while it goes on."""
    age = time.time() - call.intended_at
    ticket = None if call.ticket is None else Ticket(call.ticket, call.urls or call.marker)
    if ticket is None:
        try:
            ticket = await _refound(desk, call)
        except OutcomeUnknown:
            return CallEnd(CallOutcome.UNKNOWN, call.usd) if age > desk.pace.find_s else None
        if ticket is None:
            # Certainly not accepted, long after whoever intended it has stopped sending.
            surely = desk.pace.submit_s + SETTLED * desk.pace.settle_s
            return CallEnd(CallOutcome.REFUSED, 0.0) if age > surely else None
    await desk.turns.turn("look")
    sighting = await desk.provider.look(ticket)
    if not sighting.phase.over:
        await desk.provider.cancel(ticket)
        sighting = await desk.provider.look(ticket)
    if sighting.phase.over:
        return _end(desk, call, sighting)
    if not desk.provider.abilities.cancels:
        return CallEnd(CallOutcome.CANCELLED, 0.0)
    lives = desk.pace.least_life_s
    return CallEnd(CallOutcome.UNKNOWN, call.usd) if time.time() - call.intended_at > 2 * lives else None


async def _refound(desk: Desk, call: RemoteCall) -> Ticket | None:
    since = call.intended_at - CLOCK_SLACK_S
    known = await desk.store.calls.tickets(call.provider, call.account, since)
    return await desk.provider.find(call.id, call.marker, since, known)


def _end(desk: Desk, call: RemoteCall, sighting: Sighting) -> CallEnd:
    paid = desk.provider.abilities.paid
    if sighting.phase is Phase.LOST:
        return CallEnd(CallOutcome.UNKNOWN, call.usd) if paid else CallEnd(CallOutcome.FAILED, 0.0)
    outcome = CallOutcome(sighting.phase.value)
    billed = sighting.phase is Phase.SUCCEEDED or bool(sighting.billed)
    usd = sighting.usd if sighting.usd is not None else call.usd if billed else 0.0
    return CallEnd(outcome, usd)
