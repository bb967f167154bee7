"""A gang without processes, whose clips take steps and are really saved, and a policy that serves in turn."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from deployments.fakes import done_event, progress_event
from deployments.ranks import ClipTask, Event, Quantum, Report
from models.errors import RankLost
from models.runners.base import Place
from models.runners.resume import STATE, conditioning_file
from models.runners.state_files import StateReader, write_state
from policies.gang import Block, GangClip, Need, Running, Start
from router.media import MediaStore


@dataclass(frozen=True, slots=True)
class Asked:
    """One thing that `SteppedRanks` were asked."""

    what: str
    clip: str
    ranks: tuple[int, ...]
    steps: int = 0
    resume: frozenset[int] = frozenset()


class SteppedRanks:
    """A `deployments.ranks.Ranks` of several ranks whose clips take steps, and whose state is really saved.

    It checks what real ranks rely on: a rank does one thing at a time, goes on only with a clip that it holds
    at the newest place, and resumes only what was saved.
    """

    def __init__(self, media: MediaStore, size: int, *, steps: int = 4, segments: int = 1) -> None:
        self.media = media
        self.size = size
        self.steps, self.segments = steps, segments
        self.stepped = True
        self.failure: dict[str, Any] | None = None
        self.facts: dict[str, Any] = {}
        self.asked: list[Asked] = []
        self.faults: dict[str, deque[BaseException | Report]] = {}
        """By what is asked: what happens instead, each once."""
        self.gate = asyncio.Event()
        """Nothing asked is answered before it is set."""
        self.gate.set()
        self.spawned = 0
        self.dead = False
        self._held: dict[tuple[str, int], Place] = {}
        self._busy: set[int] = set()
        self._gone = asyncio.Event()

    async def spawn(self) -> None:
        """Start the ranks; they hold nothing."""
        self.spawned += 1
        self._held.clear()
        self._busy.clear()
        self._gone = asyncio.Event()
        self.dead = False

    def kill(self) -> None:
        """End the ranks, and whatever they were asked."""
        self._gone.set()

    async def alive(self) -> bool:
        """False when a rank died, as scripted."""
        return not self.dead

    async def begin(self, task: ClipTask, rank: int) -> Report:
        """The clip stands before its first step, saved."""
        answer = await self._ask(Asked("begin", task.name, (rank,)))
        if answer is not None:
            return answer
        place = Place(0, self.segments, 0, self.steps)
        self._save(task, place)
        self._held[task.name, rank] = place
        return Report(place, saved=True, stages={"encoding_input": 0.01})

    async def advance(self, task: ClipTask, quantum: Quantum) -> Report:
        """Some steps further."""
        asked = Asked("advance", task.name, quantum.ranks, quantum.steps, quantum.resume)
        answer = await self._ask(asked)
        if answer is not None:
            return answer
        for rank in quantum.resume:
            self._held[task.name, rank] = self._saved(task)
        places = {self._held.get((task.name, rank)) for rank in quantum.ranks}
        (place,) = places  # all ranks of a crew hold the clip at the same place
        if place is None:
            raise RankLost(f"{quantum.ranks} do not hold {task.name}")
        place = replace(place, step=min(place.steps, place.step + quantum.steps))
        for rank in quantum.ranks:
            self._held[task.name, rank] = place
        for name, rank in [key for key in self._held if key[0] == task.name and key[1] not in quantum.ranks]:
            del self._held[name, rank]  # what others hold is old now: going on with it would be seen
        if quantum.save:
            self._save(task, place)
        return Report(place, saved=quantum.save, stages={"denoising": 0.01})

    async def save(self, task: ClipTask, rank: int) -> Report:
        """Write what a rank holds."""
        answer = await self._ask(Asked("save", task.name, (rank,)))
        if answer is not None:
            return answer
        place = self._held[task.name, rank]
        self._save(task, place)
        return Report(place, saved=True)

    async def turn(self, task: ClipTask, rank: int, *, resume: bool) -> Report:
        """To the next segment."""
        answer = await self._ask(
            Asked("turn", task.name, (rank,), resume=frozenset({rank} if resume else ()))
        )
        if answer is not None:
            return answer
        place = self._saved(task) if resume else self._held[task.name, rank]
        place = replace(place, segment=place.segment + 1, step=0)
        self._held[task.name, rank] = place
        self._save(task, place)
        return Report(place, saved=True)

    async def finish(self, task: ClipTask, rank: int, *, resume: bool) -> AsyncGenerator[Event, None]:
        """The clip."""
        answer = await self._ask(Asked("finish", task.name, (rank,)))
        if answer is not None:
            yield {"type": "error", "error": answer.error}
            return
        place = self._saved(task) if resume else self._held[task.name, rank]
        if not (place.denoised and place.last):
            raise RankLost(f"{task.name} is finished at {place}")
        self._held.pop((task.name, rank), None)
        yield {**progress_event(0, 0), "stage": "decoding"}
        yield done_event(self.media, task)

    def whole(self, task: ClipTask, rank: int) -> AsyncGenerator[Event, None]:
        """Not for clips that take steps."""
        raise RankLost("these ranks step")

    async def close(self, task: ClipTask, ranks: frozenset[int]) -> None:
        """Let go."""
        for rank in ranks:
            self._held.pop((task.name, rank), None)

    async def cancel(self, task: ClipTask, rank: int) -> None:
        """A clip that is finished is finished at once."""

    @property
    def holders(self) -> set[tuple[str, int]]:
        """Which ranks hold which clips."""
        return set(self._held)

    async def _ask(self, asked: Asked) -> Report | None:
        if self._busy & set(asked.ranks):
            raise AssertionError(f"{asked} while {self._busy} are busy")
        self.asked.append(asked)
        self._busy |= set(asked.ranks)
        try:
            gone, gate = asyncio.ensure_future(self._gone.wait()), asyncio.ensure_future(self.gate.wait())
            await asyncio.wait({gone, gate}, return_when=asyncio.FIRST_COMPLETED)
            gone.cancel()
            gate.cancel()
            if self._gone.is_set():
                raise RankLost("the ranks were ended")
            fault = self.faults[asked.what].popleft() if self.faults.get(asked.what) else None
            if isinstance(fault, BaseException):
                raise fault
            return fault
        finally:
            self._busy -= set(asked.ranks)

    @staticmethod
    def _save(task: ClipTask, place: Place) -> None:
        folder = Path(task.folder)
        folder.mkdir(parents=True, exist_ok=True)
        header = {"identity": {}, "place": asdict(place)}
        write_state(conditioning_file(folder, place.segment), {"words": torch.zeros(2)}, header)
        write_state(folder / STATE, {"moving.latents": torch.full((2,), float(place.done))}, header)

    @staticmethod
    def _saved(task: ClipTask) -> Place:
        return Place(**StateReader(Path(task.folder) / STATE).header["place"])


class InTurn:
    """A `policies.gang.GangPolicy` for tests: first come first served, each clip at one degree, in quanta."""

    def __init__(self, degree: int = 1, steps: int = 1) -> None:
        self.degree, self.steps = degree, steps
        self.choose: Callable[[GangClip], int | None] = lambda clip: self.degree
        """Degree of a clip now; None: it waits."""

    def decide(
        self, now: float, ready: Sequence[GangClip], running: Sequence[Running], nodes: Sequence[int]
    ) -> Sequence[Start]:
        """Each ready clip on the first free block of its degree, at one GPU unless it denoises."""
        taken = {gpu for each in running for gpu in each.block.gpus}
        starts = []
        for clip in sorted(ready, key=lambda clip: (clip.arrived, clip.id)):
            size = self.choose(clip)
            if size is None:
                continue
            if clip.need is not Need.DENOISE:
                size = 1
            blocks = (Block(0, first, size) for first in range(0, nodes[0], size))
            block = next((block for block in blocks if not taken & set(block.gpus)), None)
            if block is None:
                continue
            taken |= set(block.gpus)
            starts.append(Start(clip.id, block, self.steps if clip.need is Need.DENOISE else 0))
        return starts
