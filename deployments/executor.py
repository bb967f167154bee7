"""Gang execution: many clips on the ranks of one replica, decided anew whenever one reaches a boundary.

The executor keeps the clips, asks the policy which of them run next and on which ranks, and has the ranks do
it. A clip's state lies in its folder on this machine, which outlives a rank: when ranks are lost all are
replaced in place, and every clip goes on from there. Nothing here knows Ray, jobs or fences.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from deployments.clip_run import ClipRun, Work
from deployments.pace import Pace
from deployments.patience import patience_s, quantum_patience_s, silence
from deployments.ranks import ClipTask, Event, Quantum, RankFailedAlone, Ranks, Report, error_json
from deployments.tempo import Tempo
from models.errors import Cancelled, CheckpointUnusable, OutOfMemory, RankLost, RunnerError, Stalled
from models.runners.base import Stage
from policies.gang import Block, GangPolicy, Need, Running, Start

log = logging.getLogger("i2v.executor")

MOST_LOSSES = 2
"""A clip whose ranks are lost this often under it is the likely cause: its attempt ends."""


class Executor:
    """The clips of one gang."""

    def __init__(
        self,
        ranks: Ranks,
        policy: GangPolicy,
        *,
        pace: Pace,
        rebuild: Callable[[str], Awaitable[bool]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing starts before a clip comes.

        Args:
            ranks: The gang.
            policy: Decides which clips run.
            pace: Periods and time-outs.
            rebuild: Replaces ranks that are gone, given the reason; False when it cannot.
            clock: Seconds.
        """
        self._ranks = ranks
        self._policy = policy
        self._pace = pace
        self._rebuild = rebuild
        self._clock = clock
        self._tempo = Tempo()
        self._runs: dict[str, ClipRun] = {}
        self._locks = [asyncio.Lock() for _ in range(ranks.size)]
        self._mending: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._draining = False
        self.fault = ""
        """Why no clip can be started any more, if that is so: only a new replica helps."""

    @property
    def clock(self) -> Callable[[], float]:
        """The clock of `Work.due`."""
        return self._clock

    @property
    def stepped(self) -> bool:
        """Clips can be paused here; known once the ranks have started."""
        return self._ranks.stepped

    async def settled(self) -> None:
        """Return when nothing is being mended."""
        while self._mending is not None:
            await asyncio.wait({self._mending})

    @property
    def idle(self) -> bool:
        """No clip is here and nothing is being mended."""
        return not self._runs and self._mending is None

    async def generate(self, work: Work) -> AsyncGenerator[Event, None]:
        """Events of one clip, the last word (`done`, `error`, or `paused` when the gang drains) last."""
        now = self._clock()
        run = ClipRun(work, now, work.place, work.place)
        self._runs[run.name] = run
        self._decide()
        try:
            while True:
                event = await run.events.get()
                yield event
                if event["type"] != "progress":
                    return
        finally:
            await self._leave(run)

    async def cancel(self, task: ClipTask) -> None:
        """Stop that clip at the next boundary; may be asked again."""
        run = self._runs.get(task.name)
        if run is None:
            return
        run.cancelled = True
        if run.task is None:
            self._decide()
        elif run.block is not None and run.need in (Need.WHOLE, Need.DECODE):
            await self._ranks.cancel(task, run.block.first)

    def drain(self) -> None:
        """Pause what takes long at its next boundary, with `paused` as its last word; finish the rest."""
        self._draining = True
        self._decide()

    def mend(self, reason: str) -> None:
        """Replace the ranks now; clips go on from where they were saved."""
        self._mend_soon(reason)

    # --- deciding ---------------------------------------------------------------------------------

    def _decide(self) -> None:
        """Let the policy choose among the clips at a boundary, and start what it chose."""
        if self._mending is not None:
            return
        for run in [run for run in self._runs.values() if run.ready]:
            if run.cancelled:
                self._end(run, error_json(Cancelled("cancelled at a step boundary")))
            elif self._draining and self._is_handed_back(run):
                run.task = asyncio.create_task(self._set_aside(run), name=f"set aside {run.name}")
        ready = {run.name: run for run in self._runs.values() if run.ready}
        if not ready:
            return
        now = self._clock()
        factor = self._tempo.factor
        under_way = [
            Running(run.view(factor), run.block, max(now, run.until))
            for run in self._runs.values()
            if run.task is not None and run.block is not None
        ]
        views = [run.view(factor) for run in ready.values()]
        try:
            chosen = self._policy.decide(now, views, under_way, (self._ranks.size,))
        except Exception as error:
            log.exception("the clips cannot be scheduled")
            self.fault = f"the clips cannot be scheduled: {type(error).__name__}: {error}"
            return
        starts = {start.clip: start for start in chosen}
        for name, run in ready.items():
            self._let_go(run, starts.get(name))
        for name, start in starts.items():
            self._launch(ready[name], start, now)

    def _is_handed_back(self, run: ClipRun) -> bool:
        """What has not begun, or can be paused and would take long."""
        if not run.run_seconds:
            return True
        return run.work.stepped and run.remaining_s(1) > self._pace.finish_s

    def _let_go(self, run: ClipRun, start: Start | None) -> None:
        """Ranks that do not go on with the clip close it; its state is saved for those that join."""
        gpus = frozenset(start.block.gpus) if start is not None else frozenset()
        leaving = run.holders - gpus
        joining = gpus - run.holders
        save = bool(run.holders) and not run.saved and (start is None or bool(joining))
        if start is None and run.gpus and not run.over:
            self._tell(run, Stage.PAUSED, gpus=0)
        if save or leaving:
            run.parking = asyncio.create_task(
                self._park(run, min(run.holders) if save else None, leaving), name=f"park {run.name}"
            )
            run.holders -= leaving

    async def _park(self, run: ClipRun, saver: int | None, leaving: frozenset[int]) -> None:
        """Save on one rank, then let ranks go. What cannot be saved falls back to what was."""
        touched = leaving if saver is None else leaving | run.holders | {saver}
        task, patience = run.work.task, self._pace.step_floor_s
        try:
            async with self._hold(touched):
                if saver is not None:
                    report = await self._timed(self._ranks.save(task, saver), patience)
                    if report.error is None and run.place is not None:
                        run.saved_at, run.unsaved_s = run.place, 0.0
                    else:
                        leaving = touched
                        self._unsaved(run, report.error or {})
                await self._timed(self._ranks.close(task, leaving), patience)
        except (RankLost, Stalled) as error:
            self._mend_soon(error.message)

    def _unsaved(self, run: ClipRun, error: Mapping[str, Any]) -> None:
        """The clip's state could not be written (a full disk): it goes on from the one before, but once."""
        log.error("the state of %s could not be saved: %s", run.name, error.get("message"))
        run.fell_back()
        run.losses += 1
        if run.losses >= MOST_LOSSES:
            told = error.get("message", "the rank said nothing")
            self._end(run, error_json(RunnerError(f"the clip's state cannot be saved: {told}")))

    def _launch(self, run: ClipRun, start: Start, now: float) -> None:
        run.until = now + self._predicted(run, start) * self._tempo.factor(start.block.size)
        run.block = start.block
        run.task = asyncio.create_task(self._perform(run, start), name=f"{run.need} {run.name}")
        if run.need is Need.DENOISE and run.gpus != start.block.size:
            log.info("%s: %s GPUs after %s", run.name, start.block.size, run.gpus)
            self._tell(run, Stage.DENOISING, gpus=start.block.size)

    def _predicted(self, run: ClipRun, start: Start) -> float:
        times = run.work.times
        if run.need is Need.DENOISE:
            return start.steps * times.step_s[start.block.size]
        seconds = {Need.ENCODE: times.encode_s, Need.DECODE: times.decode_s, Need.WHOLE: times.whole_s}
        return seconds[run.need]

    # --- doing ------------------------------------------------------------------------------------

    async def _perform(self, run: ClipRun, start: Start) -> None:
        """Do what was decided for one clip; then decide again."""
        decided, began = run.need, self._clock()
        try:
            if run.parking is not None:
                await run.parking
                run.parking = None
            async with self._hold(start.block.gpus):
                # Meanwhile it may have been cancelled, or fallen back to where it needs something else.
                if self._mending is None and not run.over and not run.cancelled and run.need is decided:
                    began = self._clock()
                    await self._do(run, start)
        except (RankLost, RankFailedAlone, Stalled) as error:
            run.gpu_seconds += (self._clock() - began) * start.block.size
            self._lost(run, error)
        except Exception as error:
            log.exception("%s failed in an undeclared way", run.name)
            self._end(run, error_json(RunnerError(f"{type(error).__name__}: {error}")))
            self._mend_soon("the ranks may still be at work on a clip that nobody follows")
        finally:
            run.task = None
        self._decide()

    async def _do(self, run: ClipRun, start: Start) -> None:
        task, ranks, need = run.work.task, start.block.gpus, run.need
        predicted = self._predicted(run, start)
        rank = ranks[0]
        began = self._clock()
        if need is Need.WHOLE:
            await self._stream(run, self._ranks.whole(task, rank), predicted)
        elif need is Need.DECODE and run.place is not None and run.place.last:
            stream = self._ranks.finish(task, rank, resume=rank not in run.holders)
            run.holders -= {rank}  # it lets go by itself
            await self._stream(run, stream, predicted)
        elif need is Need.DENOISE:
            quantum = Quantum(
                ranks,
                start.steps,
                resume=frozenset(ranks) - run.holders,
                save=run.unsaved_s + predicted >= self._pace.save_s,
            )
            first = run.place is None or run.place.done == 0
            slower = max(1.0, self._tempo.factor(start.block.size))
            patience = quantum_patience_s(self._pace, predicted * slower, first=first)
            report = await self._timed(self._ranks.advance(task, quantum), patience)
            self._heard(run, report, start.block, began, predicted)
            if report.error is None:
                self._tempo.saw(start.block.size, predicted, self._clock() - began)
        else:
            if need is Need.ENCODE:
                self._tell(run, Stage.ENCODING_INPUT, gpus=1)
                asked = self._ranks.begin(task, rank)
            else:
                asked = self._ranks.turn(task, rank, resume=rank not in run.holders)
            slower = max(1.0, self._tempo.factor(1))
            patience = patience_s(self._pace, run.work.times.whole_s * slower, None)
            self._heard(run, await self._timed(asked, patience), start.block, began, predicted)

    def _heard(self, run: ClipRun, report: Report, block: Block, began: float, predicted: float) -> None:
        seconds = self._clock() - began
        run.did(seconds, block.size, predicted, report.stages or {})
        if report.error is not None or report.place is None:
            self._refused(run, report.error or error_json(RunnerError("the ranks said nothing")))
            return
        run.preview_key = report.preview_key or run.preview_key
        run.stands(report.place, frozenset(block.gpus), saved=report.saved)
        self._tell(run, Stage.DENOISING, gpus=block.size)

    async def _stream(self, run: ClipRun, events: AsyncGenerator[Event, None], predicted: float) -> None:
        """Pass on what one rank says of the clip until its last word."""
        began = at = self._clock()
        heard: Event | None = None
        try:
            while True:
                patience = patience_s(self._pace, predicted, heard)
                try:
                    event: Event = await asyncio.wait_for(_next(events), patience)
                except TimeoutError:
                    raise Stalled(silence(self._clock() - at, predicted, heard)) from None
                at = self._clock()
                if event["type"] != "progress":
                    break
                heard = event
                self._pass_on(run, event)
        finally:
            await events.aclose()
        run.did(at - began, 1, predicted, event.get("stages", {}))
        if event["type"] == "error":
            self._refused(run, event["error"])
        else:
            self._end(run, None, event)

    async def _timed(self, asked: Awaitable[Any], patience_s: float) -> Any:
        try:
            return await asyncio.wait_for(asked, patience_s)
        except TimeoutError:
            raise Stalled(f"the ranks said nothing for {patience_s:.0f} s") from None

    @asynccontextmanager
    async def _hold(self, ranks: Iterable[int]) -> AsyncIterator[None]:
        """These ranks for one thing at a time; always taken in the same order."""
        async with AsyncExitStack() as stack:
            for rank in sorted(ranks):
                await stack.enter_async_context(self._locks[rank])
            yield

    # --- ends -------------------------------------------------------------------------------------

    def _refused(self, run: ClipRun, error: Mapping[str, Any]) -> None:
        """The ranks are well, the clip is not."""
        run.holders = frozenset()
        if error["code"] == CheckpointUnusable.code and not run.anew and run.saved_at is not None:
            log.warning("%s begins anew: %s", run.name, error["message"])
            run.begin_anew()
            self._tell(run, Stage.QUEUED, gpus=0, anew=str(error["message"]))
            return
        self._end(run, error)
        if error["code"] == OutOfMemory.code:
            self._mend_soon("out of memory: the ranks are recycled", gently=True)

    def _end(self, run: ClipRun, error: Mapping[str, Any] | None, last: Event | None = None) -> None:
        """Say the clip's last word."""
        if run.over:
            return
        run.over = True
        self._say(run, last if last is not None else {"type": "error", "error": error})

    async def _set_aside(self, run: ClipRun) -> None:
        """Save a clip that somebody else will go on with."""
        if run.parking is not None:
            await run.parking
            run.parking = None
        saver = min(run.holders) if run.holders and not run.saved else None
        await self._park(run, saver, run.holders)
        run.holders = frozenset()
        run.task = None
        if (run.saved or run.place is None) and not run.over:
            run.over = True
            self._say(run, {"type": "paused"})
        self._decide()

    async def _leave(self, run: ClipRun) -> None:
        """Nobody follows the clip any more: stop it, and let the ranks go of it."""
        run.cancelled = run.over = True
        while run.task is not None:
            if run.block is not None and run.need in (Need.WHOLE, Need.DECODE):
                await self._ranks.cancel(run.work.task, run.block.first)
            await asyncio.wait({run.task}, timeout=self._pace.beat_s)
        if run.parking is not None:
            await asyncio.wait({run.parking})
        self._runs.pop(run.name, None)
        if run.holders and self._mending is None:
            # Aside: its ranks may have begun with another clip, and nobody waits for this.
            closing = asyncio.create_task(self._park(run, None, run.holders), name=f"close {run.name}")
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
        self._decide()

    # --- lost ranks -------------------------------------------------------------------------------

    def _lost(self, run: ClipRun, error: RankLost | RankFailedAlone | Stalled) -> None:
        """Ranks were lost under the clip; those that die because all are replaced are nobody's fault."""
        if self._mending is None:
            run.losses += 1
            if isinstance(error, RankFailedAlone):
                self._end(run, error.error)
            elif isinstance(error, Stalled) or run.saved_at is None or run.losses >= MOST_LOSSES:
                self._end(run, error_json(error))
        self._mend_soon(error.message)

    def _mend_soon(self, reason: str, *, gently: bool = False) -> None:
        if self._mending is None:
            self._mending = asyncio.create_task(self._mend(reason, gently=gently), name="mend")

    async def _mend(self, reason: str, *, gently: bool) -> None:
        """Replace all ranks; clips go on from what was saved. Gently: they end their quanta and are saved."""
        if not gently:
            self._ranks.kill()
        await self._quiet()
        if gently:
            unsaved = [run for run in self._runs.values() if run.holders and not run.saved and not run.over]
            for run in unsaved:
                await self._park(run, min(run.holders), frozenset())
            self._ranks.kill()
        for run in self._runs.values():
            run.fell_back()
        try:
            mended = await self._rebuild(reason)
        except Exception as error:
            log.exception("the ranks cannot be rebuilt")
            self.fault, mended = f"the ranks cannot be rebuilt: {type(error).__name__}: {error}", False
        self._mending = None
        if not mended:
            for run in list(self._runs.values()):
                self._end(run, error_json(RankLost(f"the ranks could not be rebuilt: {reason}")))
        self._decide()

    async def _quiet(self) -> None:
        """Until nothing is under way on any rank."""
        while True:
            tasks = {task for run in self._runs.values() for task in (run.task, run.parking) if task}
            tasks |= self._closing
            busy = {task for task in tasks if not task.done()}
            if not busy:
                return
            await asyncio.wait(busy)

    # --- telling ----------------------------------------------------------------------------------

    def _tell(self, run: ClipRun, stage: Stage, *, gpus: int, anew: str | None = None) -> None:
        run.gpus = gpus
        place = run.place
        event: Event = {
            "type": "progress",
            "stage": stage.value,
            "step": 0 if place is None else place.done,
            "steps": 0 if place is None else place.total,
            "preview_key": run.preview_key,
        }
        if anew is not None:
            event["anew"] = anew
        self._pass_on(run, event, gpus=gpus)

    def _pass_on(self, run: ClipRun, event: Event, *, gpus: int = 1) -> None:
        """A progress event with what only the executor knows."""
        run.preview_key = event["preview_key"] or run.preview_key
        remaining = run.remaining_s(max(1, gpus)) * self._tempo.factor(max(1, gpus))
        run.events.put_nowait({**event, "gpus": gpus, "eta_seconds": remaining, "saved": run.saved_at})

    def _say(self, run: ClipRun, last: Event) -> None:
        """The last word, with what the clip cost."""
        costs = {
            "gpu_seconds": run.gpu_seconds,
            "run_seconds": run.run_seconds,
            "worked_s": run.predicted_seconds,
            "stages": dict(run.stages),
            "saved": run.saved_at,
        }
        run.events.put_nowait({**last, **costs})


async def _next(events: AsyncGenerator[Event, None]) -> Event:
    async for event in events:
        return event
    raise RankLost("the rank's stream ended without an outcome")
