"""Jobs whose call to a provider is under way, and jobs after calls of unknown outcome, at the dispatcher."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from models.errors import Disposition
from models.gpus import load_gpus
from models.types import Residency
from policies.engine import Engine
from policies.profile import load_profiles
from router.dispatch import Dispatcher
from router.fakes import Call
from router.follow_up import Origin, pool_of
from router.jobs.call_store import CallEnd, CallOutcome, CallState, NewCall, RemoteCall
from router.jobs.records import Job, JobStatus, PoolRecord, Worker
from router.jobs.retry import Backoff
from router.jobs.sql import SqlJobStore
from router.launching import Taken, WorkerLost
from router.media import MediaStore
from tests.unit.router.dispatching import Bench, is_now, until
from tests.unit.router.hosting import ACCOUNT, account, account_worker, call_attempt, hosted_catalog
from tests.unit.router.test_dispatch_health import Remembering, faults

CATALOG = hosted_catalog()
ENGINE = Engine(CATALOG, load_gpus(), load_profiles())
PRICES = {
    ("fake-i2v", "replicate"): 0.5,
    ("fake-second-i2v", "replicate"): 0.6,
    ("fake-second-i2v", "fal"): 0.4,
}
FAL = "fal-main"


class Accounts:
    """A launcher over accounts that do as they are told; then every job is finished."""

    def __init__(self, store: SqlJobStore, *records: PoolRecord) -> None:
        self._store = store
        self.records = {record.name: record for record in records}
        self.states: dict[str, str | None] = {record.name: "ready" for record in records}
        """Of each one's worker; None: it has none."""
        self.account = "default"
        """That the workers tell of."""
        self.slots = 5
        self.calls: list[Call] = []
        self.acts: deque[Callable[[str, int], Awaitable[Taken]]] = deque()

    async def pools(self) -> list[PoolRecord]:
        for name, record in self.records.items():
            if (state := self.states[name]) is None:
                await self._store.deregister(f"{name}-0")
                continue
            told = {"provider": record.backend, "account": self.account, "reason": "as told"}
            worker = account_worker(state, slots=self.slots, pool=name, **told)
            await self._store.register(replace(worker, id=f"{name}-0"))
        return list(self.records.values())

    async def show(self, **changes: Any) -> None:
        """Change workers' states, known at once."""
        self.states |= changes
        await self.pools()

    async def launch(self, pool: str, job_id: str, fence: int) -> Taken:
        self.calls.append(Call(pool, job_id, fence))
        act = self.acts.popleft() if self.acts else self.finish
        return await act(job_id, fence)

    async def _send(self, job_id: str, fence: int) -> Job:
        job = await self._store.start(job_id, fence, "some worker", 60.0)
        made = (await self._store.attempts(job_id))[-1]
        new = NewCall(
            f"call_{job_id}_{fence}", made.offer, "default", made.model, made.offer, {},
            PRICES[made.model, made.offer],
        )  # fmt: skip
        await self._store.calls.intend(job_id, fence, new)
        return job

    async def send_and_die(self, job_id: str, fence: int) -> Taken:
        await self._send(job_id, fence)
        raise WorkerLost("killed after it had sent the call")

    async def turn_away(self, job_id: str, fence: int) -> Taken:
        return Taken(taken=False, reason="not now")

    async def lose_sight(self, job_id: str, fence: int) -> Taken:
        """Nobody can say what became of the call."""
        return await self._fails(job_id, fence, CallOutcome.UNKNOWN, "outcome_unknown", Disposition.FALLBACK)

    async def fail_charged(self, job_id: str, fence: int) -> Taken:
        return await self._fails(job_id, fence, CallOutcome.FAILED, "provider_fault", Disposition.RETRY)

    async def _fails(
        self, job_id: str, fence: int, outcome: CallOutcome, code: str, disposition: Disposition
    ) -> Taken:
        await self._send(job_id, fence)
        (call,) = [call for call in await self._store.calls.of_job(job_id) if call.fence == fence]
        error = {"code": code, "message": "as told"}
        end = CallEnd(outcome, call.usd)
        await self._store.fail(job_id, fence, error=error, disposition=disposition, call=end)
        return Taken(taken=True)

    async def finish(self, job_id: str, fence: int) -> Taken:
        job = await self._store.start(job_id, fence, "some worker", 60.0)
        if job.open_call is None:
            await self._send(job_id, fence)
        (call, *_) = [c for c in await self._store.calls.of_job(job_id) if c.closed_at is None]
        await self._store.complete(
            job_id, fence, result={"media": {}}, usage={}, gpu_seconds=0.0, retain_s=3600.0,
            observation=None, call=CallEnd(CallOutcome.SUCCEEDED, call.usd),
        )  # fmt: skip
        return Taken(taken=True)


