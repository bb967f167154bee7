"""The gang's scheduler: at each step boundary, who goes on, on which block of GPUs, and who waits. Pure.

1. Every clip has a promise: its due time, or a later one (`policies.gang_promises`).
2. The promises that can be kept are chosen (`policies.gang_rescue`); the others get what is left.
3. Those kept go in order of their promises, each on the largest free block that is efficient for it: steps
   divide over GPUs almost without loss, and short quanta leave the next decision soon.
4. A small block is taken only if its quantum ends about when the node's other GPUs are free again: one
   minute-long step on one GPU would keep the other seven from coming together.
5. Decoding takes one GPU and breaks up the node, so a decode that is in no hurry waits for a second one.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from policies.gang import Need, Start
from policies.gang_blocks import FreeGpus
from policies.gang_promises import BAND_WORTH, Outlook, Terms, outlook
from policies.gang_rescue import Claim, kept

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from policies.gang import Block, GangClip, Running


class GangScheduler:
    """The policy of production; the simulator plays the same object. Equal calls get equal answers."""

    def __init__(
        self,
        *,
        patience_s: float = 500.0,
        insistence: float = 1.2,
        margin: float = 1.03,
        floor: float = 0.6,
        overhang_s: float = 2.0,
        company: int = 2,
        hurry_s: float = 20.0,
        quantum_s: float = 0.5,
        reconfiguration_s: float = 0.3,
        rescues: bool = True,
        top: int = 8,
    ) -> None:
        """A scheduler. The defaults were chosen on the simulator's mix, seeds 0 to 19 (`docs/scheduling.md`).

        Args:
            patience_s: Seconds after which a clip that missed its promise is promised again.
            insistence: How much more a clip is worth for each promise it missed; above 1 bounds the tail.
            margin: Factor on predicted seconds.
            floor: Degrees are used while a step's efficiency is at least this.
            overhang_s: How long a quantum on part of a node may outlast what else runs there.
            company: Decodes that start together; 1: each at once.
            hurry_s: A decode waits for company only while its promise leaves more than this.
            quantum_s: Short steps are put together up to about this long.
            reconfiguration_s: What a change of block costs.
            rescues: False: no promise is given up for others; all go in order of their promises.
            top: No clip gets more GPUs.
        """
        self._terms = Terms(patience_s, insistence, margin, floor)
        self._overhang_s = overhang_s
        self._company = company
        self._hurry_s = hurry_s
        self._quantum_s = quantum_s
        self._reconfiguration_s = reconfiguration_s
        self._rescues = rescues
        self._top = top
        self._seen: dict[str, Outlook] = {}
        self._gpus = 0

    def decide(
        self, now: float, ready: Sequence[GangClip], running: Sequence[Running], nodes: Sequence[int]
    ) -> list[Start]:
        """What starts now (`policies.gang.GangPolicy`)."""
        if max(nodes, default=0) < 1:
            return []
        self._remember(ready, running, min(self._top, max(nodes)))
        decodes = [self._outlook(clip, now) for clip in ready if clip.need is Need.DECODE]
        others = [self._outlook(clip, now) for clip in ready if clip.need is not Need.DECODE]
        board = _Board(now, nodes, running)
        held = self._decodes(board, decodes, others)
        if board.free.count and others:
            for clip in self._order(board, others, running, sum(nodes)):
                if not board.free.count:
                    break
                self._place(board, clip)
        if not board.starts and not running:
            for clip in held:
                self._decode(board, clip)
        return board.starts

    def _decodes(self, board: _Board, decodes: list[Outlook], others: Sequence[Outlook]) -> list[Outlook]:
        """Start decodes; returns those that wait for company."""
        decodes.sort(key=lambda seen: (seen.promise, seen.clip.id))
        # One GPU has no block to break up; and who was promised nothing has no hurry that would end the wait.
        together = not others or len(decodes) >= self._company or max(board.nodes) == 1
        together = together or any(seen.clip.due == inf for seen in decodes)
        together = together or any(seen.lasts - board.now < self._hurry_s for seen in decodes)
        held = []
        for seen in decodes:
            if together or board.covers(seen.clip.decode_s, self._overhang_s):
                self._decode(board, seen)
            else:
                held.append(seen)
        return held

    def _decode(self, board: _Board, seen: Outlook) -> None:
        block = board.free.take(1, seen.clip.block)
        if block is not None:
            board.start(seen.clip, block, 0, seen.clip.decode_s)

    def _order(
        self, board: _Board, others: Sequence[Outlook], running: Sequence[Running], gpus: int
    ) -> list[Outlook]:
        """Clips whose promises are kept by promise, then the others: higher bands and shorter work first.

        Work of tenants that ask for more than others counts for more, so that nobody's flood drowns others.
        """
        seen = {clip.clip.id: clip for clip in others}
        shares = _shares(others)
        claims = []
        for name, clip in seen.items():
            price = clip.work * shares.get(clip.clip.tenant, 1.0) / clip.worth
            claims.append(Claim(name, clip.denoised_by, clip.work, price))
        busy = 0.0
        for run in running:
            busy += run.block.size * max(0.0, run.until - board.now)
            if run.clip.steps_left:
                clip = self._outlook(run.clip, board.now)
                work = max(0.0, clip.work - run.block.size * self._quantum(run.clip, run.block.size)[1])
                claims.append(Claim(run.clip.id, clip.denoised_by, work, clip.work / clip.worth))
        busy += sum(board.ends_in(start) for start in board.starts)
        claims.sort(key=lambda claim: (claim.by, claim.clip))
        if not self._rescues:
            return [seen[claim.clip] for claim in claims if claim.clip in seen]
        chosen = kept(claims, board.now, gpus, busy, self._terms.margin)
        first = [seen[claim.clip] for claim in claims if claim.clip in chosen and claim.clip in seen]
        rest = [clip for name, clip in seen.items() if name not in chosen]
        rest.sort(key=lambda c: (c.clip.band, c.work * shares.get(c.clip.tenant, 1.0), c.clip.id))
        return first + rest

    def _place(self, board: _Board, seen: Outlook) -> None:
        """Give the clip the largest block that does not hold up the node it is on; nothing when all would."""
        clip = seen.clip
        for node, degree in board.offers(seen.degrees):
            block = board.free.find(node, degree, clip.block)
            if block is None:
                continue
            steps, seconds = self._quantum(clip, degree)
            if clip.block is not None and clip.block != block:
                seconds += self._reconfiguration_s
            most = degree == max(k for k in seen.degrees if k <= board.nodes[node])
            if most or seconds <= board.horizon(node) + self._overhang_s:
                board.start(clip, board.free.occupy(block), steps, seconds)
                return

    def _quantum(self, clip: GangClip, degree: int) -> tuple[int, float]:
        """Steps of the next quantum, and its seconds."""
        if clip.need is Need.DENOISE:
            step = clip.step_s[degree]
            steps = max(1, min(clip.segment_steps_left, int(self._quantum_s / step) if step > 0.0 else 1))
            return steps, steps * step
        if clip.need is Need.DECODE:
            return 0, clip.decode_s
        return 0, clip.encode_s if clip.need is Need.ENCODE else clip.whole_s

    def _outlook(self, clip: GangClip, now: float) -> Outlook:
        seen = self._seen.get(clip.id)
        if seen is None or now > seen.lasts or not (seen.clip is clip or seen.clip == clip):
            seen = self._seen[clip.id] = outlook(clip, now, self._gpus, self._terms)
        return seen

    def _remember(self, ready: Sequence[GangClip], running: Sequence[Running], gpus: int) -> None:
        """Forget what was worked out for clips that are gone, or for other nodes."""
        if gpus != self._gpus:
            self._seen, self._gpus = {}, gpus
        elif len(self._seen) > 2 * (len(ready) + len(running)) + 64:
            here = {clip.id for clip in ready} | {run.clip.id for run in running}
            self._seen = {name: seen for name, seen in self._seen.items() if name in here}


class _Board:
    """One decision under way: what is free, when each node will be, and what starts."""

    def __init__(self, now: float, nodes: Sequence[int], running: Sequence[Running]) -> None:
        self.now = now
        self.nodes = tuple(nodes)
        self.free = FreeGpus(nodes, (run.block for run in running))
        self.starts: list[Start] = []
        self._ends = [now] * len(self.nodes)
        self._seconds: dict[str, float] = {}
        for run in running:
            self._ends[run.block.node] = max(self._ends[run.block.node], run.until)

    def horizon(self, node: int) -> float:
        """Seconds until all of the node is free, as things stand."""
        return self._ends[node] - self.now

    def covers(self, seconds: float, overhang: float) -> bool:
        """Whether one GPU may be taken for so long without holding up its node."""
        nodes = range(len(self.nodes))
        return any(self.free.largest(at) and seconds <= self.horizon(at) + overhang for at in nodes)

    def offers(self, degrees: Sequence[int]) -> Iterable[tuple[int, int]]:
        """For each node the most of these degrees that it has free, the largest first."""
        found = []
        for node in range(len(self.nodes)):
            room = self.free.largest(node)
            degree = max((k for k in degrees if k <= room), default=0)
            if degree:
                found.append((-degree, -self._ends[node], node))
        return [(node, -degree) for degree, _, node in sorted(found)]

    def start(self, clip: GangClip, block: Block, steps: int, seconds: float) -> None:
        """Note a start."""
        self.starts.append(Start(clip.id, block, steps))
        self._seconds[clip.id] = seconds
        self._ends[block.node] = max(self._ends[block.node], self.now + seconds)

    def ends_in(self, start: Start) -> float:
        """GPU-seconds of a start."""
        return self._seconds[start.clip] * start.block.size


def _shares(clips: Sequence[Outlook]) -> dict[str, float]:
    """How many times the least asking tenant's waiting work each tenant has; at most a band's worth."""
    asked: dict[str, float] = {}
    for seen in clips:
        asked[seen.clip.tenant] = asked.get(seen.clip.tenant, 0.0) + seen.work
    least = min(asked.values(), default=0.0)
    if len(asked) < 2 or least <= 0.0:
        return {}
    return {tenant: min(BAND_WORTH, work / least) for tenant, work in asked.items()}
