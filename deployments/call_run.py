"""One attempt at a provider: from the inputs that go up to the clip that is published.

    upload -> prepare -> intent (committed) -> submit -> ticket (committed) -> look ... -> download -> publish

Whoever comes after a crash finds the call in the books and goes on from there: with a ticket it looks,
without one it finds out whether the submission arrived. A call is closed in the transaction that ends the
attempt, so that money and job never tell different stories.
"""

from __future__ import annotations

import asyncio
import logging
import shutil

from deployments.call_delivery import Delivered, deliver
from deployments.call_following import follow
from deployments.call_state import CallState, HandedBack
from deployments.call_submission import accepted_call
from deployments.ranks import error_json
from models.errors import (
    Cancelled,
    I2VError,
    OutcomeUnknown,
    ProviderAuth,
    ProviderFault,
    QuotaExhausted,
    ResultUnusable,
    RunnerError,
    SpendCapReached,
    StaleFence,
)
from models.providers.base import Phase, Sighting, Ticket
from router.jobs.call_store import CallOutcome, RemoteCall
from router.jobs.records import Observation

log = logging.getLogger("i2v.call")


async def see_through(state: CallState) -> None:
    """Have the clip made and published, or write why not. What belongs to the attempt is never raised."""
    task = state.task
    try:
        await _see_through(state)
    except StaleFence as error:
        log.info("attempt %s of %s lets go: %s", task.fence, task.job_id, error.message)
    finally:
        await asyncio.to_thread(shutil.rmtree, state.folder, ignore_errors=True)


async def _see_through(state: CallState) -> None:
    task, store = state.task, state.desk.store
    try:
        call, ticket = await accepted_call(state)
        sighting, seconds = await follow(state, call, ticket)
        if sighting.phase is Phase.SUCCEEDED:
            await _publish(state, call, ticket, sighting, seconds)
        else:
            _not_made(state, sighting)
    except HandedBack as back:
        reason = str(back)
        # What is under way, or made and not yet published, the next worker goes on with.
        end = state.end if state.end is not None and state.end.outcome is CallOutcome.REFUSED else None
        await state.write(lambda: store.hand_back(task.job_id, task.fence, reason=reason, call=end))
    except Cancelled:
        await state.write(lambda: store.finish_cancelled(task.job_id, task.fence, call=state.end))
    except StaleFence:
        raise
    except (ProviderAuth, QuotaExhausted, SpendCapReached) as error:
        # The account is at fault, not the job: it costs no attempt, and the account is out for a while.
        if isinstance(error, SpendCapReached):
            state.desk.noted(task, error)  # the others were noted where the provider said so
        told, end = f"{error.code}: {error.message}", state.end
        await state.write(lambda: store.hand_back(task.job_id, task.fence, reason=told, call=end))
    except I2VError as error:
        await _fail(state, error)
    except Exception as error:
        log.exception("attempt %s of %s failed in an undeclared way", task.fence, task.job_id)
        state.leave_open()
        await _fail(state, RunnerError(f"undeclared: {type(error).__name__}"))


def _not_made(state: CallState, sighting: Sighting) -> None:
    """Raise what became of a call that made no clip."""
    cancelled = state.news.cancelled
    if sighting.phase is Phase.LOST:
        if not state.desk.provider.abilities.paid:
            state.close_as(CallOutcome.FAILED)
            raise ProviderFault("the engine does not know the job any more: it was restarted")
        state.close_as(CallOutcome.UNKNOWN, state.price())
        raise OutcomeUnknown("the provider does not know the call any more; it may have been charged")
    outcome = CallOutcome.CANCELLED if sighting.phase is Phase.CANCELLED else CallOutcome.FAILED
    state.close_as(outcome, state.charge(sighting, billed=bool(sighting.billed)))
    if cancelled:
        raise Cancelled(f"cancelled; the call {sighting.phase} at the provider")
    error = sighting.error or ProviderFault(f"the call {sighting.phase} at the provider, without a reason")
    state.desk.noted(state.task, error)
    raise error


async def _publish(
    state: CallState, call: RemoteCall, ticket: Ticket, sighting: Sighting, seconds: float
) -> None:
    charge = state.charge(sighting, billed=True)
    state.close_as(CallOutcome.SUCCEEDED, charge)
    state.heed()
    state.desk.noted(state.task, None)
    await state.show("downloading")
    # Whatever keeps it from being stored, the clip is paid: who comes after fetches it and buys no other.
    state.leave_open()
    try:
        made = await deliver(state, ticket, sighting)
    except (ResultUnusable, Cancelled):
        state.close_as(CallOutcome.SUCCEEDED, charge)
        raise
    state.close_as(CallOutcome.SUCCEEDED, charge)
    await _complete(state, call, ticket, sighting, made, charge, seconds)


async def _complete(
    state: CallState,
    call: RemoteCall,
    ticket: Ticket,
    sighting: Sighting,
    made: Delivered,
    charge: float,
    seconds: float,
) -> None:
    task, desk = state.task, state.desk
    paid = desk.provider.abilities.paid
    worked_s = seconds if paid else sighting.run_seconds or seconds
    gpu_seconds = 0.0 if paid else worked_s * task.gpus
    usage = {
        "gpu_seconds": round(gpu_seconds, 3),
        "usd": round(charge + gpu_seconds * (desk.usd_per_gpu_s or 0.0), 6),
        "predicted_seconds": task.expected_s,
        "predicted_usd": task.usd,
        "actual_seconds": round(seconds, 3),
    }
    result = {
        "media": made.media,
        "geometry": dict(made.geometry),
        "stages": state.stages,
        "notes": list(made.notes),
        "served_model": task.card.id,
        "offer": task.offer.id,
        "provider": {
            "name": desk.provider.name,
            "call": call.id,
            "ticket": ticket.id,
            "served": sighting.served,
        },
    }
    observed = Observation(
        task.card.id, task.offer.id, desk.args.gpu or "hosted", task.gpus, task.formula_s, worked_s
    )
    try:
        await state.write(
            lambda: desk.store.complete(
                task.job_id,
                task.fence,
                result=result,
                usage=usage,
                gpu_seconds=gpu_seconds,
                retain_s=desk.retain_s,
                observation=observed,
                call=state.end,
            )
        )
    except (StaleFence, Cancelled):
        await asyncio.to_thread(desk.media.delete, [stored["key"] for stored in made.media.values()])
        raise


async def _fail(state: CallState, error: I2VError) -> None:
    task = state.task
    told = error_json(error)
    shown = {key: told.get(key) for key in ("code", "message", "param")}
    log.info("attempt %s of %s: %s: %s", task.fence, task.job_id, error.code, error.message)
    await state.write(
        lambda: state.desk.store.fail(
            task.job_id, task.fence, error=shown, disposition=error.disposition, call=state.end
        )
    )
