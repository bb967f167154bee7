"""What a second rank is worth: `python -m benchmarks.scaling [--rounds 7]`.

One denoising step (both passes of guidance) of a narrow Wan transformer at shapes where attention dominates:
by one rank alone, by two that share the tokens of each pass (Ulysses over gloo), and by two that make a pass
each, turn by turn in the same run and laid as a gang lays them. Each rank has one thread and one core. The
peer is the rank alone; two ranks cannot be more than twice as fast.
"""

from __future__ import annotations

import multiprocessing
import os
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any

from benchmarks.report import Report, Target, arguments, median

LIMIT = 1.6
"""At two ranks; 1.82 was seen for tokens on a quiet two-core machine at 2304 tokens."""
PARITY = 1e-4
"""Largest absolute difference from one rank, in float32; the output's standard deviation is about one."""
TIMEOUT_S = 120.0
CHANNELS = 16
CONFIG: dict[str, Any] = {
    "num_attention_heads": 4,
    "attention_head_dim": 64,
    "ffn_dim": 1024,
    "num_layers": 2,
    "in_channels": CHANNELS,
    "out_channels": CHANNELS,
    "text_dim": 64,
    "patch_size": (1, 2, 2),
}
"""Width 256: a pass takes a fraction of a second, of which exchanging tokens is a small part."""
Latents = tuple[int, int, int]
LATENTS: Mapping[int, Latents] = {2304: (9, 32, 32), 5184: (9, 48, 48)}
"""Frames, height and width of the latent video by tokens."""
WAYS = {"tokens": 1, "passes": 2}
"""How two ranks share a step, and into how many halves that parts the crew."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One step on one rank, in seconds."""

    wall: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Told:
    """What one rank measured at one shape.

    Attributes:
        rank: Which.
        tokens: Sequence length.
        alone: Steps by itself; empty on the second rank.
        shared: Steps by both, by the way they are shared.
        difference: Largest absolute difference of a shared output from that of one rank, likewise.
    """

    rank: int
    tokens: int
    alone: tuple[Turn, ...]
    shared: Mapping[str, tuple[Turn, ...]]
    difference: Mapping[str, float]


def figures_of(told: Sequence[Told], way: str) -> dict[str, Any]:
    """Speed-ups at one shape from what both ranks measured, shared in one way.

    The wall time of a shared step is that of its slower rank. CPU seconds are what a rank computed:
    their ratio does not depend on who else uses the machine, but leaves waiting out.
    """
    first, second = sorted(told, key=lambda rank: rank.rank)
    alone = [turn.wall for turn in first.alone]
    shared = [max(a.wall, b.wall) for a, b in zip(first.shared[way], second.shared[way], strict=True)]
    alone_cpu = median([turn.cpu for turn in first.alone])
    shared_cpu = max(median([turn.cpu for turn in rank.shared[way]]) for rank in (first, second))
    return {
        "tokens": first.tokens,
        "shared": way,
        "alone_s": {"fastest": round(min(alone), 4), "median": round(median(alone), 4)},
        "shared_s": {"fastest": round(min(shared), 4), "median": round(median(shared), 4)},
        "alone_cpu_s": round(alone_cpu, 4),
        "shared_cpu_s": round(shared_cpu, 4),
        "speed_up": round(min(alone) / min(shared), 3),
        "speed_up_median": round(median(alone) / median(shared), 3),
        "speed_up_cpu": round(alone_cpu / shared_cpu, 3),
        "difference": max(rank.difference[way] for rank in told),
    }


def ranks_told(latents: Mapping[int, Latents], rounds: int) -> list[Told]:
    """Run both ranks as processes of their own and gather what they measured.

    Args:
        latents: Shapes by tokens.
        rounds: Timed steps of each kind at each shape.

    Raises:
        RuntimeError: a rank ended before it had told everything.
    """
    context = multiprocessing.get_context("spawn")
    answers, turnstile, port = context.SimpleQueue(), context.Barrier(2), _free_port()
    os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}  # inherited by the ranks
    ranks = [
        context.Process(target=_rank, args=(rank, port, dict(latents), rounds, turnstile, answers))
        for rank in range(2)
    ]
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join()
    if any(rank.exitcode for rank in ranks):
        raise RuntimeError(f"the ranks ended with {[rank.exitcode for rank in ranks]}")
    return [answers.get() for _ in range(2 * len(latents))]


