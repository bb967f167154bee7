"""The inputs of a call, from the media store into what a provider may be sent."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from deployments.call_desk import Desk
from deployments.call_task import CallTask
from models.errors import InputRefused
from models.providers.base import Attachment, Role
from router.containers import HEAD, container_format

PICTURES: frozenset[Role] = frozenset({"image", "last_image"})
KINDS: Mapping[str, str] = {
    "mp4": "video/mp4",
    "matroska": "video/webm",
    "wav": "audio/wav",
    "mp3": "audio/mpeg",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "ogg": "audio/ogg",
}
"""Content type of what uploads may be, by `router.containers`."""
MOST_BYTES = 100 * 2**20


async def attachments(desk: Desk, task: CallTask, folder: Path, reference: str) -> dict[Role, Attachment]:
    """Every input of the clip that the model takes; photographs in the planned shape, upright, as JPEG.

    Raises:
        MediaUnavailable: the media store is away.
        InputRefused: in that shape a photograph is smaller than the model takes, or a driver is too large.
    """
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    found: dict[Role, Attachment] = {}
    for role, key in task.media.items():
        source = folder / f"{role}.source"
        await asyncio.to_thread(desk.media.fetch, key, source)
        if role in PICTURES:
            target = folder / f"{role}.jpg"
            await desk.photographs.photograph(
                source, target, task.plan, [list(face) for face in task.faces], task.card.input_image.min_side
            )
            content = await asyncio.to_thread(target.read_bytes)
            found[role] = Attachment(f"{reference}-{role}.jpg", "image/jpeg", content)
        else:
            found[role] = await asyncio.to_thread(_driver, source, role, reference)
    return found


def _driver(source: Path, role: Role, reference: str) -> Attachment:
    size = source.stat().st_size
    if size > MOST_BYTES:
        raise InputRefused(f"{role}: is {size} bytes; hosts take {MOST_BYTES} at most", param=role)
    content = source.read_bytes()
    container = container_format(content[:HEAD]) or ""
    kind = KINDS.get(container, "application/octet-stream")
    if role == "audio" and container in {"mp4", "matroska"}:
        kind = kind.replace("video", "audio")
    return Attachment(f"{reference}-{role}.{kind.rpartition('/')[2]}", kind, content)
