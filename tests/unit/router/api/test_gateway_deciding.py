"""Decisions are made beside the event loop, and one at a time."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from dataclasses import replace
from typing import Any

import pytest

GUARD_S = 20.0
"""Ends a test that would hang for ever; nothing is measured by it."""
ROUTE = {"image_size": "640x480", "prompt": "slow push in"}


class Held:
    """Policies that hold each decision until they are told to go on, and count who is inside."""

    def __init__(self, policies: Any) -> None:
        self._policies = policies
        self.begun = threading.Event()
        self.go_on = threading.Event()
        self.told: list[bool] = []
        """For each decision, whether it was told to go on before it gave up."""
        self.inside = self.most_inside = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._policies, name)

    def decide(self, *args: Any, **named: Any) -> Any:
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        self.begun.set()
        self.told.append(self.go_on.wait(GUARD_S))
        try:
            return self._policies.decide(*args, **named)
        finally:
            self.inside -= 1


@pytest.fixture
def held(stack: Any) -> Held:
    context = stack.app.state.context
    policies = Held(context.engine.policies)
    stack.app.state.context = replace(context, engine=replace(context.engine, policies=policies))
    return policies


async def test_a_dry_run_leaves_the_loop_to_others(stack: Any, held: Held) -> None:
    asked = asyncio.create_task(stack.client.post("/v1/route", json=ROUTE))
    assert await asyncio.to_thread(held.begun.wait, GUARD_S)
    assert (await stack.client.get("/v1/models")).status_code == 200
    held.go_on.set()
    assert (await asked).status_code == 200
    assert held.told == [True], "the decision ended on its own: it held the loop"


async def test_a_submission_leaves_the_loop_to_others(stack: Any, held: Held, post: Any) -> None:
    asked = asyncio.create_task(post())
    assert await asyncio.to_thread(held.begun.wait, GUARD_S)
    assert (await stack.client.get("/v1/models")).status_code == 200
    held.go_on.set()
    assert (await asked).status_code == 202
    assert held.told == [True]


async def test_one_decision_at_a_time_even_when_its_request_goes_away(stack: Any, held: Held) -> None:
    first = asyncio.create_task(stack.client.post("/v1/route", json=ROUTE))
    assert await asyncio.to_thread(held.begun.wait, GUARD_S)
    others = [asyncio.create_task(stack.client.post("/v1/route", json=ROUTE)) for _ in range(3)]
    first.cancel()
    await asyncio.sleep(0)
    held.go_on.set()
    with contextlib.suppress(asyncio.CancelledError):
        await first
    assert [(await other).status_code for other in others] == [200] * 3
    assert len(held.told) == 4
    assert held.most_inside == 1
