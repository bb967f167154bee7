"""What is measured, in the order of its worth, so that a run cut short has the best part. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from benchmarks.gpu.subjects import Shape, Subject

What = Literal["step", "rounding", "caches", "decode"]


@dataclass(frozen=True, slots=True)
class Case:
    """One record of the results.

    Attributes:
        what: A step with a lever; the rounding of bfloat16 itself; caches over a run; a decode with a lever.
        subject: The model.
        shape: The clip.
        lever: Its key; empty where there is none.
    """

    what: What
    subject: Subject
    shape: Shape
    lever: str = ""

    @property
    def key(self) -> str:
        """Name in the results."""
        return "/".join(filter(None, (self.subject.key, self.what, str(self.shape), self.lever)))


def listed(subjects: Sequence[Subject], levers: Sequence[str], codec_levers: Sequence[str]) -> Iterator[Case]:
    """All cases: every model at its first shape, then what needs few seconds, then the larger shapes.

    Args:
        subjects: Models.
        levers: Keys for the transformer; the reference (eager) is the first.
        codec_levers: Keys for the codec, likewise.
    """
    largest = max((len(subject.shapes) for subject in subjects), default=0)
    for rank in range(largest):
        for subject in subjects:
            if rank < len(subject.shapes):
                yield from (Case("step", subject, subject.shapes[rank], lever) for lever in levers)
        for subject in subjects:
            if rank < len(subject.shapes):
                yield from (Case("decode", subject, subject.shapes[rank], lever) for lever in codec_levers)
        if rank == 0:
            for subject in subjects:
                yield Case("step", subject, subject.short, levers[0])
                yield Case("rounding", subject, subject.short)
                yield Case("caches", subject, subject.short)
