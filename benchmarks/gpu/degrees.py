"""One step over 1, 2, 4 and 8 GPUs of one machine, laid as a gang lays it.

Started by `torchrun --nproc-per-node N -m benchmarks.gpu`. Each degree is measured twice: with guidance's
passes shared between two halves and the tokens of each pass within a half, and with the tokens of both passes
shared by all, as a clip without guidance would be. The first rank keeps the results and decides what is
still measured; the others follow.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
import torch.distributed as dist

from benchmarks.gpu.budget import Budget
from benchmarks.gpu.building import build
from benchmarks.gpu.closeness import error_of
from benchmarks.gpu.costing import step_flops
from benchmarks.gpu.inputs import NOISY, forward, random_inputs
from benchmarks.gpu.ledger import Ledger
from benchmarks.gpu.levers import LEVERS, Lever, lay, missing
from benchmarks.gpu.subjects import Shape, Subject
from benchmarks.gpu.timing import Timing, figures, measure
from models.runners.crew import Crew
from models.runners.parallel import DEGREES, Blocks, connect, disconnect
from models.runners.sharing import Sharing

TIMEOUT_S = 300.0
"""For any collective: building a 14B model on a slow rank is the longest wait."""
SHARED_LEVERS = tuple(
    lever for lever in LEVERS if lever.key in ("eager", "attention-cudnn", "attention-flash3")
)
"""Whose attention knows how to exchange tokens for heads."""
_GUESS_S = 60.0
"""A case, before any was measured."""


@dataclass(frozen=True, slots=True)
class Together:
    """This process as one of several.

    Attributes:
        rank: From 0.
        world: How many.
        device: This rank's.
        sharing: Lays crews.
    """

    rank: int
    world: int
    device: torch.device
    sharing: Sharing

    @property
    def leads(self) -> bool:
        return self.rank == 0

    def agreed(self, decision: bool) -> bool:
        """What the first rank says, on all; what the others say is not heard."""
        word = torch.tensor([int(decision)])
        dist.broadcast(word, src=0)
        return bool(word.item())

    def largest(self, value: float) -> float:
        """The largest of all ranks' values, on all."""
        word = torch.tensor([value], dtype=torch.float64)
        dist.all_reduce(word, op=dist.ReduceOp.MAX)
        return float(word.item())


@dataclass(frozen=True, slots=True)
class SharedCase:
    """One record of the results: a step of a model at a shape, by so many ranks, with a lever."""

    subject: Subject
    shape: Shape
    crew: Crew
    lever: Lever

    @property
    def key(self) -> str:
        halves = "+halves" if self.crew.cfg == 2 else ""
        return f"{self.subject.key}/degree/{self.shape}/{self.crew.degree}{halves}/{self.lever.key}"


def world_of(environment: Mapping[str, str] = os.environ) -> int:
    """Processes that torchrun started; 1 without it."""
    return int(environment.get("WORLD_SIZE", "1"))


def join(cuda: bool) -> Together:
    """Take this process's place among those that torchrun started.

    Raises:
        models.errors.ConfigError: their number has no aligned blocks.
    """
    rank, world = int(os.environ["RANK"]), world_of()
    device = f"cuda:{os.environ['LOCAL_RANK']}" if cuda else "cpu"
    if cuda:
        torch.cuda.set_device(device)
    connect(rank, world, os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), device, TIMEOUT_S)
    return Together(rank, world, torch.device(device), Sharing(Blocks.build(rank, world, device, TIMEOUT_S)))


def leave() -> None:
    """Give the place up."""
    disconnect()


def shared_cases(subjects: Sequence[Subject], world: int, levers: Sequence[str]) -> Iterator[SharedCase]:
    """All cases, the first shapes of every model before the second ones. Pure."""
    crews = [Crew(tuple(range(n)), cfg) for n in DEGREES if n <= world for cfg in (1, 2) if cfg <= n]
    for rank in range(max((len(subject.shapes) for subject in subjects), default=0)):
        for subject in subjects:
            if rank < len(subject.shapes):
                for lever in SHARED_LEVERS:
                    if lever.key in levers:
                        for crew in crews:
                            yield SharedCase(subject, subject.shapes[rank], crew, lever)


def measured_together(
    cases: Sequence[SharedCase],
    us: Together,
    ledger: Ledger | None,
    budget: Budget,
    *,
    dtype: torch.dtype,
    repeats: int,
) -> list[str]:
    """Measure what is not in the ledger yet and fits the time that is left; returns the keys of the rest.

    Args:
        cases: The same on every rank.
        us: This rank among them.
        ledger: On the first rank.
        budget: The first rank's counts.
        dtype: Of transformers.
        repeats: Timed steps of each case.
    """
    left, built, longest = [], None, _GUESS_S if us.device.type == "cuda" else 0.0
    for case in cases:
        if us.agreed(ledger is not None and ledger.has(case.key)):
            continue
        if not us.agreed(budget.allows(1.5 * longest)):
            left.append(case.key)
            continue
        began = time.monotonic()
        reason = missing(case.lever, us.device, dtype)
        if us.largest(float(reason is not None)):
            record: dict[str, Any] = {"status": "missing", "reason": reason or "missing on another rank"}
        else:
            if built is None or built[0] is not case.subject:
                built = None
                built = (case.subject, build(case.subject.transformer, case.subject.config, us.device, dtype))
            record = _shared_step(case, built[1], us, dtype, repeats)
        longest = time.monotonic() - began
        if ledger is not None:
            ledger.put(case.key, {**record, "took_s": figures(longest)})
            print(f"{case.key}: {record['status']} {record.get('seconds', '')}", flush=True)
    return left


def _shared_step(
    case: SharedCase, model: Any, us: Together, dtype: torch.dtype, repeats: int
) -> dict[str, Any]:
    subject = case.subject
    inputs = random_inputs(subject, case.shape, us.device, dtype)
    calls = inputs.calls(inputs.noise, NOISY)
    pipe = SimpleNamespace(transformer=model, config={"expand_timesteps": subject.inputs == "wan-5b"})
    batched = subject.inputs == "ltx"
    family = SimpleNamespace(pipeline="LTXImageToVideoPipeline" if batched else "WanImageToVideoPipeline")
    crew = case.crew
    works = us.rank in crew.ranks
    kept: list[torch.Tensor] = []
    timing, truth = Timing((0.0,), 0), []
    off = lay(model, case.lever, us.device) if works else None
    try:
        if works:
            truth = forward(model, calls)
            us.sharing.lay(pipe, family, crew, None if batched else (inputs.words[0], inputs.words[1]))

            def work() -> None:
                kept[:] = forward(model, calls)

            timing = measure(work, us.device, repeats=repeats)
    finally:
        us.sharing.lift()
        if off is not None:
            off()
    flops = step_flops(subject, case.shape).total
    seconds = us.largest(timing.median_s)  # also keeps the idle ranks waiting until the crew is done
    error = error_of(kept, truth) if works else None
    return {
        "status": "measured",
        "degree": crew.degree,
        "cfg": crew.cfg,
        "ulysses": crew.ulysses,
        "seconds": figures(seconds),
        "peak_gib": figures(us.largest(timing.peak_bytes / 2**30)),
        "tflop_per_s_per_gpu": figures(flops / crew.degree / seconds / 1e12),
        "error": error.told() if error else None,
    }
