"""`GET /v1/videos/{id}/events`: a job's history and what happens next, as server-sent events.

The stream is read from the job store, so that any Gateway replica can serve it and a client that lost its
connection goes on with `Last-Event-ID` at another one.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from time import monotonic
from typing import Annotated

from fastapi import APIRouter, Header
from starlette.responses import StreamingResponse

from models.errors import InvalidRequest, JobNotFound, StoreUnavailable
from router.api.context import Context, JobId, Tenant
from router.api.view import event_json
from router.jobs.records import Event
from router.jobs.store import JobStore

router = APIRouter(tags=["videos"])

HEARTBEAT_S = 15.0
"""Proxies drop connections that are silent for 30 to 60 s."""
POLL_S = 0.5
"""Progress is written about once a second; twice as often keeps the delay below half a second."""
PAGE = 200
RETRY_MS = 1000
"""How soon a browser connects again."""


@router.get("/v1/videos/{video_id}/events", response_class=StreamingResponse)
async def video_events(
    video_id: JobId,
    context: Context,
    tenant: Tenant,
    last_event_id: Annotated[str | None, Header()] = None,
) -> StreamingResponse:
    """Every event from the first (or after `Last-Event-ID`), then new ones, until the job is final."""
    seen = 0
    if last_event_id:
        if not last_event_id.isascii() or not last_event_id.isdecimal() or len(last_event_id) > 9:
            raise InvalidRequest(
                "Last-Event-ID must be the id of an event of this stream, a whole number",
                param="Last-Event-ID",
            )
        seen = int(last_event_id)
    await context.store.get(video_id, tenant)
    return StreamingResponse(
        stream(context.store, video_id, tenant, after=seen),
        media_type="text/event-stream",
        # nginx buffers a stream unless it is told not to.
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def stream(
    store: JobStore,
    job_id: str,
    tenant: str,
    *,
    after: int,
    poll_s: float = POLL_S,
    heartbeat_s: float = HEARTBEAT_S,
) -> AsyncIterator[str]:
    """Encoded events until the job is final and all are told.

    A store that cannot be read ends the stream; the client connects again where it was.
    """
    yield f"retry: {RETRY_MS}\n\n"
    told = monotonic()
    seen = after
    try:
        while True:
            # Read before the events: when it says final, every event is already there.
            final = (await store.get(job_id, tenant)).status.final
            while events := await store.events(job_id, after=seen, limit=PAGE):
                for event in events:
                    yield encode(event)
                seen = events[-1].seq
                told = monotonic()
            if final:
                return
            if monotonic() - told >= heartbeat_s:
                yield ": heartbeat\n\n"
                told = monotonic()
            await asyncio.sleep(poll_s)
    except JobNotFound:
        yield f"event: deleted\ndata: {json.dumps({'id': job_id, 'type': 'deleted'})}\n\n"
    except StoreUnavailable:
        return


def encode(event: Event) -> str:
    """One event in the wire format of the HTML standard; JSON keeps it on one line."""
    return f"id: {event.seq}\nevent: {event.type}\ndata: {json.dumps(event_json(event))}\n\n"
