"""Who sent a webhook: Standard Webhooks (HMAC-SHA256, Replicate) and fal's Ed25519 over published keys.

What is verified is only that the provider speaks, lately, about a ticket; what became of it, the adapter
looks up itself. So a replayed message does no harm within its 300 s either: it causes one look.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from models.errors import ProviderError, ProviderUnavailable
from models.providers.base import WebhookRefused

TOLERANCE_S = 300.0
"""Oldest (and newest) time stamp; Standard Webhooks and fal both name five minutes."""
KEEP_S = 86_400.0
"""Longest that fetched keys are kept; fal allows 24 h."""
REFETCH_S = 60.0
"""Keys that fit nothing are fetched again at most so often: strangers can send us anything."""
MOST_SIGNATURES = 8
"""Signatures of one message that are looked at; during a rotation there are two."""


class Keys:
    """Keys that are fetched when they are needed, kept a day, and fetched again when none fits."""

    def __init__(
        self,
        fetch: Callable[[], Awaitable[Sequence[bytes]]] | None,
        given: Sequence[bytes] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`given` keys are used as they are; with `fetch` None there are no others."""
        self._fetch = fetch
        self._keys = tuple(given)
        self._clock = clock
        self._fetched: float | None = None
        self._tried: float | None = None
        self._turn = asyncio.Lock()

    async def that_fits(self, fits: Callable[[bytes], bool]) -> bool:
        """True when one of the keys fits, if need be after fetching them.

        Raises:
            ProviderUnavailable: there are no keys and they cannot be had now; the sender may try again.
        """
        if self._fetch is None:
            return _any(self._keys, fits)
        # Good messages do not wait behind a fetch that a forged one has caused.
        if not self._stale and _any(self._keys, fits):
            return True
        async with self._turn:
            if self._stale:
                await self._renew()
            if _any(self._keys, fits):
                return True
            before = self._keys
            await self._renew()
            if not self._keys:
                raise ProviderUnavailable("the keys that webhooks are checked with cannot be fetched now")
            return self._keys != before and _any(self._keys, fits)

    @property
    def _stale(self) -> bool:
        return self._fetched is None or self._clock() - self._fetched > KEEP_S

    async def _renew(self) -> None:
        now = self._clock()
        if self._fetch is None or (self._tried is not None and now - self._tried < REFETCH_S):
            return
        self._tried = now
        try:
            self._keys = tuple(await self._fetch())
        except ProviderError:
            # The old keys stay good for what they fit; the next message tries again after a minute.
            return
        self._fetched = now


def _any(keys: Sequence[bytes], fits: Callable[[bytes], bool]) -> bool:
    return any(fits(key) for key in keys)


