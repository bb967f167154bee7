"""Pictures and sound of a clip's finished segments: in memory, or in the clip's folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

from models.runners.base import Sound
from models.runners.state_files import StateReader, write_state

if TYPE_CHECKING:
    from models.runners.base import Frame


class Reel(Protocol):
    """Finished segments, in order; the first pictures of each are already without what they share."""

    def add(self, segment: int, frames: Sequence[Frame], sound: Sound | None) -> None:
        """Keep one segment."""
        ...

    def frames(self, before: int) -> Iterator[Frame]:
        """All pictures of the segments before that one."""
        ...

    def last(self, before: int, count: int) -> tuple[Frame, ...]:
        """The newest `count` pictures before that segment; fewer where there are no more."""
        ...

    def first(self, segment: int, count: int) -> tuple[Frame, ...]:
        """The first `count` pictures that a segment added; fewer where it added no more."""
        ...

    def sounds(self, before: int) -> list[Sound]:
        """The sounds of the segments before that one; none where the model makes none."""
        ...


class MemoryReel:
    """For clips that are made in one go."""

    def __init__(self) -> None:
        self._frames: list[Sequence[Frame]] = []
        self._sounds: list[Sound] = []

    def add(self, segment: int, frames: Sequence[Frame], sound: Sound | None) -> None:
        """Keep one segment."""
        self._frames.append(frames)
        self._sounds += [] if sound is None else [sound]

    def frames(self, before: int) -> Iterator[Frame]:
        """All pictures."""
        for part in self._frames[:before]:
            yield from part

    def last(self, before: int, count: int) -> tuple[Frame, ...]:
        """The newest ones."""
        newest: list[Frame] = []
        for part in reversed(self._frames[:before]):
            # A short segment may have added fewer.
            newest = [*part[max(0, len(part) - count + len(newest)) :], *newest]
        return tuple(newest)

    def first(self, segment: int, count: int) -> tuple[Frame, ...]:
        """The first ones of a segment."""
        return tuple(self._frames[segment][:count])

    def sounds(self, before: int) -> list[Sound]:
        """All sounds."""
        return self._sounds[:before]


class FolderReel:
    """For clips that are paused and resumed: one immutable file a segment, read as it is needed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, segment: int, frames: Sequence[Frame], sound: Sound | None) -> None:
        """Write one segment."""
        pictures = {"frames": torch.from_numpy(np.stack(frames))}
        write_state(frames_file(self._folder, segment), pictures, {})
        if sound is not None:
            samples = {"samples": torch.from_numpy(sound.samples)}
            write_state(sound_file(self._folder, segment), samples, {"rate": sound.rate})

    def frames(self, before: int) -> Iterator[Frame]:
        """One picture in memory at a time.

        Raises:
            CheckpointUnusable: a file is missing or was cut short.
        """
        for segment in range(before):
            reader = StateReader(frames_file(self._folder, segment))
            for index in range(reader.rows("frames")):
                yield reader.part("frames", index, index + 1)[0].numpy()

    def last(self, before: int, count: int) -> tuple[Frame, ...]:
        """Only these are read.

        Raises:
            CheckpointUnusable: a file is missing or was cut short.
        """
        newest: list[Frame] = []
        for segment in reversed(range(before)):
            if len(newest) == count:
                break
            reader = StateReader(frames_file(self._folder, segment))
            rows = reader.rows("frames")
            newest = [*reader.part("frames", max(0, rows - count + len(newest)), rows).numpy(), *newest]
        return tuple(newest)

    def first(self, segment: int, count: int) -> tuple[Frame, ...]:
        """Only these are read.

        Raises:
            CheckpointUnusable: the file is missing or was cut short.
        """
        reader = StateReader(frames_file(self._folder, segment))
        return tuple(reader.part("frames", 0, min(count, reader.rows("frames"))).numpy())

    def sounds(self, before: int) -> list[Sound]:
        """Read from their files.

        Raises:
            CheckpointUnusable: a file was cut short.
        """
        readers = [
            StateReader(path)
            for path in (sound_file(self._folder, segment) for segment in range(before))
            if path.exists()
        ]
        return [Sound(reader.tensor("samples").numpy(), int(reader.header["rate"])) for reader in readers]


def frames_file(folder: Path, segment: int) -> Path:
    """Where a finished segment's pictures lie."""
    return folder / f"frames-{segment}.safetensors"


def sound_file(folder: Path, segment: int) -> Path:
    """Where a finished segment's sound lies."""
    return folder / f"sound-{segment}.safetensors"
