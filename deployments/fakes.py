"""Ranks without processes: they follow a script, so that a coordinator can be tried in one event loop."""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any, Literal

from deployments.ranks import ClipTask, Event, Quantum, Report, error_json
from models.errors import Cancelled, I2VError, RankLost
from router.media import MediaStore, clip_key


@dataclass(slots=True)
class Scene:
    """What the ranks do with one clip."""

    steps: int = 2
    ending: Literal["done", "error", "dies", "silent", "ends"] = "done"
    """`silent` says nothing more until it is cancelled or killed; `ends` stops without a last word."""
    stops_at: int | None = None
    """Says nothing more after this step, however many there are."""
    error: I2VError | None = None
    deaf: bool = False
    """Does not hear the cancel flag."""
    released: asyncio.Event = field(default_factory=asyncio.Event)
    """The ranks wait for it after the first step when `waits`."""
    waits: bool = False
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    """Set at the first step."""


class ScriptedRanks:
    """A `deployments.ranks.Ranks` that makes whole clips by scenes; after the last one they are just made."""

    def __init__(self, media: MediaStore, *scenes: Scene) -> None:
        self.media = media
        self.scenes = deque(scenes)
        self.size = 1
        self.stepped = False
        self.failure: dict[str, Any] | None = None
        self.facts: dict[str, Any] = {"load_seconds": 0.5}
        self.spawns: deque[I2VError | None] = deque()
        """What the next starts do: an error to raise, or None to succeed; then all succeed."""
        self.spawned = 0
        self.killed = 0
        self.dead = False
        """True: a rank died; a start heals it."""
        self.tasks: list[ClipTask] = []
        """Every clip asked for, in order."""
        self.at_work = 0
        self.most_at_work = 0
        self.cancelled: set[str] = set()
        self._word = asyncio.Condition()
        self._gone = asyncio.Event()

    async def spawn(self) -> None:
        """Start the ranks, or fail as scripted."""
        self.spawned += 1
        error = self.spawns.popleft() if self.spawns else None
        if error is not None:
            raise error
        self.dead = False
        self._gone = asyncio.Event()

    def kill(self) -> None:
        """End the ranks, and whatever they were asked."""
        self.killed += 1
        self._gone.set()

    async def cancel(self, task: ClipTask, rank: int) -> None:
        """Raise the clip's flag."""
        async with self._word:
            self.cancelled.add(task.name)
            self._word.notify_all()

    async def alive(self) -> bool:
        """False when a rank died, as scripted."""
        return not self.dead

    async def whole(self, task: ClipTask, rank: int) -> AsyncGenerator[Event, None]:
        """Play the next scene on this clip."""
        self.tasks.append(task)
        scene = self.scenes.popleft() if self.scenes else Scene()
        self.at_work += 1
        self.most_at_work = max(self.most_at_work, self.at_work)
        try:
            async for event in self._play(scene, task):
                yield event
        finally:
            self.at_work -= 1

    async def begin(self, task: ClipTask, rank: int) -> Report:
        """Not for clips that are made as a whole."""
        raise RankLost("these ranks do not step")

    async def advance(self, task: ClipTask, quantum: Quantum) -> Report:
        """Not for clips that are made as a whole."""
        raise RankLost("these ranks do not step")

    async def save(self, task: ClipTask, rank: int) -> Report:
        """Not for clips that are made as a whole."""
        raise RankLost("these ranks do not step")

    async def turn(self, task: ClipTask, rank: int, *, resume: bool) -> Report:
        """Not for clips that are made as a whole."""
        raise RankLost("these ranks do not step")

    def finish(self, task: ClipTask, rank: int, *, resume: bool) -> AsyncGenerator[Event, None]:
        """Not for clips that are made as a whole."""
        raise RankLost("these ranks do not step")

    async def close(self, task: ClipTask, ranks: frozenset[int]) -> None:
        """Nothing is held."""

    async def _play(self, scene: Scene, task: ClipTask) -> AsyncGenerator[Event, None]:
        for step in range(1, scene.steps + 1):
            yield progress_event(step, scene.steps)
            scene.begun.set()
            if scene.stops_at == step:
                await self._until_killed()
            if scene.waits:
                await self._wait(scene, task)
            if self._stopped(scene, task):
                yield {"type": "error", "error": error_json(Cancelled("cancelled at a step boundary"))}
                return
        if scene.ending == "silent":
            await self._until_killed()
        if scene.ending == "dies":
            raise RankLost("rank 0 died, as scripted")
        if scene.ending == "error" and scene.error is not None:
            yield {"type": "error", "error": error_json(scene.error)}
        elif scene.ending == "done":
            yield done_event(self.media, task)

    async def _until_killed(self) -> None:
        await self._gone.wait()
        raise RankLost("the ranks were ended")

    async def _wait(self, scene: Scene, task: ClipTask) -> None:
        """Until the scene is released or its clip is cancelled."""
        released = asyncio.ensure_future(scene.released.wait())
        heard = asyncio.ensure_future(self._hear(scene, task))
        try:
            await asyncio.wait({released, heard}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            released.cancel()
            heard.cancel()

    async def _hear(self, scene: Scene, task: ClipTask) -> None:
        async with self._word:
            await self._word.wait_for(lambda: self._stopped(scene, task))

    def _stopped(self, scene: Scene, task: ClipTask) -> bool:
        return not scene.deaf and task.name in self.cancelled


def progress_event(step: int, steps: int) -> Event:
    """A step of denoising."""
    return {"type": "progress", "stage": "denoising", "step": step, "steps": steps, "preview_key": None}


def done_event(media: MediaStore, task: ClipTask) -> Event:
    """The last word of a clip, whose media are stored."""
    content = f"clip of {task.job_id} under fence {task.fence}".encode()
    key = clip_key(task.job_id, task.fence, "video")
    media.put_bytes(key, content, "video/mp4")
    return {
        "type": "done",
        "media": {
            "video": {
                "key": key,
                "bytes": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
                "content_type": "video/mp4",
            }
        },
        "notes": [],
        "stages": {"denoising": 0.1},
        "seconds": 0.1,
        "geometry": {"width": 64, "height": 64, "num_frames": 8, "fps": 8.0, "seconds": 1.0},
    }
