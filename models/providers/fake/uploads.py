"""What was uploaded: facts about each file. The bytes are looked at once and not kept."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass

import av
import av.error
from PIL import Image, UnidentifiedImageError


@dataclass(frozen=True, slots=True)
class Facts:
    """What a file is."""

    name: str
    content_type: str
    bytes: int
    sha256: str
    width: int | None = None
    height: int | None = None
    seconds: float | None = None
    """Playing time of a video or sound."""


@dataclass(frozen=True, slots=True)
class Upload:
    """One stored file."""

    id: str
    url: str
    """As the body of a call names it."""
    facts: Facts
    created_at: float
    """Unix seconds."""
    expires_at: float


class Uploads:
    """All stored files by their URLs and ids."""

    def __init__(self) -> None:
        self._by_url: dict[str, Upload] = {}
        self._by_id: dict[str, Upload] = {}

    def add(self, upload: Upload) -> None:
        """Store one."""
        self._by_url[upload.url] = upload
        self._by_id[upload.id] = upload

    def by_url(self, url: str) -> Upload | None:
        """The file at that URL."""
        return self._by_url.get(url)

    def by_id(self, upload_id: str) -> Upload | None:
        """The file of that id."""
        return self._by_id.get(upload_id)

    def remove(self, upload_id: str) -> bool:
        """Delete one; False when there is none."""
        upload = self._by_id.pop(upload_id, None)
        if upload is not None:
            self._by_url.pop(upload.url, None)
        return upload is not None


def inspected(content: bytes, name: str, content_type: str) -> Facts:
    """Look into a file: size of a picture, size and length of a video, length of a sound."""
    width, height, seconds = None, None, None
    try:
        with Image.open(io.BytesIO(content)) as image:
            width, height = image.size
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError):
        width, height, seconds = _played(content)
    digest = hashlib.sha256(content).hexdigest()
    return Facts(name, content_type, len(content), digest, width, height, seconds)


def _played(content: bytes) -> tuple[int | None, int | None, float | None]:
    try:
        with av.open(io.BytesIO(content)) as container:
            seconds = container.duration / av.time_base if container.duration else None
            if container.streams.video:
                context = container.streams.video[0].codec_context
                return context.width, context.height, seconds
            return None, None, seconds
    except (av.error.FFmpegError, OSError):
        return None, None, None
