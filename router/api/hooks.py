"""`POST /v1/hooks/{provider}/{account}/{call}`: where hosted providers tell that a call has changed.

A verified webhook is believed in one thing only: that its ticket is the one of that call. What became of the
call the worker asks the provider itself, so that a webhook that comes twice, late or never changes nothing.
"""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from models.errors import HookRefused, PayloadTooLarge
from router.api.context import Context

router = APIRouter(tags=["operations"])

MOST_BYTES = 2 * 2**20
"""Webhooks repeat the call with its logs: Replicate's are some kilobytes, fal's carry the whole result."""
CALL_ID = re.compile(r"call_[0-9a-f]{24}")
Name = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]


@router.post("/v1/hooks/{provider}/{account}/{call}", status_code=204)
async def hook(context: Context, request: Request, provider: Name, account: Name, call: str) -> Response:
    """Take a provider's webhook; also one for a call that is over, so that it is not sent again."""
    if context.hooks is None or not CALL_ID.fullmatch(call):
        raise HookRefused("there is no such webhook")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            raise PayloadTooLarge(f"a webhook may have {MOST_BYTES} bytes")
    headers = {name.lower(): value for name, value in request.headers.items()}
    ticket = await context.hooks.verified(provider, account, headers, bytes(body))
    await context.store.calls.heard(call, ticket)
    return Response(status_code=204)
