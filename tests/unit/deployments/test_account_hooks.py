"""Whether a webhook is of one of our accounts: workers' rows, keys of the environment, real signatures."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from deployments.hooks import AccountHooks
from models.errors import FleetUnavailable, HookRefused
from models.providers import fal
from models.providers.base import Account
from models.providers.fake.core import Fake
from models.providers.fake.receiver import Receiver, receiving
from models.providers.fake.server import FakeSettings, running
from models.providers.fake.settings import DEFAULT_WEBHOOK_SECRET
from router.jobs.records import Worker
from router.jobs.sql import SqlJobStore
from router.settings import Settings
from tests.unit.providers.hosted_calls import photograph, wanted

KEY = "key-of-the-account"
BODY = json.dumps({"id": "p1", "status": "succeeded"}).encode()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqlJobStore]:
    made = SqlJobStore(f"sqlite:///{tmp_path / 'jobs.db'}")
    await made.open()
    yield made
    await made.close()


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("ACCOUNT_KEY", KEY)
    return Settings(home=tmp_path)


async def known(store: SqlJobStore, provider: str, url: str, account: str = "default") -> None:
    """A worker says that it serves the account."""
    told = {"provider": provider, "account": account, "url": url, "key_env": "ACCOUNT_KEY"}
    worker = Worker(
        id=f"{provider}-{account}", pool=provider, model="", offer="", gpu="hosted", gang_size=1, slots=9,
        node="n", state="ready", detail=told,
    )  # fmt: skip
    await store.register(worker)


def signed(body: bytes = BODY, secret: str = DEFAULT_WEBHOOK_SECRET, age_s: float = 0.0) -> dict[str, str]:
    """Headers as Standard Webhooks say: HMAC-SHA256 over `id.timestamp.body`."""
    stamp = str(int(time.time() - age_s))
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, b".".join((b"msg_1", stamp.encode(), body)), hashlib.sha256).digest()
    return {
        "webhook-id": "msg_1",
        "webhook-timestamp": stamp,
        "webhook-signature": "v1," + base64.b64encode(digest).decode(),
    }


async def test_replicates_webhook_is_checked_with_the_accounts_secret(
    store: SqlJobStore, settings: Settings
) -> None:
    hooks = AccountHooks(store, settings)
    async with running(FakeSettings("replicate", key=KEY)) as fake:
        await known(store, "replicate", fake.url)
        assert await hooks.verified("replicate", "default", signed(), BODY) == "p1"
        assert await hooks.verified("replicate", "default", signed(), BODY) == "p1"
        assert fake.requests["secret"] == 1, "the secret is kept"
        other = "whsec_" + base64.b64encode(b"a stranger's").decode()
        for headers, body in (
            (signed(secret=other), BODY),
            (signed(), BODY + b" "),
            (signed(age_s=600), BODY),
            ({}, BODY),
            (signed(b"[]"), b"[]"),
        ):
            with pytest.raises(HookRefused, match="webhook of replicate refused") as refused:
                await hooks.verified("replicate", "default", headers, body)
            assert KEY not in refused.value.message


async def test_the_secret_that_cannot_be_had_now_is_asked_for_later(
    store: SqlJobStore, settings: Settings
) -> None:
    await known(store, "replicate", "http://127.0.0.1:9")
    with pytest.raises(FleetUnavailable, match="cannot be had now") as away:
        await AccountHooks(store, settings).verified("replicate", "default", signed(), BODY)
    assert KEY not in away.value.message


async def test_a_key_that_is_set_later_is_used(
    store: SqlJobStore, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooks = AccountHooks(store, settings)
    async with running(FakeSettings("replicate", key=KEY)) as fake:
        await known(store, "replicate", fake.url)
        monkeypatch.delenv("ACCOUNT_KEY")
        for _ in range(3):
            with pytest.raises(FleetUnavailable):
                await hooks.verified("replicate", "default", signed(), BODY)
        assert fake.requests["secret"] == 1, "strangers must not make us ask again and again"
        monkeypatch.setenv("ACCOUNT_KEY", KEY)
        assert await hooks.verified("replicate", "default", signed(), BODY) == "p1"


async def test_a_key_that_is_changed_later_is_used(
    store: SqlJobStore, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooks = AccountHooks(store, settings)
    async with running(FakeSettings("replicate", key=KEY)) as fake:
        await known(store, "replicate", fake.url)
        monkeypatch.setenv("ACCOUNT_KEY", "a-key-that-was-revoked")
        with pytest.raises(FleetUnavailable):
            await hooks.verified("replicate", "default", signed(), BODY)
        monkeypatch.setenv("ACCOUNT_KEY", KEY)
        for _ in range(2):
            assert await hooks.verified("replicate", "default", signed(), BODY) == "p1"
        assert fake.requests["secret"] == 2, "one key, one verifier, which keeps the secret"
    assert KEY not in repr(vars(hooks)["_verifiers"])


async def test_a_key_that_cannot_be_read_is_not_the_senders_to_know(
    store: SqlJobStore, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await known(store, "replicate", "http://127.0.0.1:9")
    monkeypatch.setenv("ACCOUNT_KEY", f"{KEY} twice")
    with pytest.raises(FleetUnavailable, match="account default of replicate cannot be read") as refused:
        await AccountHooks(store, settings).verified("replicate", "default", signed(), BODY)
    assert "ACCOUNT_KEY" not in refused.value.message
    assert KEY not in refused.value.message


async def fals_letter(fake: Fake, receiver: Receiver) -> tuple[str, Mapping[str, str], bytes]:
    """Have a call made at fal; its ticket and the webhook that came of it."""
    adapter = fal.connect(Account("fal", KEY, fake.url))
    asked = wanted("hailuo-2.3", "fal", webhook=f"{receiver.url}/hook")
    receiver.arrived.clear()
    url = await adapter.upload(photograph())
    ticket = await adapter.submit(adapter.prepare(asked, {"image": url}, {}))
    await asyncio.wait_for(receiver.arrived.wait(), 10)
    await adapter.close()
    message = receiver.messages[-1]
    return ticket.id, message.headers, message.body


async def test_fals_webhook_is_checked_with_the_keys_that_it_publishes(
    store: SqlJobStore, settings: Settings
) -> None:
    hooks = AccountHooks(store, settings)
    async with running(FakeSettings("fal", key=KEY, latency_s=0.05)) as fake, receiving() as receiver:
        await known(store, "fal", fake.url)
        ticket, headers, body = await fals_letter(fake, receiver)
        assert await hooks.verified("fal", "default", headers, body) == ticket
        assert fake.requests["jwks"] == 1
        for changed, content in (
            (headers, body + b" "),
            ({**headers, "x-fal-webhook-user-id": "somebody"}, body),
            (signed(body), body),
        ):
            with pytest.raises(HookRefused, match="webhook of fal refused"):
                await hooks.verified("fal", "default", changed, content)
        fake.script("webhook_forged")
        _, headers, body = await fals_letter(fake, receiver)
        with pytest.raises(HookRefused, match="no key fits"):
            await hooks.verified("fal", "default", headers, body)


@pytest.mark.parametrize(
    ("provider", "account"),
    [("replicate", "other"), ("fal", "default"), ("nobody", "default"), ("vllm-omni", "default")],
)
async def test_accounts_that_no_worker_serves_are_refused(
    store: SqlJobStore, settings: Settings, provider: str, account: str
) -> None:
    await known(store, "replicate", "http://127.0.0.1:9")
    with pytest.raises(HookRefused, match=f"no worker serves account {account} of {provider}"):
        await AccountHooks(store, settings).verified(provider, account, signed(), BODY)


async def test_engines_send_no_webhooks(store: SqlJobStore, settings: Settings) -> None:
    await known(store, "vllm-omni", "http://127.0.0.1:9")
    with pytest.raises(HookRefused, match="vllm-omni sends no webhooks"):
        await AccountHooks(store, settings).verified("vllm-omni", "default", signed(), BODY)


async def test_accounts_of_one_provider_have_secrets_of_their_own(
    store: SqlJobStore, settings: Settings
) -> None:
    hooks = AccountHooks(store, settings)
    second = "whsec_" + base64.b64encode(b"the second account's").decode()
    async with (
        running(FakeSettings("replicate", key=KEY)) as one,
        running(FakeSettings("replicate", key=KEY, webhook_secret=second)) as two,
    ):
        await known(store, "replicate", one.url, "one")
        await known(store, "replicate", two.url, "two")
        assert await hooks.verified("replicate", "one", signed(), BODY) == "p1"
        assert await hooks.verified("replicate", "two", signed(secret=second), BODY) == "p1"
        with pytest.raises(HookRefused):
            await hooks.verified("replicate", "two", signed(), BODY)
