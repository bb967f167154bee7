"""The books of calls to providers, on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from models.errors import Cancelled, Disposition, SpendCapReached, StaleFence
from router.jobs.call_store import CallEnd, CallOutcome, CallState, NewCall
from router.jobs.records import JobStatus

PAID = CallEnd(CallOutcome.SUCCEEDED, 0.4)
UNKNOWN = CallEnd(CallOutcome.UNKNOWN, 0.5)
LOST = {"code": "outcome_unknown", "message": "nobody can say"}


def new_call(number: int | str = 1, **changes: Any) -> NewCall:
    values = NewCall(
        id=f"call_{number}", provider="replicate", account="default", model="parallax", offer="local",
        marker={"image": f"https://files/{number}"}, usd=0.5,
    )  # fmt: skip
    return replace(values, **changes)


async def sent(store, steps, number: int | str = 1, **changes):
    """A running attempt with an accepted call."""
    job = await steps.create()
    run = await steps.run(job.id)
    call = await store.calls.intend(job.id, run.fence, new_call(number, **changes))
    await store.calls.accepted(call.id, run.fence, f"ticket {number}", {"get": "https://there"})
    return job, run, call


# --- from the intent to the end ----------------------------------------------------------------------------


async def test_a_call_is_written_before_it_is_sent_and_closed_with_its_job(store, steps):
    job = await steps.create()
    run = await steps.run(job.id)
    call = await store.calls.intend(job.id, run.fence, new_call())
    assert (call.state, call.job_id, call.fence, call.ticket) == (CallState.INTENDED, job.id, run.fence, None)
    assert (await store.get(job.id)).open_call == call.id
    await store.calls.accepted(call.id, run.fence, "t1", {"get": "https://there"})
    known = await store.calls.get(call.id)
    assert (known.state, known.ticket, known.urls) == (CallState.SUBMITTED, "t1", {"get": "https://there"})
    assert known.marker == {"image": "https://files/1"}
    assert known.submitted_at >= known.intended_at
    done = await steps.complete(job.id, run.fence, call=PAID)
    assert (done.open_call, done.spent_usd, done.ceiling_usd) == (None, 0.4, None)
    (closed,) = await store.calls.of_job(job.id)
    assert (closed.state, closed.outcome, closed.usd) == (CallState.CLOSED, CallOutcome.SUCCEEDED, 0.4)
    assert closed.closed_at == done.finished_at


async def test_a_call_that_nobody_made_is_none(store):
    assert await store.calls.get("call_x") is None
    assert await store.calls.of_job("vid_x") == ()
    assert not await store.calls.heard("call_x", "t")
    await store.calls.close("call_x", PAID)
    with pytest.raises(StaleFence):
        await store.calls.accepted("call_x", 1, "t", {})


async def test_a_job_has_at_most_one_open_call(store, steps):
    job, run, first = await sent(store, steps)
    with pytest.raises(StaleFence, match="not settled"):
        await store.calls.intend(job.id, run.fence, new_call(2))
    again = await store.calls.intend(job.id, run.fence, new_call(1))
    assert again.id == first.id, "its first reply may have been lost"
    assert len(await store.calls.of_job(job.id)) == 1


async def test_an_intent_is_refused_to_whoever_may_not_send(store, steps):
    job = await steps.create()
    run = await steps.run(job.id)
    await store.lose(job.id, run.fence, "dead")
    with pytest.raises(StaleFence):
        await store.calls.intend(job.id, run.fence, new_call())
    later = await steps.run(job.id)
    with pytest.raises(StaleFence):
        await store.calls.intend(job.id, run.fence, new_call())
    await store.cancel(job.id)
    with pytest.raises(Cancelled):
        await store.calls.intend(job.id, later.fence, new_call())
    assert await store.calls.of_job(job.id) == ()


@pytest.mark.parametrize("end", ["fail", "hand_back", "finish_cancelled"])
async def test_every_end_of_an_attempt_can_close_its_call(store, steps, end):
    job, run, call = await sent(store, steps)
    settled = CallEnd(CallOutcome.FAILED, 0.1)
    if end == "fail":
        told = {"code": "provider_fault", "message": "no"}
        await store.fail(job.id, run.fence, error=told, disposition=Disposition.RETRY, call=settled)
    elif end == "hand_back":
        await store.hand_back(job.id, run.fence, reason="it drains", call=settled)
    else:
        await store.cancel(job.id)
        await store.finish_cancelled(job.id, run.fence, call=settled)
    after = await store.get(job.id)
    assert (after.open_call, after.spent_usd) == (None, 0.1)
    assert (await store.calls.get(call.id)).outcome is CallOutcome.FAILED


@pytest.mark.parametrize("end", ["lose", "hand_back", "fail", "reap"])
async def test_an_open_call_outlives_its_attempt_and_is_followed(store, steps, end):
    job, run, call = await sent(store, steps)
    if end == "lose":
        await store.lose(job.id, run.fence, "the node is gone")
    elif end == "hand_back":
        await store.hand_back(job.id, run.fence, reason="it drains")
    elif end == "fail":
        told = {"code": "provider_unavailable", "message": "no"}
        await store.fail(job.id, run.fence, error=told, disposition=Disposition.RETRY)
    else:
        await store.calls.renew_all([(job.id, run.fence)], -1.0)
        await store.reap()
    waiting = await store.get(job.id)
    assert (waiting.status, waiting.open_call, waiting.spent_usd) == (JobStatus.QUEUED, call.id, 0.0)
    assert await steps.claim(job.id, offer="another") is None, "it was not sent there"
    later = await steps.run(job.id)
    assert later.fence == run.fence + 1
    await store.calls.accepted(call.id, later.fence, "ticket 1", {"get": "anew"})
    assert (await steps.complete(job.id, later.fence, call=PAID)).spent_usd == 0.4
    (only,) = await store.calls.of_job(job.id)
    assert (only.fence, only.urls) == (run.fence, {"get": "anew"})


async def test_an_overtaken_attempt_stops_but_its_ticket_is_kept(store, steps):
    job = await steps.create()
    run = await steps.run(job.id)
    call = await store.calls.intend(job.id, run.fence, new_call())
    await store.lose(job.id, run.fence, "it was only slow")
    with pytest.raises(StaleFence):
        await store.calls.accepted(call.id, run.fence, "t1", {})
    assert (await store.calls.get(call.id)).ticket == "t1", "nobody else knows it"
    with pytest.raises(StaleFence, match="another ticket"):
        await store.calls.accepted(call.id, run.fence, "t2", {})
    later = await steps.run(job.id)
    await steps.complete(job.id, later.fence, call=PAID)
    with pytest.raises(StaleFence, match="closed"):
        await store.calls.accepted(call.id, later.fence, "t1", {})


# --- unknown outcomes --------------------------------------------------------------------------------------


async def test_an_unknown_outcome_excludes_the_offer_and_counts_as_paid(store, steps):
    job, run, _ = await sent(store, steps)
    await store.fail(job.id, run.fence, error=LOST, disposition=Disposition.FALLBACK, call=UNKNOWN)
    after = await store.get(job.id)
    assert (after.status, after.excluded) == (JobStatus.QUEUED, ("parallax/local",))
    assert (after.spent_usd, after.ceiling_usd) == (0.5, 1.0), "the promised price once more"
    run = await steps.run(job.id, offer="other")
    await store.calls.intend(job.id, run.fence, new_call(2, offer="other", usd=0.3))
    end = replace(UNKNOWN, usd=0.3)
    await store.fail(job.id, run.fence, error=LOST, disposition=Disposition.FALLBACK, call=end)
    after = await store.get(job.id)
    assert (after.spent_usd, after.ceiling_usd) == (0.8, 1.0), "a second one raises it no more"


async def test_a_clients_budget_stays_the_ceiling(store, steps):
    job = await steps.create(request={"max_cost_usd": 0.7})
    run = await steps.run(job.id)
    await store.calls.intend(job.id, run.fence, new_call())
    await store.fail(job.id, run.fence, error=LOST, disposition=Disposition.FALLBACK, call=UNKNOWN)
    assert (await store.get(job.id)).ceiling_usd == 0.7


async def test_an_unknown_outcome_that_cost_nothing_sets_no_ceiling(store, steps):
    job, run, _ = await sent(store, steps)
    end = replace(UNKNOWN, usd=0.0)
    await store.fail(job.id, run.fence, error=LOST, disposition=Disposition.FALLBACK, call=end)
    assert (await store.get(job.id)).ceiling_usd is None


async def test_a_call_that_nobody_can_follow_is_given_up(store, steps):
    job, run, call = await sent(store, steps)
    kept = await store.calls.abandon(job.id, call.id, LOST)
    assert kept.open_call == call.id, "an attempt has it in hand"
    await store.lose(job.id, run.fence, "dead")
    kept = await store.calls.abandon(job.id, "call_other", LOST)
    assert kept.open_call == call.id
    left = await store.calls.abandon(job.id, call.id, LOST)
    assert (left.status, left.open_call, left.excluded) == (JobStatus.QUEUED, None, ("parallax/local",))
    assert (left.spent_usd, left.ceiling_usd) == (0.5, 1.0)
    assert (await store.calls.get(call.id)).outcome is CallOutcome.UNKNOWN
    assert (await steps.types(job.id))[-1] == "fallback"
    assert await store.calls.abandon(job.id, call.id, LOST) == left, "once"


# --- orphans -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["cancel", "delete", "fail", "complete", "exhaust"])
async def test_a_call_whose_job_is_over_is_an_orphan_until_it_is_closed(store, steps, end):
    job, run, call = await sent(store, steps)
    assert await store.calls.orphans("replicate", "default") == ()
    await store.calls.close(call.id, PAID)
    assert (await store.calls.get(call.id)).closed_at is None, "it is no orphan yet"
    if end in {"cancel", "delete"}:
        await store.lose(job.id, run.fence, "dead")
        await (store.cancel(job.id) if end == "cancel" else store.delete(job.id))
    elif end == "complete":
        await steps.complete(job.id, run.fence)
    elif end == "exhaust":
        for _ in range(5):
            await store.lose(job.id, run.fence, "dead")
            if (await store.get(job.id)).status is JobStatus.FAILED:
                break
            run = await steps.run(job.id)
    else:
        told = {"code": "runner_error", "message": "no"}
        await store.fail(job.id, run.fence, error=told, disposition=Disposition.FAIL)
    assert [orphan.id for orphan in await store.calls.orphans("replicate", "default")] == [call.id]
    assert await store.calls.orphans("replicate", "another") == ()
    assert await store.calls.orphans("fal", "default") == ()
    await store.calls.close(call.id, PAID)
    assert await store.calls.orphans("replicate", "default") == ()
    closed = await store.calls.get(call.id)
    assert (closed.outcome, closed.usd) == (CallOutcome.SUCCEEDED, 0.4)
    if end == "delete":
        assert (closed.marker, closed.urls) == ({}, {}), "they name the photograph"
    else:
        assert (await store.get(job.id)).spent_usd == 0.4
    await store.calls.close(call.id, UNKNOWN)
    assert (await store.calls.get(call.id)).outcome is CallOutcome.SUCCEEDED, "a closed one stays as it is"


async def test_orphans_come_oldest_first_and_no_more_than_asked(store, steps):
    ids = []
    for number in range(3):
        job, run, call = await sent(store, steps, number)
        await steps.complete(job.id, run.fence)
        ids.append(call.id)
    assert [orphan.id for orphan in await store.calls.orphans("replicate", "default", limit=2)] == ids[:2]


async def test_a_deleted_job_leaves_no_marker_of_settled_calls(store, steps):
    job, run, call = await sent(store, steps)
    await steps.complete(job.id, run.fence, call=PAID)
    await store.delete(job.id)
    kept = await store.calls.get(call.id)
    assert (kept.marker, kept.urls, kept.usd) == ({}, {}, 0.4)


# --- webhooks and tickets ----------------------------------------------------------------------------------


async def test_a_webhook_is_news_of_an_open_call_with_its_ticket_only(store, steps):
    job, run, call = await sent(store, steps)
    assert not await store.calls.heard(call.id, "forged")
    assert (await store.calls.renew_all([(job.id, run.fence)], 30.0)).heard == {}
    assert await store.calls.heard(call.id, "ticket 1")
    news = await store.calls.renew_all([(job.id, run.fence)], 30.0)
    assert news.heard == {job.id: (await store.calls.get(call.id)).heard_at}
    await steps.complete(job.id, run.fence, call=PAID)
    assert not await store.calls.heard(call.id, "ticket 1")


async def test_a_webhook_may_be_the_first_to_name_the_ticket(store, steps):
    job = await steps.create()
    run = await steps.run(job.id)
    call = await store.calls.intend(job.id, run.fence, new_call())
    assert await store.calls.heard(call.id, "t9")
    known = await store.calls.get(call.id)
    assert (known.state, known.ticket) == (CallState.SUBMITTED, "t9")
    assert known.submitted_at is not None
    await store.calls.accepted(call.id, run.fence, "t9", {"get": "u"})
    assert (await store.calls.get(call.id)).submitted_at == known.submitted_at


async def test_tickets_are_those_of_the_account_since_then(store, steps):
    _, _, first = await sent(store, steps, 1)
    _, _, second = await sent(store, steps, 2)
    await sent(store, steps, 3, account="other")
    job = await steps.create()
    run = await steps.run(job.id)
    await store.calls.intend(job.id, run.fence, new_call(4))
    assert await store.calls.tickets("replicate", "default", 0.0) == {"ticket 1", "ticket 2"}
    assert first.intended_at <= second.intended_at
    assert await store.calls.tickets("replicate", "default", second.intended_at + 60) == frozenset()


# --- money -------------------------------------------------------------------------------------------------


async def test_what_is_open_and_what_was_charged_count_against_the_cap(store, steps):
    job, run, _ = await sent(store, steps, 1, usd=0.6)
    assert (await store.calls.spending("replicate", "default", 60.0)).usd == 0.6
    waiting = await steps.create()
    other = await steps.run(waiting.id)
    capped = new_call(2, usd=0.5, cap_usd=1.0, window_s=60.0)
    with pytest.raises(SpendCapReached) as caught:
        await store.calls.intend(waiting.id, other.fence, capped)
    assert 0 < caught.value.retry_after_s <= 60.0
    assert "$0.4 are left" in caught.value.message
    assert (await store.get(waiting.id)).open_call is None
    assert await store.calls.of_job(waiting.id) == ()
    await steps.complete(job.id, run.fence, call=CallEnd(CallOutcome.SUCCEEDED, 0.5))
    await store.calls.intend(waiting.id, other.fence, capped)
    spending = await store.calls.spending("replicate", "default", 60.0)
    assert spending.usd == 1.0
    assert spending.frees_at == (await store.calls.of_job(job.id))[0].intended_at + 60.0
    assert (await store.calls.spending("replicate", "other", 60.0)).usd == 0.0
    late = await store.calls.spending("replicate", "default", 1e-6)
    assert (late.usd, late.frees_at) == (0.0, None), "they have left the window"


async def test_a_refused_call_frees_what_it_held(store, steps):
    job, run, _ = await sent(store, steps, 1, usd=0.6, cap_usd=0.6)
    told = {"code": "provider_unavailable", "message": "no"}
    end = CallEnd(CallOutcome.REFUSED, 0.0)
    await store.fail(job.id, run.fence, error=told, disposition=Disposition.RETRY, call=end)
    spending = await store.calls.spending("replicate", "default", 60.0)
    assert (spending.usd, spending.frees_at) == (0.0, None)
    await sent(store, steps, 2, usd=0.6, cap_usd=0.6)


async def test_of_many_at_once_a_cap_for_three_lets_three_pass(make_store, store, steps):
    """From two stores, as two workers have: locks inside one process would not do."""
    other = make_store()
    await other.open()
    runs = []
    for _ in range(10):
        job = await steps.create()
        runs.append((job.id, (await steps.run(job.id)).fence))

    async def intend(number: int) -> bool:
        books = (store if number % 2 else other).calls
        try:
            await books.intend(*runs[number], new_call(number, usd=0.1, cap_usd=0.3))
        except SpendCapReached:
            return False
        return True

    try:
        passed = await asyncio.gather(*(intend(number) for number in range(10)))
    finally:
        await other.close()
    assert sum(passed) == 3
    assert (await store.calls.spending("replicate", "default", 60.0)).usd == pytest.approx(0.3)


# --- leases ------------------------------------------------------------------------------------------------


async def test_many_leases_are_renewed_at_once_and_tell_what_happened(store, steps, monkeypatch):
    monkeypatch.setattr("router.jobs.calls._LEASES_AT_ONCE", 3)
    runs = []
    for _ in range(7):
        job = await steps.create()
        runs.append(await steps.run(job.id, lease_s=5.0))
    before = {run.job_id: (await store.get(run.job_id)).heartbeat_at for run in runs}
    cancelled, overtaken, over = runs[1].job_id, runs[2].job_id, runs[5].job_id
    await store.cancel(cancelled)
    await store.lose(overtaken, 1, "dead")
    later = await steps.run(overtaken, lease_s=5.0)
    await steps.complete(over, 1)
    news = await store.calls.renew_all([(run.job_id, run.fence) for run in runs], 500.0)
    assert news.cancel == {cancelled}
    assert news.overtaken == {overtaken, over}
    leases = {attempt.job_id: attempt.lease_until for attempt in await store.running()}
    assert leases[overtaken] < later.lease_until + 100
    for run in runs:
        if run.job_id not in news.overtaken:
            assert leases[run.job_id] > run.lease_until + 400
            assert (await store.get(run.job_id)).heartbeat_at >= before[run.job_id]


async def test_a_thousand_leases_fit(store):
    leases = [(f"vid_{number}", 1) for number in range(1000)]
    news = await store.calls.renew_all(leases, 30.0)
    assert len(news.overtaken) == 1000
    assert (await store.calls.renew_all([], 30.0)).overtaken == frozenset()
