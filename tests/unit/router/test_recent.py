"""What changes slowly is read now and then, and at once when it is known to have changed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from models.errors import StoreUnavailable
from router.fakes import FakePool, Play, ScriptedLauncher
from router.recent import ENDED_S, SLOW_S, Aged, Recent
from tests.unit.router.dispatching import Bench, record, until


class Counted:
    """A store whose reads are counted by name."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.reads: dict[str, int] = {}

    def __getattr__(self, name: str) -> Any:
        act = getattr(self._store, name)

        def counted(*args: Any, **named: Any) -> Any:
            self.reads[name] = self.reads.get(name, 0) + 1
            return act(*args, **named)

        return counted


class Source:
    """Counts up at each read; may fail, or be changed while it is read."""

    def __init__(self) -> None:
        self.now = 100.0
        self.value = 0
        self.fails = False
        self.meanwhile: Any = None

    def clock(self) -> float:
        return self.now

    async def read(self) -> int:
        if self.fails:
            raise StoreUnavailable("away")
        self.value += 1
        if self.meanwhile is not None:
            self.meanwhile()
        return self.value


async def test_a_value_is_read_again_when_it_is_too_old_or_outdated() -> None:
    source = Source()
    aged = Aged(source.read, 5.0, source.clock)
    assert [await aged(), await aged()] == [1, 1]
    source.now += 4.9
    assert await aged() == 1
    source.now += 0.1
    assert await aged() == 2
    aged.outdate()
    assert [await aged(), await aged()] == [3, 3]


async def test_what_changes_while_it_is_read_is_read_again() -> None:
    source = Source()
    aged = Aged(source.read, 5.0, source.clock)
    source.meanwhile = aged.outdate
    assert await aged() == 1
    source.meanwhile = None
    assert [await aged(), await aged()] == [2, 2]


async def test_a_failed_read_is_tried_again() -> None:
    source = Source()
    aged = Aged(source.read, 5.0, source.clock)
    await aged()
    source.now += 10.0
    source.fails = True
    with pytest.raises(StoreUnavailable):
        await aged()
    source.fails = False
    assert await aged() == 2


async def test_each_part_has_its_own_age(bench: Bench) -> None:
    times = [0.0]
    store: Any = Counted(bench.store)
    recent = Recent(store, clock=lambda: times[-1])
    seen = []
    for moment in (0.0, ENDED_S, SLOW_S - 0.1, SLOW_S):
        times.append(moment)
        for part in (recent.calibrations, recent.remembered, recent.learned, recent.ended):
            await part()
        seen.append(dict(store.reads))
    once = {"calibrations": 1, "workers": 1, "learned": 1}
    assert seen == [
        {**once, "ended": 1},
        {**once, "ended": 2},
        {**once, "ended": 3},
        {**dict.fromkeys(once, 2), "ended": 3},
    ]


async def test_a_tick_with_nothing_to_place_reads_each_thing_once(bench: Bench) -> None:
    for _ in range(3):
        await bench.submit()
    store = Counted(bench.store)
    pool = FakePool(record("fake-i2v"), ready=1, held=True)
    dispatcher = bench.dispatcher(ScriptedLauncher(bench.store, pool), store)
    assert await dispatcher.tick() == 1
    await asyncio.sleep(0.02)
    store.reads.clear()
    assert await dispatcher.tick() == 0
    assert store.reads == {"pools": 1, "running": 1, "queued": 1, "workers": 1}
    await dispatcher.close()


async def test_how_an_attempt_ended_is_seen_by_the_next_decision(bench: Bench) -> None:
    """Within the same second, that is: the pool dies at once, and the tick after it looks again."""
    store = Counted(bench.store)
    pool = FakePool(record("fake-i2v"))
    pool.plays.append(Play("dies", "the node burnt down"))
    dispatcher = bench.dispatcher(ScriptedLauncher(bench.store, pool), store)
    await bench.submit()
    await dispatcher.tick()
    await until(lambda: dispatcher.in_flight == 0)
    store.reads.clear()
    await dispatcher.tick()
    assert store.reads["ended"] == 1
    assert "learned" not in store.reads
    await dispatcher.close()