class StandardWebhooks:
    """Verifier by https://www.standardwebhooks.com: `v1,` signatures over `{id}.{timestamp}.{body}`."""

    def __init__(
        self,
        fetch: Callable[[], Awaitable[str]] | None,
        *,
        ticket_field: str,
        secret: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Fetch nothing yet.

        Args:
            fetch: Gets the secret (`whsec_…`); not used when one is given.
            ticket_field: Field of the body that holds the ticket id.
            secret: The secret, where the operator gives it; several may be separated by blanks (rotation).
            clock: Monotonic seconds.

        Raises:
            WebhookRefused: a given secret is no `whsec_` and base64.
        """
        self._field = ticket_field
        given = [secret_bytes(one) for one in (secret or "").split()]

        async def fetched() -> Sequence[bytes]:
            assert fetch is not None  # noqa: S101  # only asked where there is one
            return [secret_bytes(await fetch())]

        self._keys = Keys(None if given or fetch is None else fetched, given, clock)

    async def verify(self, headers: Mapping[str, str], body: bytes, now: float) -> str:
        """See `WebhookVerifier.verify`."""
        message = _header(headers, "webhook-id")
        stamp = _fresh(_header(headers, "webhook-timestamp"), now)
        offered = _header(headers, "webhook-signature").split()[:MOST_SIGNATURES]
        signatures = [signature for part in offered if (signature := _v1(part)) is not None]
        if not signatures:
            raise WebhookRefused("no v1 signature")
        signed = f"{message}.{stamp}.".encode() + body

        def fits(key: bytes) -> bool:
            right = hmac.digest(key, signed, "sha256")
            return any(hmac.compare_digest(right, signature) for signature in signatures)

        if not await self._keys.that_fits(fits):
            raise WebhookRefused("no signature fits")
        return _ticket(body, self._field)


class FalWebhooks:
    """Verifier of fal: Ed25519 over request id, user id, time stamp and the body's hash, keys in a JWKS."""

    def __init__(
        self, fetch: Callable[[], Awaitable[Sequence[bytes]]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`fetch` gets the public keys, 32 bytes each."""
        self._keys = Keys(fetch, clock=clock)

    async def verify(self, headers: Mapping[str, str], body: bytes, now: float) -> str:
        """See `WebhookVerifier.verify`."""
        request = _header(headers, "x-fal-webhook-request-id")
        user = _header(headers, "x-fal-webhook-user-id")
        stamp = _fresh(_header(headers, "x-fal-webhook-timestamp"), now)
        try:
            signature = bytes.fromhex(_header(headers, "x-fal-webhook-signature"))
        except ValueError:
            raise WebhookRefused("the signature is not hexadecimal") from None
        signed = "\n".join((request, user, stamp, hashlib.sha256(body).hexdigest())).encode()

        def fits(key: bytes) -> bool:
            try:
                Ed25519PublicKey.from_public_bytes(key).verify(signature, signed)
            except (InvalidSignature, ValueError):
                return False
            return True

        if not await self._keys.that_fits(fits):
            raise WebhookRefused("no key fits the signature")
        return _ticket(body, "request_id")


def secret_bytes(secret: str) -> bytes:
    """The HMAC key in a `whsec_…` secret.

    Raises:
        WebhookRefused: it is none.
    """
    try:
        key = base64.b64decode(secret.strip().removeprefix("whsec_"), validate=True)
    except binascii.Error:
        key = b""
    if not key:
        raise WebhookRefused("the signing secret is no whsec_ and base64")
    return key


def jwks_keys(document: object) -> list[bytes]:
    """The Ed25519 public keys of a JWKS; what is something else is left out."""
    rows = document.get("keys") if isinstance(document, dict) else None
    found = []
    for row in rows if isinstance(rows, list) else []:
        told = row.get("x") if isinstance(row, dict) else None
        if (
            isinstance(told, str)
            and row.get("kty", "OKP") == "OKP"
            and row.get("crv", "Ed25519") == "Ed25519"
        ):
            try:
                key = base64.urlsafe_b64decode(told + "=" * (-len(told) % 4))
            except (binascii.Error, ValueError):
                continue
            if len(key) == 32:
                found.append(key)
    return found


def _header(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(name, "")
    if not value:
        raise WebhookRefused(f"no header {name}")
    return value


def _fresh(stamp: str, now: float) -> str:
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 12):
        raise WebhookRefused("the time stamp is no number of seconds")
    if abs(now - int(stamp)) > TOLERANCE_S:
        raise WebhookRefused(f"the time stamp is more than {TOLERANCE_S:.0f} s off")
    return stamp


def _v1(part: str) -> bytes | None:
    version, _, encoded = part.partition(",")
    if version != "v1":
        return None
    try:
        return base64.b64decode(encoded, validate=True)
    except binascii.Error:
        return None


def _ticket(body: bytes, field: str) -> str:
    try:
        told = json.loads(body)
    except ValueError:
        told = None
    ticket = told.get(field) if isinstance(told, dict) else None
    if not isinstance(ticket, str) or not ticket:
        raise WebhookRefused(f"the body names no {field}")
    return ticket
