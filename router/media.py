"""The media store: photographs, previews and clips as objects under keys, in a directory or in S3.

fsspec gives one face to both. In a local directory an object appears whole or not at all: it is written
beside its place, synced and renamed, so that a crash never leaves half a clip under its key.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import fsspec

from models.errors import MediaUnavailable

CHUNK = 1 << 20
KEY = re.compile(r"[a-z0-9_-][a-z0-9_.-]*(/[a-z0-9_-][a-z0-9_.-]*)*")
"""No dot at the start of a part, so neither `..` nor hidden files; no leading slash."""


@dataclass(frozen=True, slots=True)
class MediaObject:
    """What is stored under a key."""

    key: str
    bytes: int
    sha256: str
    content_type: str


@dataclass(frozen=True, slots=True)
class MediaStat:
    """What the store knows of an object without reading it."""

    size: int
    """Bytes."""


def photograph_key(upload_id: str) -> str:
    """Where an uploaded photograph lies."""
    return f"photographs/{upload_id}"


def clip_key(job_id: str, fence: int, variant: str) -> str:
    """Where a variant of an attempt's clip lies: the fence keeps an overtaken worker off a published clip."""
    return f"clips/{job_id}/{fence}/{variant}"


def preview_key(job_id: str, fence: int) -> str:
    """Where an attempt's newest preview picture lies."""
    return f"clips/{job_id}/{fence}/preview"


class MediaStore:
    """Objects by key. Methods may raise `MediaUnavailable`; a key that could leave the root is refused."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._fs, self._root = fsspec.core.url_to_fs(url)
        protocols = self._fs.protocol if isinstance(self._fs.protocol, tuple) else (self._fs.protocol,)
        self._local = "file" in protocols

    def _path(self, key: str) -> str:
        if not KEY.fullmatch(key):
            raise ValueError(f"not a media key: {key!r}")
        return f"{self._root}/{key}"

    @contextlib.contextmanager
    def _guard(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise MediaUnavailable(f"the media store could not {what}: {reason}") from error

    def put_bytes(self, key: str, content: bytes, content_type: str) -> MediaObject:
        """Store `content` under `key`, replacing what was there."""
        with self._guard(f"write {key}"), self._writer(key) as target:
            target.write(content)
        return MediaObject(key, len(content), hashlib.sha256(content).hexdigest(), content_type)

    def put_file(self, key: str, source: Path, content_type: str) -> MediaObject:
        """Store a file under `key`, in chunks."""
        digest, size = hashlib.sha256(), 0
        with self._guard(f"write {key}"), source.open("rb") as reading, self._writer(key) as target:
            while chunk := reading.read(CHUNK):
                digest.update(chunk)
                size += len(chunk)
                target.write(chunk)
        return MediaObject(key, size, digest.hexdigest(), content_type)

    @contextlib.contextmanager
    def _writer(self, key: str) -> Iterator[Any]:
        path = self._path(key)
        if not self._local:
            with self._fs.open(path, "wb") as target:
                yield target
            return
        place = Path(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        beside = place.with_name(f".{place.name}.{uuid.uuid4().hex}")
        try:
            with beside.open("wb") as target:
                yield target
                target.flush()
                os.fsync(target.fileno())
            beside.replace(place)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise

    def read(self, key: str) -> bytes:
        """The whole object."""
        with self._guard(f"read {key}"):
            return bytes(self._fs.cat_file(self._path(key)))

    def open(self, key: str) -> BinaryIO:
        """A readable, seekable file object."""
        with self._guard(f"read {key}"):
            opened: BinaryIO = self._fs.open(self._path(key), "rb")
            return opened

    def stream(self, key: str, start: int = 0, end: int | None = None, chunk: int = CHUNK) -> Iterator[bytes]:
        """Bytes from `start` up to (not including) `end`, in chunks."""
        with self._guard(f"read {key}"), self.open(key) as source:
            source.seek(start)
            left = None if end is None else end - start
            while left is None or left > 0:
                piece = source.read(chunk if left is None else min(chunk, left))
                if not piece:
                    return
                if left is not None:
                    left -= len(piece)
                yield piece

    def stat(self, key: str) -> MediaStat:
        """Facts of the object."""
        with self._guard(f"find {key}"):
            return MediaStat(int(self._fs.size(self._path(key))))

    def exists(self, key: str) -> bool:
        """True when there is an object under `key`."""
        with self._guard(f"find {key}"):
            return bool(self._fs.exists(self._path(key)))

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects; keys that are not there are no fault."""
        for key in keys:
            with self._guard(f"delete {key}"), contextlib.suppress(FileNotFoundError):
                self._fs.rm_file(self._path(key))

    def delete_prefix(self, prefix: str) -> None:
        """Remove every object below `prefix`."""
        with self._guard(f"delete {prefix}"), contextlib.suppress(FileNotFoundError):
            self._fs.rm(self._path(prefix), recursive=True)

    def ping(self) -> None:
        """Prove that an object can be written and removed."""
        key = f"probe/{uuid.uuid4().hex}"
        self.put_bytes(key, b"probe", "application/octet-stream")
        self.delete([key])
