"""Webhooks on their way out: signed letters, sent a few times until somebody takes them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import httpx

from models.providers.fake.calls import Call
from models.providers.fake.core import Fake

PAUSES_S = (0.1, 0.3, 1.0, 2.0)
"""Waits between tries; providers go on for hours, a test does not."""


@dataclass(frozen=True, slots=True)
class Letter:
    """One message, signed."""

    body: bytes
    headers: Mapping[str, str]


async def post(fake: Fake, call: Call, letter: Callable[[bool], Letter], *, last: bool = True) -> None:
    """Send a message about a call to its webhook, and play the faults of webhooks on the last one.

    Args:
        fake: The fake.
        call: What it is about.
        letter: Makes the message; with True one with a signature of somebody else. Called for every try,
            because the time is signed too.
        last: The message that says that the call is over.
    """
    if call.webhook is None:
        return
    fault = fake.faults.take("webhook", call.endpoint) if last else None
    kind = fault.name if fault is not None else ""
    if kind == "webhook_missing":
        return
    if fault is not None and kind == "webhook_late":
        await asyncio.sleep(fault.seconds)
    for _ in range(2 if kind == "webhook_twice" else 1):
        await _until_taken(fake, call.webhook, letter, forged=kind == "webhook_forged")


async def _until_taken(fake: Fake, url: str, letter: Callable[[bool], Letter], *, forged: bool) -> None:
    for pause in (*PAUSES_S, None):
        fake.count("webhook")
        message = letter(forged)
        try:
            answer = await fake.outbound.post(url, content=message.body, headers=dict(message.headers))
        except httpx.HTTPError:
            taken = False
        else:
            taken = answer.is_success
        if taken or pause is None:
            return
        await asyncio.sleep(pause)
