"""From a runner's frames to stored media: encode while frames arrive, then store all variants or none."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from deployments.clip_media import store_variants
from deployments.monitor import Monitor
from deployments.ranks import ClipTask, Event
from models.errors import MediaUnavailable
from models.runners.base import RunRequest, RunResult, Stage
from models.runners.encode import Encoded, encode_clip
from router.media import MediaStore

log = logging.getLogger("i2v.rank")

STORE_PATIENCE_S = 120.0
"""A finished clip waits so long for a media store that is away: it cost more to make. Our choice."""
STORE_RETRY_S = 2.0


def deliver(
    result: RunResult,
    request: RunRequest,
    task: ClipTask,
    media: MediaStore,
    monitor: Monitor,
    scratch: Path,
    *,
    sounds: bool,
) -> Event:
    """Encode and store a clip; returns the `done` event.

    Raises:
        Cancelled, EncodeFailed, OutOfMemory: while its frames are taken.
        MediaUnavailable: the media store stayed away for `STORE_PATIENCE_S`.
    """
    effective = request.plan.effective
    encoded = encode_clip(
        result.frames, effective, scratch, audio=result.audio if sounds else None, on_frame=monitor.frame
    )
    monitor.stage(Stage.STORING)
    stored = _patiently(lambda: store_media(media, task, encoded), monitor)
    monitor.close()
    return {
        "type": "done",
        "media": stored,
        "notes": list(result.notes),
        "stages": monitor.stages,
        "geometry": {
            "width": effective.width,
            "height": effective.height,
            "num_frames": encoded.num_frames,
            "fps": effective.fps,
            "seconds": encoded.seconds,
        },
    }


def store_media(media: MediaStore, task: ClipTask, encoded: Encoded) -> dict[str, dict[str, Any]]:
    """All variants, or none."""
    return store_variants(
        media,
        task.job_id,
        task.fence,
        video=encoded.video,
        thumbnail=encoded.thumbnail,
        spritesheet=encoded.spritesheet,
    )


def _patiently(store: Callable[[], dict[str, dict[str, Any]]], monitor: Monitor) -> dict[str, dict[str, Any]]:
    deadline = time.monotonic() + STORE_PATIENCE_S
    while True:
        try:
            return store()
        except MediaUnavailable as error:
            if time.monotonic() > deadline:
                raise
            log.warning("the clip waits for the media store: %s", error)
            time.sleep(STORE_RETRY_S)
            monitor.step(0, 0)  # a sign of life, and a look at the cancel flag
