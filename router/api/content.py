"""`GET /v1/videos/{id}/content`: the bytes, with ranges and validators as RFC 9110 sets them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import ConfigDict
from starlette.concurrency import iterate_in_threadpool
from starlette.responses import Response, StreamingResponse

from models.errors import NotReady
from router.api.context import Context, JobId, Tenant
from router.errors import problem, request_id_of
from router.jobs.records import Job, JobStatus
from router.schemas import Wire

router = APIRouter(tags=["videos"])

Variant = Literal["video", "thumbnail", "spritesheet", "preview"]
FILE_NAMES = {
    "video/mp4": "video.mp4",
    "image/jpeg": "image.jpg",
    "image/png": "image.png",
    "image/webp": "image.webp",
}
"""Types that are served as themselves, with the one name each is offered under."""
PREVIEW_TYPE = "image/jpeg"


class ContentQuery(Wire):
    """Query of the route."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    variant: Variant = "video"


@dataclass(frozen=True, slots=True)
class Asset:
    """One object of the media store that a job points to."""

    key: str
    content_type: str
    etag: str | None
    """None for a preview, which changes while the job runs."""


DIGITS = 18
"""More digits name a byte beyond 2^59, which no object has; Python would otherwise parse them for long."""


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes `start` to `end`, exclusive."""

    start: int
    end: int


def asset_of(job: Job, variant: Variant) -> Asset:
    """Where a variant lies; raises `NotReady` with the reason when it is not there."""
    media: Mapping[str, Any] = (job.result or {}).get("media", {})
    entry = media.get(variant)
    if entry is not None:
        return Asset(str(entry["key"]), str(entry["content_type"]), f'"{entry["sha256"]}"')
    detail = job.progress_detail
    if variant == "preview" and not job.status.final and detail is not None and detail.preview_key:
        return Asset(detail.preview_key, PREVIEW_TYPE, None)
    if job.status is JobStatus.COMPLETED:
        offered = ", ".join(sorted(media)) or "none: they are past their retention"
        raise NotReady(f"this video has no {variant}; it has: {offered}", param="variant")
    if job.status.final:
        raise NotReady(f"there is no {variant}: the job is {job.status}", param="variant")
    raise NotReady(
        f"the {variant} is not there yet: the job is {job.status}, {job.progress} %", param="variant"
    )


def requested_span(header: str | None, size: int) -> Span | None:
    """The one byte range that `Range` asks for; None to send everything.

    Several ranges, other units and malformed headers are ignored, as RFC 9110 section 14.2 allows. Raises
    `ValueError` when the range lies outside of the object (416).
    """
    if header is None:
        return None
    unit, equals, rest = header.partition("=")
    first, dash, last = rest.strip().partition("-")
    first, last = first.strip(), last.strip()
    well_formed = equals and dash and unit.strip().lower() == "bytes" and (first or last)
    if not well_formed or not all(part.isascii() and part.isdecimal() for part in (first, last) if part):
        return None
    if len(first) > DIGITS:
        raise ValueError("range outside of the object")
    last = last if len(last) <= DIGITS else "9" * DIGITS
    if not first:
        length = int(last)
        if length == 0 or size == 0:
            raise ValueError("empty suffix range")
        return Span(max(0, size - length), size)
    start = int(first)
    end = min(int(last) + 1, size) if last else size
    if last and int(last) < start:
        return None
    if start >= size:
        raise ValueError("range outside of the object")
    return Span(start, end)


def etag_matches(header: str | None, etag: str | None) -> bool:
    """`If-None-Match`: weak comparison against a list or `*`."""
    if header is None or etag is None:
        return False
    tags = {tag.strip().removeprefix("W/") for tag in header.split(",")}
    return "*" in tags or etag in tags


@router.head("/v1/videos/{video_id}/content", include_in_schema=False)
@router.get("/v1/videos/{video_id}/content", response_class=StreamingResponse)
async def video_content(
    video_id: JobId,
    request: Request,
    query: Annotated[ContentQuery, Query()],
    context: Context,
    tenant: Tenant,
) -> Response:
    """The clip, its thumbnail, its spritesheet, or the newest preview picture of a running job."""
    job = await context.store.get(video_id, tenant)
    asset = asset_of(job, query.variant)
    known = asset.content_type in FILE_NAMES
    headers = {
        "Accept-Ranges": "bytes",
        "X-Content-Type-Options": "nosniff",
        "Content-Disposition": f'inline; filename="{FILE_NAMES[asset.content_type]}"'
        if known
        else "attachment",
        "Content-Security-Policy": "default-src 'none'",
        # A client may keep it but must ask again: a deleted video is gone at once.
        "Cache-Control": "private, no-cache" if asset.etag else "no-store",
        **({"ETag": asset.etag} if asset.etag else {}),
    }
    if etag_matches(request.headers.get("if-none-match"), asset.etag):
        return Response(status_code=304, headers=headers)
    size = (await asyncio.to_thread(context.media.stat, asset.key)).size
    condition = request.headers.get("if-range")
    ranged = condition is None or condition == asset.etag
    try:
        span = requested_span(request.headers.get("range") if ranged else None, size)
    except ValueError:
        return problem(
            status=416,
            code="range_not_satisfiable",
            title="Range not satisfiable",
            detail=f"the {query.variant} has {size} bytes",
            request_id=request_id_of(request),
            param="Range",
            headers={"Content-Range": f"bytes */{size}"},
        )
    sent = span or Span(0, size)
    headers["Content-Length"] = str(sent.end - sent.start)
    if span is not None:
        headers["Content-Range"] = f"bytes {span.start}-{span.end - 1}/{size}"
    media_type = asset.content_type if known else "application/octet-stream"
    status = 206 if span is not None else 200
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=media_type)
    chunks = iterate_in_threadpool(context.media.stream(asset.key, sent.start, sent.end))
    return StreamingResponse(chunks, status, headers, media_type)
