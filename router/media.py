"""The media store: photographs, previews and clips as objects under keys, in a directory or in a bucket.

fsspec gives one face to both. In a local directory an object appears whole or not at all: it is written
beside its place, synced and renamed, so that a crash never leaves half a clip under its key. Object stores
publish an upload only when it is complete.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO, Final

import fsspec

from models.errors import ConfigError, I2VError, MediaUnavailable

CHUNK: Final = 1 << 20
KEY: Final = re.compile(r"[a-z0-9_-][a-z0-9_.-]*(/[a-z0-9_-][a-z0-9_.-]*)*")
"""No dot at the start of a part, so neither `..` nor hidden files; no leading slash."""
PRUNE_RACES: Final = 20
"""Times that a write may meet a delete which prunes its folder, before it is a fault. Our choice."""
MAX_KEY: Final = 512
"""Longest key in characters; object stores allow 1,024 bytes for prefix and key together."""

# How object stores are told the content type, by fsspec protocol.
_TYPE_ARGUMENT: Final = {
    "s3": "ContentType",
    "s3a": "ContentType",
    "gs": "content_type",
    "gcs": "content_type",
}


@dataclass(frozen=True, slots=True)
class MediaObject:
    """What was stored under a key."""

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
    """Where an uploaded photograph lies; apart from clips, because a remix shares it."""
    return f"photographs/{upload_id}"


def driver_key(upload_id: str) -> str:
    """Where an uploaded driving video or sound lies; a remix shares it."""
    return f"drivers/{upload_id}"


def clip_key(job_id: str, fence: int, variant: str) -> str:
    """Where a variant of an attempt's clip lies: the fence keeps an overtaken worker off a published clip."""
    return f"clips/{job_id}/{fence}/{variant}"


def preview_key(job_id: str, fence: int) -> str:
    """Where an attempt's newest preview picture lies."""
    return f"clips/{job_id}/{fence}/preview"


