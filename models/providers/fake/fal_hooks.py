"""fal's webhooks: one message when a request is over, signed with Ed25519 keys that a JWKS publishes."""

from __future__ import annotations

import base64
import hashlib
import json
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from models.providers.fake.calls import Call
from models.providers.fake.core import Fake
from models.providers.fake.webhooks import Letter, post

USER = "fake-user"


class Signer:
    """A key pair, made at start, as fal's own."""

    def __init__(self) -> None:
        self._key = Ed25519PrivateKey.generate()
        self._stranger = Ed25519PrivateKey.generate()

    def jwks(self) -> dict[str, Any]:
        """The key set of `/.well-known/jwks.json`."""
        raw = self._key.public_key().public_bytes_raw()
        public = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
        return {"keys": [{"kty": "OKP", "crv": "Ed25519", "x": public, "kid": "fake", "use": "sig"}]}

    def letter(self, request_id: str, body: bytes, *, forged: bool) -> Letter:
        """Sign a body: request id, user id, time and the body's SHA-256, one a line."""
        timestamp = str(int(time.time()))
        message = "\n".join((request_id, USER, timestamp, hashlib.sha256(body).hexdigest()))
        key = self._stranger if forged else self._key
        return Letter(
            body,
            {
                "content-type": "application/json",
                "x-fal-webhook-request-id": request_id,
                "x-fal-webhook-user-id": USER,
                "x-fal-webhook-timestamp": timestamp,
                "x-fal-webhook-signature": key.sign(message.encode()).hex(),
            },
        )


async def tell(
    fake: Fake,
    call: Call,
    signer: Signer,
    outcome: Callable[[], tuple[int, dict[str, Any], Mapping[str, str]]],
) -> None:
    """Wait until a request is over and say so."""
    await fake.over(call)
    status, payload, _ = outcome()
    good = status == 200
    told = {
        "request_id": call.id,
        "gateway_request_id": str(uuid.uuid5(uuid.NAMESPACE_URL, call.id)),
        "status": "OK" if good else "ERROR",
        "payload": payload,
        "error": None if good else f"Unexpected status code: {status}",
    }
    body = json.dumps(told).encode()
    await post(fake, call, lambda forged: signer.letter(call.id, body, forged=forged))
