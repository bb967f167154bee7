"""A clip's state in the media store: what lets another machine go on with it.

Files that never change once written travel once; the newest state travels each time, under a new key, and
its row in the job store names what belongs together.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from models.errors import CheckpointUnusable
from models.runners.base import Place
from models.runners.resume import STATE, state_files
from models.runners.state_files import StateReader
from router.media import MediaStore

CONTENT_TYPE = "application/octet-stream"


class CheckpointFiles:
    """The copies of one attempt."""

    def __init__(self, media: MediaStore, job_id: str, fence: int, known: Mapping[str, str]) -> None:
        """`known` are the keys, by file name, that the attempt itself was resumed from."""
        self._media = media
        self._prefix = f"checkpoints/{job_id}/{fence}"
        self._kept = {name: key for name, key in known.items() if name != STATE}
        self._count = 0

    def forget(self) -> None:
        """The clip begins anew: what was copied belongs to nobody."""
        self._kept.clear()

    def store(self, folder: Path) -> tuple[Mapping[str, str], Place]:
        """Copy what is not there yet; key by file name, and where the clip stands in that state.

        Blocks; the clip may go on meanwhile.

        Raises:
            MediaUnavailable: the media store is away; what was copied is used again next time.
            CheckpointUnusable, FileNotFoundError: nothing was saved yet, or the clip turned to its next
                segment at this moment.
        """
        with tempfile.TemporaryDirectory(prefix="kept-", dir=folder) as here:
            moment = Path(here)
            # Links to what lies there now, the state first: whatever it needs was written before it.
            os.link(folder / STATE, moment / STATE)
            for path in folder.glob("*.safetensors"):
                if path.name != STATE:
                    os.link(path, moment / path.name)
            files = state_files(moment)
            if not any(file.path.name.startswith("conditioning-") for file in files):
                raise FileNotFoundError(f"{folder}: the state's conditioning is gone")
            keys = {file.path.name: self._copied(file.path, immutable=file.immutable) for file in files}
            return keys, place_of(moment)

    def _copied(self, path: Path, *, immutable: bool) -> str:
        if immutable and path.name in self._kept:
            return self._kept[path.name]
        self._count += 1
        key = f"{self._prefix}/{self._count}-{path.name}"
        self._media.put_file(key, path, CONTENT_TYPE)
        if immutable:
            self._kept[path.name] = key
        return key


def place_of(folder: Path) -> Place:
    """Where the state in a folder stands. Raises `CheckpointUnusable` when it is none."""
    try:
        return Place(**StateReader(folder / STATE).header["place"])
    except (KeyError, TypeError) as error:
        raise CheckpointUnusable(f"{STATE} does not say where the clip stands: {error}") from error


def fetch_checkpoint(media: MediaStore, files: Mapping[str, str], folder: Path) -> None:
    """Copy a checkpoint to this machine. Blocks.

    Raises:
        MediaUnavailable: the media store is away.
        FileNotFoundError: a part of it is gone.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, key in files.items():
        media.fetch(key, folder / Path(name).name)
