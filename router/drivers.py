"""What drives a clip, a video or a sound, as a local file that passed every check."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from models.errors import PayloadTooLarge
from router.containers import container_format
from router.engine import Driver
from router.probing import probe_audio, probe_video
from router.settings import Settings

CHUNK = 1 << 20
PROBES = {"driving_video": probe_video, "audio": probe_audio}


@dataclass(frozen=True, slots=True)
class PreparedDriver:
    """A driver that passed every check, in a file that is gone when its request is answered."""

    path: Path
    content_type: str
    driver: Driver


def limit_of(name: str, settings: Settings) -> int:
    """Most bytes of the driver of that name."""
    return settings.max_video_bytes if name == "driving_video" else settings.max_audio_bytes


def too_large(name: str, limit: int) -> PayloadTooLarge:
    """The error for an upload above its limit."""
    return PayloadTooLarge(
        f"{name}: may have at most {limit} bytes; got more", param=name, allowed={"max_bytes": limit}
    )


def prepare_driver(path: Path, name: str) -> PreparedDriver:
    """Check one driver. CPU and disk work."""
    probe = PROBES[name](path, name)
    digest = hashlib.sha256()
    with path.open("rb") as file:
        head = file.read(CHUNK)
        digest.update(head)
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    kind = "video" if name == "driving_video" else "audio"
    return PreparedDriver(
        path,
        f"{kind}/{container_format(head)}",
        Driver(digest.hexdigest(), probe.seconds, probe.width, probe.height, probe.fps),
    )
