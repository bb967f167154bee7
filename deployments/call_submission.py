"""From a photograph to an accepted call: upload, prepare, intent, submit, ticket. Nothing is sent twice."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TypeVar

from deployments.call_inputs import attachments
from deployments.call_search import search
from deployments.call_state import CallState, HandedBack
from models.errors import (
    AccountFull,
    OutcomeUnknown,
    PriceUnknown,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
    RunnerError,
)
from models.providers.base import Attachment, Prepared, Role, Ticket, Wanted
from router.jobs.call_store import CallOutcome, NewCall, RemoteCall

log = logging.getLogger("i2v.call")

T = TypeVar("T")


async def accepted_call(state: CallState) -> tuple[RemoteCall, Ticket]:
    """The call to follow, with its ticket: the one that is open already, or a new one.

    Raises:
        OutcomeUnknown: it cannot be found out whether a submission arrived.
        ProviderError, InputRefused, MediaUnavailable: as typed; nothing is under way.
        SpendCapReached, PriceUnknown: the account may spend no more, or not so.
        HandedBack: the call that is open was sent by another account.
    """
    store, task = state.desk.store, state.task
    if task.open_call is None:
        return await _new_call(state)
    async with state.desk.books:
        call = await store.calls.get(task.open_call)
    if call is None:
        raise RunnerError(f"the books have no call {task.open_call}")
    if (call.provider, call.account) != (state.desk.provider.name, state.desk.args.account):
        raise HandedBack(f"call {call.id} is of account {call.provider}/{call.account}")
    if call.ticket is not None:
        return call, Ticket(call.ticket, call.urls or call.marker)
    ticket = await _searched(state, call)
    if ticket is None:
        state.close_as(CallOutcome.REFUSED)
        raise ProviderUnavailable("the submission of an earlier attempt never arrived")
    return await _written_down(state, call, ticket), ticket


async def _new_call(state: CallState) -> tuple[RemoteCall, Ticket]:
    desk, task = state.desk, state.task
    if desk.args.spend_cap_usd is not None and task.usd is None:
        account = desk.args.account
        raise PriceUnknown(f"{task.key}: its price is not known, and account {account} has a spend cap")
    reference = f"call_{secrets.token_hex(12)}"
    wanted, inputs, files = await _uploaded(state, reference)
    prepared = desk.provider.prepare(wanted, inputs, files)
    state.heed()
    new = NewCall(
        id=reference,
        provider=desk.provider.name,
        account=desk.args.account,
        model=task.card.id,
        offer=task.offer.id,
        marker=prepared.marker,
        usd=state.price(),
        cap_usd=desk.args.spend_cap_usd,
        window_s=desk.args.spend_window_s,
    )
    # Before the intent: should it be written and its answer lost, nothing was sent all the same.
    state.close_as(CallOutcome.REFUSED)
    async with desk.books:
        call = await desk.store.calls.intend(task.job_id, task.fence, new)
    ticket = await _submitted(state, prepared, call)
    return await _written_down(state, call, ticket), ticket


async def _uploaded(
    state: CallState, reference: str
) -> tuple[Wanted, Mapping[Role, str], Mapping[Role, Attachment]]:
    """What is wanted, and its inputs: as the provider names what went up, or to travel in the body."""
    desk, task = state.desk, state.task
    # One turn for the inputs and the submission that follows them: uploads never run ahead of what is sent.
    await state.take_turn("submit")
    state.heed()
    await state.show("uploading")
    async with desk.uploads:
        files = await attachments(desk, task, state.folder, reference)
        inputs: dict[Role, str] = {}
        if desk.provider.abilities.uploads:
            for role, attachment in files.items():
                inputs[role] = await _answered(state, partial(desk.provider.upload, attachment))
            files = {}
        base = desk.webhook_base if desk.provider.abilities.webhooks else None
        wanted = task.wanted(reference, f"{base}/{reference}" if base else None)
        return wanted, inputs, files


async def _submitted(state: CallState, prepared: Prepared, call: RemoteCall) -> Ticket:
    """Submit; again only after it is certain that nothing was accepted."""
    state.turn("submitting")
    while True:
        try:
            ticket = await _answered(state, partial(_sent, state, prepared))
        except OutcomeUnknown as error:
            log.warning("submission %s was not answered: %s", call.id, error.message)
            found = await _searched(state, call)
            if found is not None:
                return found
        else:
            state.desk.turns.accepted()
            return ticket


async def _sent(state: CallState, prepared: Prepared) -> Ticket:
    state.check_lease()
    return await state.desk.provider.submit(prepared)


async def _answered(state: CallState, ask: Callable[[], Awaitable[T]]) -> T:
    """Ask until there is an answer, for `submit_s`. Only what cannot pay twice is repeated.

    Raises:
        HandedBack: the account is full, and stays so; that is not the job's fault.
    """
    desk = state.desk
    deadline = time.monotonic() + desk.pace.submit_s
    while True:
        state.heed()
        try:
            return await ask()
        except (ProviderUnavailable, RateLimited) as error:
            desk.noted(state.task, error)
            full = isinstance(error, RateLimited)
            if full:
                desk.turns.refused("submit", error.retry_after_s)
            pause = max(desk.pace.retry_s, error.retry_after_s or 0.0)
            if time.monotonic() + pause > deadline:
                if full:
                    told = "the account has taken no more calls for a while"
                    desk.noted(state.task, AccountFull(told))
                    raise HandedBack(told) from error
                raise
            await state.news.wait(pause)
            await state.take_turn("submit")
        except ProviderError as error:
            desk.noted(state.task, error)
            raise


async def _searched(state: CallState, call: RemoteCall) -> Ticket | None:
    """Find out whether a submission arrived. While that is open so is the call; unknown is booked as paid."""
    state.leave_open()
    try:
        ticket = await search(state, call)
    except OutcomeUnknown:
        state.close_as(CallOutcome.UNKNOWN, state.price())
        raise
    if ticket is None:
        state.close_as(CallOutcome.REFUSED)
    return ticket


async def _written_down(state: CallState, call: RemoteCall, ticket: Ticket) -> RemoteCall:
    """Commit the ticket. Until that is done the call can be found again by its marker."""
    state.leave_open()
    calls = state.desk.store.calls
    await state.write(lambda: calls.accepted(call.id, state.task.fence, ticket.id, ticket.urls))
    state.desk.noted(state.task, None)
    return call
