"""`POST /v1/hooks/…`: a verified webhook of a known call is heard; nothing else changes anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import pytest

from models.errors import FleetUnavailable, HookRefused, I2VError
from router.api.hooks import MOST_BYTES
from router.jobs.call_store import CallState, NewCall

CALL = "call_" + "0123456789abcdef01234567"
TICKET = "ticket-of-the-provider"


@dataclass
class ScriptedHooks:
    """A `router.hooks.Hooks` that answers as told and remembers what it was asked."""

    answer: str | I2VError = TICKET
    asked: list[tuple[str, str, Mapping[str, str], bytes]] = field(default_factory=list)

    async def verified(self, provider: str, account: str, headers: Mapping[str, str], body: bytes) -> str:
        self.asked.append((provider, account, headers, body))
        if isinstance(self.answer, I2VError):
            raise self.answer
        return self.answer


@pytest.fixture
def hooks(stack: Any) -> ScriptedHooks:
    made = ScriptedHooks()
    stack.app.state.context = replace(stack.app.state.context, hooks=made)
    return made


@pytest.fixture
async def job_id(stack: Any, post: Any) -> str:
    """A job whose call `CALL` is intended and not yet accepted."""
    job_id: str = (await post()).json()["id"]
    fence = await stack.claim(job_id)
    await stack.store.start(job_id, fence, "worker-1", 60)
    new = NewCall(
        id=CALL, provider="replicate", account="default", model="m", offer="replicate", marker={}, usd=0.2
    )
    await stack.store.calls.intend(job_id, fence, new)
    return job_id


async def send(
    stack: Any, call: str = CALL, body: bytes = b"{}", account: str = "replicate/default"
) -> httpx.Response:
    answer: httpx.Response = await stack.client.post(
        f"/v1/hooks/{account}/{call}", content=body, headers={"Webhook-Id": "msg_1"}
    )
    return answer


async def test_a_verified_webhook_is_heard_and_gives_its_ticket(
    stack: Any, hooks: ScriptedHooks, job_id: str
) -> None:
    answer = await send(stack, body=b'{"id": "x",  "status": "succeeded"}')
    assert (answer.status_code, answer.content) == (204, b"")
    ((provider, account, headers, body),) = hooks.asked
    assert (provider, account, body) == ("replicate", "default", b'{"id": "x",  "status": "succeeded"}')
    assert headers["webhook-id"] == "msg_1", "names come in lower case"
    call = await stack.store.calls.get(CALL)
    assert (call.state, call.ticket) == (CallState.SUBMITTED, TICKET)
    assert call.heard_at is not None
    job = await stack.store.get(job_id)
    assert job.status == "in_progress", "what it says of the outcome is not believed"


async def test_deliveries_again_and_of_other_tickets_change_nothing_more(
    stack: Any, hooks: ScriptedHooks, job_id: str
) -> None:
    del job_id
    for _ in range(3):
        assert (await send(stack)).status_code == 204
    first = await stack.store.calls.get(CALL)
    hooks.answer = "ticket-of-another-call"
    assert (await send(stack)).status_code == 204
    assert await stack.store.calls.get(CALL) == first


async def test_a_call_that_is_over_or_unknown_is_taken_and_forgotten(
    stack: Any, hooks: ScriptedHooks
) -> None:
    answer = await send(stack)
    assert answer.status_code == 204, "else the provider sends it for hours"
    assert len(hooks.asked) == 1, "it is checked all the same: an answer must not tell which calls there are"
    assert await stack.store.calls.get(CALL) is None


@pytest.mark.parametrize(
    ("refusal", "status"),
    [(HookRefused("webhook of replicate refused: no signature fits"), 401), (FleetUnavailable("later"), 503)],
)
async def test_what_cannot_be_verified_is_a_problem_and_changes_nothing(
    stack: Any, hooks: ScriptedHooks, job_id: str, refusal: I2VError, status: int
) -> None:
    del job_id
    hooks.answer = refusal
    before = await stack.store.calls.get(CALL)
    answer = await send(stack)
    assert answer.status_code == status
    error = answer.json()["error"]
    assert (error["code"], error["message"]) == (refusal.code, refusal.message)
    assert await stack.store.calls.get(CALL) == before


@pytest.mark.parametrize(
    "call",
    ["call_1", "call_" + "0" * 23, "call_" + "0" * 25, "call_" + "G" * 24, "vid_" + "0" * 24, CALL + "%0A"],
)
async def test_ids_that_are_none_are_refused_unseen(stack: Any, hooks: ScriptedHooks, call: str) -> None:
    answer = await send(stack, call)
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "hook_refused"
    assert hooks.asked == []


@pytest.mark.parametrize(
    "account", ["Replicate/default", "replicate/-", "replicate/" + "a" * 64, "../default"]
)
async def test_names_that_are_none_are_refused_unseen(stack: Any, hooks: ScriptedHooks, account: str) -> None:
    answer = await send(stack, account=account)
    assert 400 <= answer.status_code < 500
    assert hooks.asked == []


async def test_a_body_too_large_is_refused_unseen(stack: Any, hooks: ScriptedHooks, job_id: str) -> None:
    del job_id
    assert (await send(stack, body=bytes(MOST_BYTES))).status_code == 204
    answer = await send(stack, body=bytes(MOST_BYTES + 1))
    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "payload_too_large"
    assert len(hooks.asked) == 1


async def test_a_gateway_that_can_check_nobody_takes_none(stack: Any, job_id: str) -> None:
    del job_id
    answer = await send(stack)
    assert answer.status_code == 401
    call = await stack.store.calls.get(CALL)
    assert call.heard_at is None
