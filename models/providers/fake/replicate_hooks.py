"""Replicate's webhooks: the prediction's own JSON, signed as Standard Webhooks say."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
import uuid
from collections.abc import Callable
from typing import Any

from models.providers.fake.calls import Call, Status
from models.providers.fake.core import Fake
from models.providers.fake.webhooks import Letter, post

EVENTS = frozenset({"start", "output", "logs", "completed"})


async def follow(fake: Fake, call: Call, events: frozenset[str], told: Callable[[], dict[str, Any]]) -> None:
    """Tell of a call: when it starts, when its output is there, when it is over."""
    if "start" in events:
        await asyncio.sleep(max(call.starts - fake.now(), 0.0) + 0.001)
        if call.status(fake.now()) is Status.RUNNING:
            await post(fake, call, _letters(fake, told), last=False)
    await fake.over(call)
    if "output" in events and call.status(fake.now()) is Status.SUCCEEDED:
        await post(fake, call, _letters(fake, told), last=False)
    if "completed" in events:
        await post(fake, call, _letters(fake, told))


def _letters(fake: Fake, told: Callable[[], dict[str, Any]]) -> Callable[[bool], Letter]:
    """Tries of one message: the same id and body, the time and signature anew."""
    message_id = f"msg_{uuid.uuid4().hex}"
    body = json.dumps(told()).encode()

    def letter(forged: bool) -> Letter:
        secret = "whsec_" + base64.b64encode(b"nobody").decode() if forged else fake.settings.webhook_secret
        timestamp = str(int(time.time()))
        headers = {
            "content-type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": timestamp,
            "webhook-signature": signature(secret, message_id, timestamp, body),
        }
        return Letter(body, headers)

    return letter


def signature(secret: str, message_id: str, timestamp: str, body: bytes) -> str:
    """`v1,<base64>` of HMAC-SHA256 over `id.timestamp.body`, keyed by what follows `whsec_`."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()
