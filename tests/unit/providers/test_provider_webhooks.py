"""Webhooks: only the provider's own, lately, and whatever they say only the ticket is believed."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from models.errors import ProviderUnavailable
from models.providers import fal as fal_module
from models.providers import replicate as replicate_module
from models.providers.base import Account, WebhookRefused, WebhookVerifier
from models.providers.fake.server import FakeSettings, running
from models.providers.webhooks import FalWebhooks, StandardWebhooks, jwks_keys
from tests.unit.providers.hosted_calls import photograph, wanted

NOW = 1_790_000_000.0
BODY = json.dumps({"id": "p1", "status": "succeeded", "request_id": "not this"}).encode()


def secret(text: str) -> str:
    return "whsec_" + base64.b64encode(text.encode()).decode()


def standard(with_secret: str, body: bytes = BODY, at: float = NOW, message: str = "msg_1") -> dict[str, str]:
    key = base64.b64decode(with_secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"{message}.{int(at)}.".encode() + body, hashlib.sha256).digest()
    signature = "v1," + base64.b64encode(digest).decode()
    return {"webhook-id": message, "webhook-timestamp": str(int(at)), "webhook-signature": signature}


ONE, TWO = secret("one"), secret("two")


def given(*secrets: str) -> StandardWebhooks:
    return StandardWebhooks(None, ticket_field="id", secret=" ".join(secrets))


async def test_the_providers_own_message_names_its_ticket() -> None:
    assert await given(ONE).verify(standard(ONE), BODY, NOW) == "p1"


async def test_several_signatures_and_several_secrets() -> None:
    headers = standard(ONE)
    headers["webhook-signature"] = (
        f"v1a,zzz v1,{base64.b64encode(b'wrong').decode()} {headers['webhook-signature']}"
    )
    assert await given(ONE).verify(headers, BODY, NOW) == "p1"
    assert await given(TWO, ONE).verify(standard(ONE), BODY, NOW) == "p1"


def changed(**headers: str) -> dict[str, str]:
    return standard(ONE) | {name.replace("_", "-"): value for name, value in headers.items()}


@pytest.mark.parametrize(
    ("headers", "body", "why"),
    [
        (standard(TWO), BODY, "no signature fits"),
        (standard(ONE), BODY + b" ", "no signature fits"),
        (changed(webhook_id="msg_2"), BODY, "no signature fits"),
        (changed(webhook_timestamp=str(int(NOW) + 1)), BODY, "no signature fits"),
        (standard(ONE, at=NOW - 301), BODY, "300 s off"),
        (standard(ONE, at=NOW + 301), BODY, "300 s off"),
        (changed(webhook_timestamp="soon"), BODY, "no number"),
        (changed(webhook_timestamp="9" * 400), BODY, "no number"),
        (changed(webhook_signature="v1,"), BODY, "no signature fits"),
        (changed(webhook_signature="v2,abcd"), BODY, "no v1"),
        (changed(webhook_signature="v1,%%%"), BODY, "no v1"),
        (changed(webhook_signature=""), BODY, "no header"),
        ({}, BODY, "no header"),
        (standard(ONE, b"[]"), b"[]", "names no id"),
        (standard(ONE, b'{"id": 7}'), b'{"id": 7}', "names no id"),
        (standard(ONE, b"\xff"), b"\xff", "names no id"),
    ],
)
async def test_any_other_message_is_refused(headers: Mapping[str, str], body: bytes, why: str) -> None:
    with pytest.raises(WebhookRefused, match=why) as caught:
        await given(ONE).verify(headers, body, NOW)
    assert ONE.removeprefix("whsec_") not in str(caught.value)


def test_a_secret_that_is_none_is_refused_at_once() -> None:
    for bad in ("whsec_", "whsec_%%%"):
        with pytest.raises(WebhookRefused):
            given(bad)


class Source:
    """Keys that can be fetched, and how often they were."""

    def __init__(self, *keys: Any) -> None:
        self.keys = list(keys)
        self.fetched = 0
        self.now = 0.0

    def clock(self) -> float:
        return self.now

    async def one(self) -> str:
        self.fetched += 1
        if not self.keys:
            raise ProviderUnavailable("away")
        return str(self.keys[0])

    async def all(self) -> Sequence[bytes]:
        self.fetched += 1
        if not self.keys:
            raise ProviderUnavailable("away")
        return list(self.keys)


async def test_a_fetched_secret_is_kept_for_a_day() -> None:
    source = Source(ONE)
    verifier = StandardWebhooks(source.one, ticket_field="id", clock=source.clock)
    for _ in range(3):
        assert await verifier.verify(standard(ONE), BODY, NOW) == "p1"
    assert source.fetched == 1
    source.now = 86_401.0
    await verifier.verify(standard(ONE), BODY, NOW)
    assert source.fetched == 2


async def test_a_rotated_secret_is_fetched_again_and_strangers_cannot_make_us_ask_often() -> None:
    source = Source(ONE)
    verifier = StandardWebhooks(source.one, ticket_field="id", clock=source.clock)
    await verifier.verify(standard(ONE), BODY, NOW)
    source.keys = [TWO]
    with pytest.raises(WebhookRefused):
        await verifier.verify(standard(TWO), BODY, NOW)
    assert source.fetched == 1, "within a minute nothing is fetched again"
    source.now = 61.0
    assert await verifier.verify(standard(TWO), BODY, NOW) == "p1"
    forged = secret("a stranger")
    for _ in range(50):
        source.now += 1.0
        with pytest.raises(WebhookRefused):
            await verifier.verify(standard(forged), BODY, NOW)
    assert source.fetched == 2


async def test_keys_that_cannot_be_had_are_told_apart_from_a_forgery() -> None:
    source = Source()
    verifier = StandardWebhooks(source.one, ticket_field="id", clock=source.clock)
    for _ in range(3):
        with pytest.raises(ProviderUnavailable):
            await verifier.verify(standard(ONE), BODY, NOW)
    assert source.fetched == 1
    source.keys, source.now = [ONE], 61.0
    assert await verifier.verify(standard(ONE), BODY, NOW) == "p1"
    source.keys, source.now = [], 90_000.0
    assert await verifier.verify(standard(ONE), BODY, NOW) == "p1", "old keys stay good for what they fit"


# --- fal -------------------------------------------------------------------------------------------

FAL_BODY = json.dumps({"request_id": "r1", "gateway_request_id": "g1", "status": "OK"}).encode()


def ed25519(key: Ed25519PrivateKey, body: bytes = FAL_BODY, at: float = NOW) -> dict[str, str]:
    message = "\n".join(("r1", "user", str(int(at)), hashlib.sha256(body).hexdigest()))
    return {
        "x-fal-webhook-request-id": "r1",
        "x-fal-webhook-user-id": "user",
        "x-fal-webhook-timestamp": str(int(at)),
        "x-fal-webhook-signature": key.sign(message.encode()).hex(),
    }


async def test_fals_message_names_its_ticket_and_keys_rotate() -> None:
    old, new, stranger = (Ed25519PrivateKey.generate() for _ in range(3))
    source = Source(old.public_key().public_bytes_raw())
    verifier = FalWebhooks(source.all, source.clock)
    assert await verifier.verify(ed25519(old), FAL_BODY, NOW) == "r1"
    source.keys.append(new.public_key().public_bytes_raw())
    source.now = 61.0
    assert await verifier.verify(ed25519(new), FAL_BODY, NOW) == "r1"
    assert await verifier.verify(ed25519(old), FAL_BODY, NOW) == "r1"
    assert source.fetched == 2
    with pytest.raises(WebhookRefused, match="no key fits"):
        await verifier.verify(ed25519(stranger), FAL_BODY, NOW)


@pytest.mark.parametrize(
    ("changes", "body", "why"),
    [
        ({}, FAL_BODY + b" ", "no key fits"),
        ({"x-fal-webhook-user-id": "other"}, FAL_BODY, "no key fits"),
        ({"x-fal-webhook-request-id": "r2"}, FAL_BODY, "no key fits"),
        ({"x-fal-webhook-timestamp": str(int(NOW) - 301)}, FAL_BODY, "300 s off"),
        ({"x-fal-webhook-signature": "xyz"}, FAL_BODY, "hexadecimal"),
        ({"x-fal-webhook-signature": "00"}, FAL_BODY, "no key fits"),
        ({"x-fal-webhook-signature": ""}, FAL_BODY, "no header"),
    ],
)
async def test_fals_forgeries_are_refused(changes: dict[str, str], body: bytes, why: str) -> None:
    key = Ed25519PrivateKey.generate()
    source = Source(key.public_key().public_bytes_raw())
    with pytest.raises(WebhookRefused, match=why):
        await FalWebhooks(source.all, source.clock).verify(ed25519(key) | changes, body, NOW)


def test_a_key_set_is_read_for_what_it_holds() -> None:
    raw = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    x = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    good = {"kty": "OKP", "crv": "Ed25519", "x": x}
    others = [{"kty": "RSA", "x": x}, {"kty": "OKP", "crv": "X25519", "x": x}, {"x": "AA"}, {"x": 7}, "x", {}]
    assert jwks_keys({"keys": [*others, good]}) == [raw]
    for nothing in (None, [], {}, {"keys": "x"}):
        assert jwks_keys(nothing) == []


# --- what the fakes send ---------------------------------------------------------------------------


class Letterbox:
    """A small HTTP server that keeps what is posted to it."""

    def __init__(self) -> None:
        self.url = ""
        self.letters: asyncio.Queue[tuple[dict[str, str], bytes]] = asyncio.Queue()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        pairs = (line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
        headers = {name.lower(): value for name, value in pairs}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        self.letters.put_nowait((headers, body))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()


@asynccontextmanager
async def letterbox() -> AsyncIterator[Letterbox]:
    box = Letterbox()
    server = await asyncio.start_server(box.accept, "127.0.0.1", 0)
    box.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield box


@pytest.mark.parametrize("provider", ["replicate", "fal"])
async def test_the_fakes_webhooks_are_verified_and_forged_ones_are_not(provider: str) -> None:
    module = {"replicate": replicate_module, "fal": fal_module}[provider]
    async with (
        running(FakeSettings(provider=provider, latency_s=0.05, key="k")) as fake,
        letterbox() as box,
    ):
        account = Account(provider, "k", fake.url)
        adapter, verifier = module.connect(account), module.verifier(account)
        checked: WebhookVerifier = verifier
        for fault in (None, "webhook_forged"):
            if fault is not None:
                fake.script(fault)
            asked = wanted("hailuo-2.3", provider, webhook=f"{box.url}/hooks/call_1")
            url = await adapter.upload(photograph())
            ticket = await adapter.submit(adapter.prepare(asked, {"image": url}, {}))
            headers, body = await asyncio.wait_for(box.letters.get(), 10)
            if fault is None:
                assert await checked.verify(headers, body, time.time()) == ticket.id
            else:
                with pytest.raises(WebhookRefused):
                    await checked.verify(headers, body, time.time())
        await adapter.close()


async def test_a_given_secret_is_used_and_never_shown() -> None:
    account = Account("replicate", "k", "http://127.0.0.1:9", webhook_secret=ONE)
    assert ONE not in repr(account)
    assert await replicate_module.verifier(account).verify(standard(ONE), BODY, NOW) == "p1"
