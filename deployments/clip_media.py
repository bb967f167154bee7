"""The media of a clip in the store: all variants or none, and what dead attempts left. Needs no decoder."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from models.errors import MediaUnavailable
from router.media import MediaStore, clip_key

log = logging.getLogger("i2v.media")

KINDS = {"video": "video/mp4", "thumbnail": "image/jpeg", "spritesheet": "image/jpeg"}
"""Content type of each variant."""


def store_variants(
    media: MediaStore, job_id: str, fence: int, *, video: Path, thumbnail: Path, spritesheet: Path
) -> dict[str, dict[str, Any]]:
    """All variants, or none: what was stored before one failed goes again. Raises `MediaUnavailable`."""
    files = {"video": video, "thumbnail": thumbnail, "spritesheet": spritesheet}
    kept: dict[str, dict[str, Any]] = {}
    try:
        for variant, kind in KINDS.items():
            stored = media.put_file(clip_key(job_id, fence, variant), files[variant], kind)
            kept[variant] = {
                "key": stored.key,
                "bytes": stored.bytes,
                "sha256": stored.sha256,
                "content_type": kind,
            }
    except MediaUnavailable:
        media.delete([stored["key"] for stored in kept.values()])
        raise
    return kept


async def forget_attempts(media: MediaStore, job_id: str, fences: Iterable[int]) -> None:
    """Remove what attempts left that died between storing and publishing, and so told nobody."""
    for fence in fences:
        try:
            await asyncio.to_thread(media.delete_prefix, f"clips/{job_id}/{fence}")
        except MediaUnavailable as error:
            log.warning("media of attempt %s of %s stay: %s", fence, job_id, error)
