"""Results on their way: the clip, or what the script says instead; nothing large is held in memory."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse

from models.providers.fake.connections import CutInTheMiddle
from models.providers.fake.faults import Fault

CHUNK = 64 * 1024
HUGE_FACTOR = 100
NOISE_BYTES = 64 * 1024


def delivered(clip: bytes, name: str, fault: Fault | None) -> Response:
    """The answer to a download."""
    headers = {"content-type": "video/mp4", "content-disposition": f'inline; filename="{name}"'}
    if fault is None:
        return Response(clip, headers=headers)
    return _spoilt(clip, headers, fault)


def _spoilt(clip: bytes, headers: dict[str, str], fault: Fault) -> Response:
    response = Response(clip, headers=headers)
    match fault.name:
        case "expired_url":
            response = JSONResponse({"detail": "The file has expired"}, status_code=fault.status or 404)
        case "wrong_content_type":
            response = HTMLResponse("<!doctype html><title>Just a moment</title><p>Checking your browser.")
        case "not_a_video":
            response = Response(os.urandom(NOISE_BYTES), headers=headers)
        case "broken_download":
            response = CutInTheMiddle(clip[: len(clip) // 2], len(clip), headers)
        case "slow_download":
            pieces = _slowly(clip, fault.seconds)
            response = StreamingResponse(pieces, headers=_with_length(headers, len(clip)))
        case "huge_result":
            total = fault.bytes or HUGE_FACTOR * len(clip)
            declared = _with_length(headers, total) if fault.declared else headers
            response = StreamingResponse(_repeated(clip, total), headers=declared)
    return response


def _with_length(headers: dict[str, str], length: int) -> dict[str, str]:
    return {**headers, "content-length": str(length)}


async def _slowly(clip: bytes, seconds: float) -> AsyncIterator[bytes]:
    """Twenty pieces with equal pauses."""
    pieces = 20
    step = len(clip) // pieces + 1
    for start in range(0, len(clip), step):
        yield clip[start : start + step]
        await asyncio.sleep(seconds / pieces)


async def _repeated(clip: bytes, total: int) -> AsyncIterator[bytes]:
    """A file that begins like the clip and goes on for ever."""
    sent = 0
    while sent < total:
        for start in range(0, len(clip), CHUNK):
            piece = clip[start : start + min(CHUNK, total - sent)]
            if not piece:
                return
            yield piece
            sent += len(piece)
            # Writing to somebody who has gone never waits: let the loop see that he has.
            await asyncio.sleep(0)