@pytest.fixture
async def hosts(tmp_path: Path) -> AsyncIterator[Bench]:
    store = SqlJobStore(f"sqlite:///{tmp_path / 'jobs.db'}", backoff=Backoff(base_s=0.0))
    await store.open()
    yield Bench(store, MediaStore((tmp_path / "media").as_uri()), ENGINE, CATALOG)
    await store.close()


def dispatcher_of(bench: Bench, launcher: Accounts, store: Any = None) -> Dispatcher:
    return Dispatcher(
        store=store or bench.store, media=bench.media, engine=ENGINE, launcher=launcher,
        lease_s=60.0, catalog=CATALOG,
    )  # fmt: skip


async def ticks(dispatcher: Dispatcher, count: int = 4) -> None:
    """Let everything that was handed out come back in between."""
    for _ in range(count):
        await dispatcher.tick()
        while dispatcher.in_flight:
            await until(lambda: not dispatcher.in_flight)


async def sent(bench: Bench, launcher: Accounts, dispatcher: Dispatcher, **clip: Any) -> str:
    """A job whose first worker died after it had sent its call to Replicate."""
    launcher.acts.append(launcher.send_and_die)
    job_id = await bench.submit(model="auto", allow=("fake-i2v/replicate",), **clip)
    await ticks(dispatcher, 1)
    job = await bench.job(job_id)
    assert (job.status, job.open_call) == (JobStatus.QUEUED, f"call_{job_id}_1")
    return job_id


# --- followed ----------------------------------------------------------------------------------------------


async def test_a_call_under_way_is_followed_with_the_decision_that_made_it(hosts: Bench) -> None:
    launcher = Accounts(hosts.store, account(), account(FAL, "fal"))
    dispatcher = dispatcher_of(hosts, launcher)
    job_id = await sent(hosts, launcher, dispatcher, max_cost_usd=0.5)
    await until(is_now(hosts, job_id, JobStatus.COMPLETED), dispatcher)
    first, second = await hosts.store.attempts(job_id)
    assert (second.pool, second.model, second.offer) == (first.pool, first.model, first.offer)
    assert second.decision == first.decision
    assert second.gpus == first.gpus
    (call,) = await hosts.store.calls.of_job(job_id)
    assert (call.fence, call.outcome) == (1, CallOutcome.SUCCEEDED)
    assert (await hosts.job(job_id)).spent_usd == 0.5
    await dispatcher.close()


async def test_neither_an_open_circuit_nor_a_rest_nor_a_missed_deadline_stops_it(hosts: Bench) -> None:
    launcher = Accounts(hosts.store, account())
    before = dispatcher_of(hosts, launcher)
    job_id = await sent(hosts, launcher, before, deadline_s=60.0, due_s=0.0)
    await before.close()
    broken = [replace(fault, offer="replicate") for fault in faults("fake-i2v", ago_s=1.0)]
    dispatcher = dispatcher_of(hosts, launcher, Remembering(hosts.store, *broken))
    another = await hosts.submit(model="auto", allow=("fake-i2v/replicate",))
    await until(is_now(hosts, job_id, JobStatus.COMPLETED), dispatcher)
    assert (await hosts.job(another)).status is JobStatus.QUEUED, "a new call is not sent"
    await dispatcher.close()


