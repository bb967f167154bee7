"""The replica's end of the child process that handles pixels (`deployments.media_tasks`)."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.errors import I2VError, InputRefused, ResultUnusable, RunnerError
from models.types import ClipPlan

TASK_S = 120.0
"""A clip of half a minute in 1080p decodes in ten seconds on one core; what takes this long hangs."""
TASKS_PER_PROCESS = 500
"""Then a new one: decoders of other people's files leak."""
_ERRORS: Mapping[str, type[I2VError]] = {
    kind.code: kind for kind in (InputRefused, ResultUnusable, RunnerError)
}


@dataclass(frozen=True, slots=True)
class Inspected:
    """What a clip turned out to be, and its still pictures."""

    geometry: Mapping[str, Any]
    audio: bool
    thumbnail: Path
    spritesheet: Path


class MediaProcess:
    """One child process, started when it is first needed; tasks run one after the other."""

    def __init__(self, *, task_s: float = TASK_S) -> None:
        self._task_s = task_s
        self._lock = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._done = 0

    async def photograph(
        self, source: Path, target: Path, plan: ClipPlan, faces: object, min_side: int
    ) -> None:
        """Write the photograph in the plan's shape as JPEG.

        Raises:
            InputRefused: in that shape it is smaller than the model takes.
            RunnerError: it cannot be read.
        """
        await self._ask(
            {
                "task": "photograph",
                "source": str(source),
                "target": str(target),
                "framing": {
                    "fit": plan.framing.fit.value,
                    "kept": plan.framing.kept,
                    "filled": plan.framing.filled,
                },
                "size": [plan.native.width, plan.native.height],
                "faces": faces,
                "min_side": min_side,
            }
        )

    async def clip(self, source: Path, plan: ClipPlan) -> Inspected:
        """Decode a clip and make its stills beside it. Raises `ResultUnusable`."""
        folder = source.parent
        found = await self._ask(
            {
                "task": "clip",
                "source": str(source),
                "folder": str(folder),
                "expected_frames": plan.native.num_frames,
            }
        )
        return Inspected(
            found["geometry"], found["audio"], folder / "thumbnail.jpg", folder / "spritesheet.jpg"
        )

    async def close(self) -> None:
        """End the child."""
        async with self._lock:
            await self._end()

    async def _ask(self, task: Mapping[str, Any]) -> dict[str, Any]:
        async with self._lock:
            process = await self._running()
            if process.stdin is None or process.stdout is None:
                raise RunnerError("the media process has no pipes")
            try:
                process.stdin.write(json.dumps(task).encode() + b"\n")
                line = await asyncio.wait_for(process.stdout.readline(), self._task_s)
            except (TimeoutError, OSError) as error:
                await self._end()
                raise _fatal(task, f"{type(error).__name__} after {self._task_s:g} s") from error
            except BaseException:
                # A caller that goes away leaves an answer behind, which the next one would take for its own.
                process.kill()
                self._process = None
                raise
            if not line:
                code = await process.wait()
                self._process = None
                raise _fatal(task, f"the decoder's process ended with {code}")
            self._done += 1
        answer = json.loads(line)
        if "error" in answer:
            told = answer["error"]
            raise _ERRORS.get(told["code"], RunnerError)(told["message"], param=told["param"])
        result: dict[str, Any] = answer["result"]
        return result

    async def _running(self) -> asyncio.subprocess.Process:
        if self._done >= TASKS_PER_PROCESS:
            await self._end()
        if self._process is None or self._process.returncode is not None:
            self._done = 0
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "deployments.media_tasks",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
        return self._process

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            process.kill()
            await process.wait()


def _fatal(task: Mapping[str, Any], why: str) -> I2VError:
    """A result that ends its decoder is unusable; a photograph was decoded before: that is our fault."""
    if task["task"] == "clip":
        return ResultUnusable(f"the result cannot be decoded: {why}")
    return RunnerError(f"the photograph could not be prepared: {why}")