class MediaStore:
    """Objects by key, synchronous; threads may share it, and it pickles as its URL.

    Every method raises `MediaUnavailable` when the store refuses (full disk, no permission, no bucket, no
    network) or has lost an object that is read, and `ValueError` for a key outside `KEY`: keys are made by
    this program, so that one is a bug here and no fault of a client.
    """

    def __init__(self, url: str) -> None:
        """Open the store at an fsspec URL: a path, `file:///…`, `s3://bucket/prefix`, `memory://…`.

        Nothing is read or written yet.

        Raises:
            ConfigError: the protocol is unknown, or its driver is not installed.
        """
        self.url = url
        try:
            # A listing from memory would show objects that another process has deleted since.
            options = {} if _is_local(url) else {"use_listings_cache": False}
            self._fs, root = fsspec.core.url_to_fs(url, **options)
        except ImportError as error:
            raise ConfigError(
                f"The media store {_scheme(url)}:// needs a driver that is not installed ({error}); "
                'for s3:// run pip install "i2v-router[s3]".',
                param="I2V_MEDIA_URL",
            ) from error
        except ValueError as error:
            raise ConfigError(
                f"I2V_MEDIA_URL must be a directory or an fsspec URL such as s3://bucket/prefix: {error}.",
                param="I2V_MEDIA_URL",
            ) from error
        self._root = root.rstrip("/")
        self._local = _is_local(url)
        self._type_argument = _TYPE_ARGUMENT.get(_scheme(url))

    def __reduce__(self) -> tuple[type[MediaStore], tuple[str]]:
        return MediaStore, (self.url,)

    # --- writing -----------------------------------------------------------------------------------------

    def put_bytes(self, key: str, content: bytes, content_type: str) -> MediaObject:
        """Store `content` under `key`, replacing what was there."""
        path = self._path(key)
        with self._guard("write", key):
            if self._local:
                with _whole(Path(path)) as target:
                    target.write(content)
            else:
                self._fs.pipe_file(path, content, **self._typed(content_type))
        return MediaObject(key, len(content), hashlib.sha256(content).hexdigest(), content_type)

    def put_file(self, key: str, source: Path, content_type: str) -> MediaObject:
        """Store a copy of a file under `key`, in chunks, replacing what was there."""
        path = self._path(key)
        digest, size = hashlib.sha256(), 0
        with self._guard("write", key), contextlib.ExitStack() as stack:
            reading = stack.enter_context(source.open("rb"))
            target = stack.enter_context(_whole(Path(path))) if self._local else None
            while chunk := reading.read(CHUNK):
                digest.update(chunk)
                size += len(chunk)
                if target is not None:
                    target.write(chunk)
            if target is None:
                self._fs.put_file(str(source), path, **self._typed(content_type))
        return MediaObject(key, size, digest.hexdigest(), content_type)

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects; keys that are not there are no fault."""
        for key in keys:
            path = self._path(key)
            with self._guard("delete", key), contextlib.suppress(FileNotFoundError):
                self._fs.rm_file(path)
                if self._local:
                    self._prune(Path(path).parent)

    def delete_prefix(self, prefix: str) -> None:
        """Remove every object below `prefix` (whole path parts); none there is no fault."""
        path = self._path(prefix.rstrip("/"))
        with self._guard("delete", prefix), contextlib.suppress(FileNotFoundError):
            self._fs.rm(path, recursive=True)
            if self._local:
                self._prune(Path(path).parent)

    def ping(self) -> None:
        """Prove that an object can be written, read back and removed."""
        key = f"probe/{uuid.uuid4().hex}"
        try:
            self.put_bytes(key, b"probe", "application/octet-stream")
            if self.read(key) != b"probe":
                raise MediaUnavailable("The media store gave back other bytes than were written.")
        finally:
            self.delete([key])

    # --- reading -----------------------------------------------------------------------------------------

    def read(self, key: str) -> bytes:
        """The whole object."""
        path = self._path(key)
        with self._guard("read", key):
            return bytes(self._fs.cat_file(path))

    def open(self, key: str) -> BinaryIO:
        """A readable, seekable file object; the caller closes it."""
        path = self._path(key)
        with self._guard("read", key):
            opened: BinaryIO = self._fs.open(path, "rb")
            return opened

    def fetch(self, key: str, target: Path) -> None:
        """Copy an object into a local file, in chunks."""
        with target.open("wb") as file:
            for piece in self.stream(key):
                file.write(piece)

    def stream(self, key: str, start: int = 0, end: int | None = None, chunk: int = CHUNK) -> Iterator[bytes]:
        """Bytes from `start` up to (not including) `end`, in chunks; it ends early where the object does.

        The object is opened when the first chunk is asked for; errors of the store come then.
        """
        self._path(key)
        return self._pieces(key, start, end, chunk)

    def _pieces(self, key: str, start: int, end: int | None, chunk: int) -> Iterator[bytes]:
        with self._guard("read", key), self.open(key) as source:
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
        path = self._path(key)
        with self._guard("find", key):
            found = self._find(path)
            if found is None:
                raise FileNotFoundError(errno.ENOENT, "there is no such object")
            return found

    def exists(self, key: str) -> bool:
        """True when there is an object under `key`."""
        path = self._path(key)
        with self._guard("find", key):
            return self._find(path) is not None

    # --- inside ------------------------------------------------------------------------------------------

    def _path(self, key: str) -> str:
        if len(key) > MAX_KEY or not KEY.fullmatch(key):
            raise ValueError(f"not a media key: {key[:80]!r}")
        return f"{self._root}/{key}"

    def _find(self, path: str) -> MediaStat | None:
        with contextlib.suppress(FileNotFoundError):
            found = self._fs.info(path)
            return MediaStat(int(found["size"])) if found["type"] == "file" else None
        return None

    def _typed(self, content_type: str) -> dict[str, str]:
        return {self._type_argument: content_type} if self._type_argument else {}

    @contextlib.contextmanager
    def _guard(self, what: str, key: str) -> Iterator[None]:
        try:
            yield
        except I2VError:
            raise
        except OSError as error:
            raise MediaUnavailable(f"The media store could not {what} {key}: {_reason(error)}.") from error
        except Exception as error:
            # Drivers of object stores have exceptions of their own (botocore's are no OSError).
            if self._local:
                raise
            raise MediaUnavailable(f"The media store could not {what} {key}: {_reason(error)}.") from error

    def _prune(self, folder: Path) -> None:
        """Remove folders that became empty, up to the root; a concurrent write makes them again."""
        root = Path(self._root)
        with contextlib.suppress(OSError):
            while folder != root and root in folder.parents:
                folder.rmdir()
                folder = folder.parent


def _scheme(url: str) -> str:
    return url.partition("://")[0] if "://" in url else "file"


def _is_local(url: str) -> bool:
    return _scheme(url) in ("file", "local")


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__


@contextlib.contextmanager
def _whole(place: Path) -> Iterator[IO[bytes]]:
    """A file that appears at `place`, synced, when the block ends without an error, and not otherwise."""
    # "~" is in no key, so a part that a crash has left can be told from an object.
    beside = place.with_name(f".{place.name}.{uuid.uuid4().hex}~")
    try:
        with _create(beside) as target:
            yield target
            target.flush()
            os.fsync(target.fileno())
        beside.replace(place)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        raise
    # The name is durable only when its folder is.
    folder = os.open(place.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _create(path: Path) -> IO[bytes]:
    """Open a new file; a delete may prune its folder between any two steps, hence the further tries.

    `mkdir` itself may meet one: it says that the folder exists when it did, and was gone at a second look.
    """
    for _ in range(PRUNE_RACES):
        with contextlib.suppress(FileNotFoundError, FileExistsError):
            path.parent.mkdir(parents=True, exist_ok=True)
            return path.open("xb")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("xb")