@pytest.mark.parametrize(("state", "followed"), [("away", True), ("broken", False)])
async def test_workers_that_may_send_nothing_new_still_follow(
    hosts: Bench, state: str, followed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("router.dispatch.THOROUGH_S", 0.0)  # with no room for new work they are found then
    launcher = Accounts(hosts.store, account())
    dispatcher = dispatcher_of(hosts, launcher)
    job_id = await sent(hosts, launcher, dispatcher)
    await launcher.show(**{ACCOUNT: state})
    await hosts.submit(model="auto", allow=("fake-i2v/replicate",))
    await ticks(dispatcher)
    assert [call.job_id for call in launcher.calls[1:]] == ([job_id] if followed else [])
    await launcher.show(**{ACCOUNT: "ready"})
    await until(is_now(hosts, job_id, JobStatus.COMPLETED), dispatcher)
    await dispatcher.close()


async def test_a_follow_up_that_is_turned_away_is_not_thrown_in_a_hot_loop(
    hosts: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    launcher = Accounts(hosts.store, account())
    dispatcher = dispatcher_of(hosts, launcher)
    job_id = await sent(hosts, launcher, dispatcher)
    launcher.acts.append(launcher.turn_away)
    await ticks(dispatcher, 6)
    assert len(launcher.calls) == 2
    monkeypatch.setattr("router.follow_up.AGAIN_S", 0.0)
    await until(is_now(hosts, job_id, JobStatus.COMPLETED), dispatcher)
    await dispatcher.close()


async def test_a_cancelled_job_is_not_followed_its_call_is_an_orphan(hosts: Bench) -> None:
    launcher = Accounts(hosts.store, account())
    dispatcher = dispatcher_of(hosts, launcher)
    job_id = await sent(hosts, launcher, dispatcher)
    await hosts.store.cancel(job_id)
    await ticks(dispatcher)
    assert len(launcher.calls) == 1
    orphans = await hosts.store.calls.orphans("replicate", "default")
    assert [orphan.job_id for orphan in orphans] == [job_id]
    await dispatcher.close()


# --- nobody is left to follow ------------------------------------------------------------------------------


async def test_a_job_whose_account_is_removed_waits_and_then_counts_its_call_as_unknown(
    hosts: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    launcher = Accounts(hosts.store, account())
    first = dispatcher_of(hosts, launcher)
    job_id = await sent(hosts, launcher, first)
    await first.close()
    launcher.records = {FAL: account(FAL, "fal")}
    launcher.states = {FAL: "ready"}
    await hosts.store.publish_pools(list(launcher.records.values()))
    dispatcher = dispatcher_of(hosts, launcher)
    await ticks(dispatcher)
    assert (await hosts.job(job_id)).open_call is not None, "for an hour"
    monkeypatch.setattr("router.follow_up.ABSENT_S", 0.0)
    await until(is_now(hosts, job_id, JobStatus.FAILED), dispatcher)
    job = await hosts.job(job_id)
    assert job.error is not None
    assert job.error["code"] == "outcome_unknown"
    assert "$0.5" in job.error["message"]
    (call,) = await hosts.store.calls.of_job(job_id)
    assert (call.outcome, call.usd) == (CallOutcome.UNKNOWN, 0.5)
    assert job.excluded == ("fake-i2v/replicate",)
    assert len(launcher.calls) == 1
    await dispatcher.close()


async def test_an_account_that_comes_back_in_time_is_asked(hosts: Bench) -> None:
    launcher = Accounts(hosts.store, account())
    first = dispatcher_of(hosts, launcher)
    job_id = await sent(hosts, launcher, first)
    await first.close()
    gone, launcher.records = launcher.records, {}
    dispatcher = dispatcher_of(hosts, launcher)
    await ticks(dispatcher)
    await dispatcher.close()
    launcher.records = gone
    dispatcher = dispatcher_of(hosts, launcher)
    await until(is_now(hosts, job_id, JobStatus.COMPLETED), dispatcher)
    await dispatcher.close()


async def test_an_account_of_the_same_name_that_is_another_now_is_not_asked(hosts: Bench) -> None:
    launcher = Accounts(hosts.store, account())
    dispatcher = dispatcher_of(hosts, launcher)
    job_id = await sent(hosts, launcher, dispatcher)
    launcher.account = "second"
    await launcher.show()
    await ticks(dispatcher)
    assert len(launcher.calls) == 1
    assert (await hosts.job(job_id)).open_call is not None
    launcher.account = "default"
    await launcher.show()
    await until(is_now(hosts, job_id, JobStatus.COMPLETED), dispatcher)
    await dispatcher.close()


@pytest.mark.parametrize(
    ("healthy", "state"),
    [
        pytest.param(False, "ready", id="unhealthy"),
        pytest.param(True, "broken", id="without a key"),
        pytest.param(True, "starting", id="starting"),
        pytest.param(True, None, id="without workers"),
    ],
)
@pytest.mark.parametrize("returns", [True, False])
async def test_an_application_that_cannot_look_is_waited_for_but_not_for_ever(
    hosts: Bench, healthy: bool, state: str | None, returns: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("router.dispatch.THOROUGH_S", 0.0)  # no application has room
    launcher = Accounts(hosts.store, account())
    dispatcher = dispatcher_of(hosts, launcher)
    job_id = await sent(hosts, launcher, dispatcher)
    launcher.records = {ACCOUNT: account(healthy=healthy, reason="" if healthy else "UNHEALTHY")}
    await hosts.store.publish_pools(list(launcher.records.values()))
    await launcher.show(**{ACCOUNT: state})
    await ticks(dispatcher)
    assert (await hosts.job(job_id)).open_call is not None
    assert len(launcher.calls) == 1
    if returns:
        launcher.records = {ACCOUNT: account()}
        await hosts.store.publish_pools(list(launcher.records.values()))
        await launcher.show(**{ACCOUNT: "ready"})
        await until(is_now(hosts, job_id, JobStatus.COMPLETED), dispatcher)
    else:
        monkeypatch.setattr("router.follow_up.ABSENT_S", 0.0)
        await until(is_now(hosts, job_id, JobStatus.FAILED), dispatcher)
        job = await hosts.job(job_id)
        assert job.error is not None
        assert job.error["code"] == "outcome_unknown"
        assert len(launcher.calls) == 1
    await dispatcher.close()


@pytest.mark.parametrize("state", ["ready", "away"])
async def test_an_account_that_merely_has_no_room_is_waited_for(
    hosts: Bench, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long: its calls end, and then there is room."""
    monkeypatch.setattr("router.dispatch.THOROUGH_S", 0.0)
    monkeypatch.setattr("router.follow_up.ABSENT_S", 0.0)
    launcher = Accounts(hosts.store, account())
    dispatcher = dispatcher_of(hosts, launcher)
    job_id = await sent(hosts, launcher, dispatcher)
    launcher.slots = 0
    await launcher.show(**{ACCOUNT: state})
    await ticks(dispatcher)
    assert (await hosts.job(job_id)).open_call is not None
    assert len(launcher.calls) == 1
    launcher.slots = 5
    await launcher.show()
    await until(is_now(hosts, job_id, JobStatus.COMPLETED), dispatcher)
    await dispatcher.close()


def origin(model: str = "fake-i2v", offer: str = "replicate", pool: str = ACCOUNT) -> Origin:
    call = RemoteCall(
        "call_1", "vid_1", 1, "replicate", "default", model, offer, CallState.SUBMITTED, {}, 0.5, 0.0
    )
    return Origin(call, call_attempt(1, 0.0, pool=pool))


def teller(pool: str = ACCOUNT, account: str = "default", state: str = "ready") -> Worker:
    """A worker that tells of an account at Replicate."""
    return account_worker(state, pool=pool, provider="replicate", account=account)


@pytest.mark.parametrize(
    ("made", "pools", "workers", "found"),
    [
        pytest.param(
            origin(),
            [account("other"), account()],
            [teller("other"), teller()],
            ACCOUNT,
            id="the one that made it",
        ),
        pytest.param(origin(), [], [teller()], None, id="none at all"),
        pytest.param(origin(), [account()], [], None, id="it is starting"),
        pytest.param(origin(), [account()], [teller(state="away")], ACCOUNT, id="it sends nothing new"),
        pytest.param(origin(), [account()], [teller(state="broken")], None, id="it has no key"),
        pytest.param(origin(), [account(healthy=False)], [teller()], None, id="it is unhealthy"),
        pytest.param(
            origin(),
            [account(healthy=False), account("other")],
            [teller(), teller("other")],
            "other",
            id="it is unhealthy, another of its account is not",
        ),
        pytest.param(
            origin(), [account()], [teller(account="second")], None, id="the name is another account's now"
        ),
        pytest.param(
            origin(),
            [account(), account("other")],
            [teller(account="second"), teller("other")],
            "other",
            id="the name is another account's now, and its own was renamed",
        ),
        pytest.param(
            origin(),
            [account()],
            [teller(), teller(account="second", state="starting")],
            None,
            id="its replicas are being replaced by another account's",
        ),
        pytest.param(origin(), [account()], [account_worker()], None, id="it tells of none"),
        pytest.param(origin(), [account("other")], [], None, id="another of the same host"),
        pytest.param(origin(), [account("other")], [teller("other")], "other", id="renamed"),
        pytest.param(
            origin(),
            [account("other")],
            [teller("other", "second")],
            None,
            id="another account of the same host",
        ),
        pytest.param(
            origin(), [account(backend="fal")], [teller()], None, id="the name is another host's now"
        ),
        pytest.param(
            origin("retired-i2v"), [account()], [teller()], ACCOUNT, id="its card was retired meanwhile"
        ),
        pytest.param(origin("gone-i2v"), [account()], [teller()], None, id="its card has left the catalog"),
        pytest.param(
            origin(offer="engine", pool="e"),
            [account("e", "engine", model="fake-i2v", offer="engine")],
            [teller("e")],
            "e",
            id="an engine",
        ),
        pytest.param(
            origin(offer="engine", pool="e"),
            [account("e", "engine", model="fake-second-i2v", offer="engine")],
            [teller("e")],
            None,
            id="an engine that serves another model now",
        ),
    ],
)
def test_who_can_look_at_a_call(
    made: Origin, pools: list[PoolRecord], workers: list[Worker], found: str | None
) -> None:
    pool = pool_of(made, pools, workers, CATALOG)
    assert (pool.name if pool is not None else None) == found


# --- after an unknown outcome ------------------------------------------------------------------------------

EVERY = ("fake-i2v/replicate", "fake-second-i2v/fal", "fake-second-i2v/replicate")


@pytest.mark.parametrize(
    ("budget", "then"),
    [
        pytest.param(None, None, id="no budget: nothing else at the promised price"),
        pytest.param(0.95, "fake-i2v/replicate", id="the budget covers the next one"),
        pytest.param(0.85, None, id="the budget is used up"),
    ],
)
async def test_after_an_unknown_outcome_the_job_goes_on_while_its_budget_lasts(
    hosts: Bench, budget: float | None, then: str | None
) -> None:
    launcher = Accounts(hosts.store, account(), account(FAL, "fal"))
    launcher.acts.append(launcher.lose_sight)
    dispatcher = dispatcher_of(hosts, launcher)
    job_id = await hosts.submit(model="auto", allow=EVERY, max_cost_usd=budget)
    ends = JobStatus.COMPLETED if then else JobStatus.FAILED
    await until(is_now(hosts, job_id, ends), dispatcher)
    tried = [f"{attempt.model}/{attempt.offer}" for attempt in await hosts.store.attempts(job_id)]
    assert tried == ["fake-second-i2v/fal", *([then] if then else [])], "never twice to the same offer"
    job = await hosts.job(job_id)
    if then is None:
        assert job.error is not None
        assert job.error["code"] == "outcome_unknown"
        assert "Up to $0.4 may have been paid" in job.error["message"]
    else:
        assert job.spent_usd == pytest.approx(0.9)
    await dispatcher.close()


async def test_without_a_budget_it_goes_on_at_no_more_than_the_promised_price(hosts: Bench) -> None:
    launcher = Accounts(hosts.store, account(), account(FAL, "fal"))
    launcher.states[FAL] = "away"
    launcher.acts.append(launcher.lose_sight)
    dispatcher = dispatcher_of(hosts, launcher)
    job_id = await hosts.submit(model="auto", allow=EVERY)
    await ticks(dispatcher, 1)
    await launcher.show(**{FAL: "ready"})
    await until(is_now(hosts, job_id, JobStatus.COMPLETED), dispatcher)
    tried = [f"{attempt.model}/{attempt.offer}" for attempt in await hosts.store.attempts(job_id)]
    assert tried == ["fake-i2v/replicate", "fake-second-i2v/fal"]
    assert (await hosts.job(job_id)).spent_usd == pytest.approx(0.9)
    await dispatcher.close()


async def test_what_a_charged_failure_cost_lowers_the_budget(hosts: Bench) -> None:
    launcher = Accounts(hosts.store, account())
    launcher.acts.append(launcher.fail_charged)
    dispatcher = dispatcher_of(hosts, launcher)
    job_id = await hosts.submit(model="auto", allow=("fake-i2v/replicate",), max_cost_usd=0.9)
    await until(is_now(hosts, job_id, JobStatus.FAILED), dispatcher)
    job = await hosts.job(job_id)
    assert job.error is not None
    assert job.error["code"] == "no_route"
    assert "above the budget of $0.4" in job.error["message"]
    assert len(launcher.calls) == 1
    await dispatcher.close()


# --- photographs that must stay ----------------------------------------------------------------------------


async def test_a_self_hosted_job_is_never_handed_to_an_account(hosts: Bench) -> None:
    launcher = Accounts(hosts.store, account(), account(FAL, "fal"))
    dispatcher = dispatcher_of(hosts, launcher)
    job_id = await hosts.submit(model="auto", residency=Residency.SELF_HOSTED)
    await ticks(dispatcher)
    assert launcher.calls == []
    assert (await hosts.job(job_id)).status is JobStatus.FAILED
    await dispatcher.close()