def _rank(
    rank: int, port: int, latents: Mapping[int, Latents], rounds: int, turnstile: Any, answers: Any
) -> None:
    """One process: joins the gang, then measures each shape."""
    import diffusers
    import torch

    from models.runners.crew import Crew
    from models.runners.parallel import Blocks, connect, disconnect
    from models.runners.sharing import Sharing

    torch.set_num_threads(1)
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[rank % len(cores)]})
    connect(rank, 2, "127.0.0.1", port, "cpu", TIMEOUT_S)
    try:
        sharing = Sharing(Blocks.build(rank, 2, "cpu", TIMEOUT_S))
        torch.manual_seed(0)
        transformer = diffusers.WanTransformer3DModel(**CONFIG).eval().requires_grad_(False)
        pipe = SimpleNamespace(transformer=transformer, config={"expand_timesteps": False})
        family = SimpleNamespace(pipeline="WanImageToVideoPipeline")
        for count, size in latents.items():
            torch.manual_seed(count)
            noisy = torch.randn(1, CHANNELS, *size)
            branches = torch.randn(1, 512, CONFIG["text_dim"]), torch.randn(1, 512, CONFIG["text_dim"])
            step = partial(_step, transformer, noisy, branches)
            alone: list[Turn] = []
            shared: dict[str, list[Turn]] = {way: [] for way in WAYS}
            difference = dict.fromkeys(WAYS, 0.0)
            truth = step()
            for index in range(rounds + 1):
                timed = index > 0  # the first round warms up
                turnstile.wait(TIMEOUT_S)
                if rank == 0:
                    turn, _ = _timed(step)
                    alone += [turn] * timed
                for way, halves in WAYS.items():
                    sharing.lay(pipe, family, Crew((0, 1), halves), branches)
                    turnstile.wait(TIMEOUT_S)
                    turn, outputs = _timed(step)
                    sharing.lift()
                    shared[way] += [turn] * timed
                    off = (float((a - b).abs().max()) for a, b in zip(outputs, truth, strict=True))
                    difference[way] = max(difference[way], *off)
            turns = {way: tuple(taken) for way, taken in shared.items()}
            answers.put(Told(rank, count, tuple(alone), turns, difference))
    finally:
        disconnect()


def _step(transformer: Any, noisy: Any, branches: tuple[Any, Any]) -> list[Any]:
    """Both passes, conditioned first, as the pipeline calls them."""
    import torch

    with torch.no_grad():
        moment = torch.tensor([500.0])
        return [
            transformer(hidden_states=noisy, timestep=moment, encoder_hidden_states=words, return_dict=False)[
                0
            ]
            for words in branches
        ]


def _timed(work: Any) -> tuple[Turn, Any]:
    wall, cpu = time.perf_counter(), time.process_time()
    output = work()
    return Turn(time.perf_counter() - wall, time.process_time() - cpu), output


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> None:
    given = arguments(__doc__, rounds=(7, "timed steps of each kind at each shape"))
    told = ranks_told(LATENTS, given.rounds)
    shapes = [
        figures_of([rank for rank in told if rank.tokens == count], way) for count in LATENTS for way in WAYS
    ]
    targets = []
    for shape in shapes:
        what = f"two ranks sharing {shape['shared']} over one, {shape['tokens']} tokens"
        targets += [
            Target(f"{what}, wall time, fastest rounds", shape["speed_up"], ">=", LIMIT),
            Target(f"{what}, CPU time of the busier rank", shape["speed_up_cpu"]),
            Target(f"{what}, largest difference", shape["difference"], "<=", PARITY),
        ]
    Report(
        name="scaling",
        summary="A denoising step of a Wan transformer of width 256, shared by two ranks of one thread each",
        figures={"shapes": shapes},
        peer={
            "what": "the same step by one rank with one thread, turn by turn with the shared ones",
            "seconds": {f"{shape['shared']}-{shape['tokens']}": shape["alone_s"] for shape in shapes},
        },
        targets=targets,
        settings={"rounds": given.rounds, "config": CONFIG, "threads_per_rank": 1},
        notes=[
            "Wall time needs two free cores: see the load. The fastest rounds suffer least from others.",
            "CPU time leaves waiting for the other rank out: it tells how evenly the work is split.",
        ],
    ).write()


if __name__ == "__main__":
    main()
