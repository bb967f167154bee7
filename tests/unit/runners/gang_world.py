"""Gangs for tests: real processes joined by gloo, and tiny pipelines that four ranks can share."""

from __future__ import annotations

import multiprocessing
import queue
import socket
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import LTX2ConditionPipeline
from diffusers.pipelines.ltx2.pipeline_ltx2_condition import LTX2VideoCondition
from PIL import Image

from models.runners.crew import Crew
from models.runners.ltx2 import UNGUIDED
from models.runners.parallel import Blocks, connect, disconnect
from models.runners.sharing import Sharing, transformers_of
from models.runners.tiny import KINDS as RECIPES

TIMEOUT_S = 60.0
"""Of a collective; generous, since the machine may be busy."""


@dataclass(frozen=True)
class Named:
    """What sharing knows of a family."""

    pipeline: str


def in_world(
    size: int,
    job: Callable[..., Any],
    *given: Any,
    timeout_s: float = TIMEOUT_S,
    silent: frozenset[int] = frozenset(),
) -> list[Any]:
    """Run `job(blocks, *given)` on every rank of a new gang.

    Args:
        size: Ranks.
        job: A function that the processes can import.
        given: What it gets besides.
        timeout_s: Of a collective.
        silent: Ranks that end without an answer.

    Returns:
        What each rank returned, None for the silent ones.

    Raises:
        AssertionError: a rank raised or did not answer.
    """
    context = multiprocessing.get_context("spawn")
    answers: Any = context.Queue()
    port = free_port()
    ranks = [
        context.Process(target=_rank, args=(rank, size, port, timeout_s, answers, job, given), daemon=True)
        for rank in range(size)
    ]
    for process in ranks:
        process.start()
    results: dict[int, Any] = dict.fromkeys(silent)
    failures: list[str] = []
    try:
        while len(results) + len(failures) < size:
            rank, result, failure = answers.get(timeout=270)
            if failure is None:
                results[rank] = result
            else:
                failures.append(f"rank {rank}:\n{failure}")
                break
    except queue.Empty:
        failures.append(f"only ranks {sorted(results)} answered")
    finally:
        for process in ranks:
            process.join(timeout=0.5 if failures else 20)
            if process.is_alive():
                process.kill()
                process.join()
    if failures:
        raise AssertionError("\n".join(failures))
    return [results[rank] for rank in range(size)]


def free_port() -> int:
    """A port of this machine that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _rank(
    rank: int, size: int, port: int, timeout_s: float, answers: Any, job: Callable[..., Any], given: Any
) -> None:
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    try:
        connect(rank, size, "127.0.0.1", port, "cpu", timeout_s)
        result = job(Blocks.build(rank, size, "cpu", timeout_s), *given)
    except BaseException:
        answers.put((rank, None, traceback.format_exc()))
        raise
    answers.put((rank, result, None))
    disconnect()


@dataclass
class Shown:
    """A pipeline and how it is called: one clip of two or four steps."""

    pipe: Any
    family: Named
    arguments: dict[str, Any]

    def latents(self, seed: int, **changes: Any) -> tuple[torch.Tensor, ...]:
        """Make the clip; what the pipeline returns before its codecs."""
        call = {**self.arguments, **changes}
        output = self.pipe(**call, generator=torch.Generator().manual_seed(seed))
        made = (output.frames, getattr(output, "audio", None))
        return tuple(part for part in made if part is not None)

    def work(self, seed: int, **changes: Any) -> tuple[tuple[torch.Tensor, ...], list[tuple[int, int]]]:
        """As `latents`, and what the first block's self-attention saw in each call: batch and tokens."""
        seen: list[tuple[int, int]] = []

        def look(module: Any, args: Any, kwargs: Any) -> None:
            states = kwargs.get("hidden_states", args[0] if args else None)
            seen.append((states.shape[0], states.shape[1]))

        watched = [
            getattr(transformer, "blocks", None) or transformer.transformer_blocks
            for transformer in transformers_of(self.pipe)
        ]
        watches = [blocks[0].attn1.register_forward_pre_hook(look, with_kwargs=True) for blocks in watched]
        try:
            return self.latents(seed, **changes), seen
        finally:
            for watch in watches:
                watch.remove()

    def branches(self) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Positive and negative prompt embeddings, where the pipeline encodes them apart."""
        if self.family.pipeline.startswith("LTX"):
            return None
        positive, negative = self.pipe.encode_prompt(
            self.arguments["prompt"],
            self.arguments["negative_prompt"],
            True,
            max_sequence_length=self.arguments.get("max_sequence_length", 512),
        )
        return positive, negative


CELLS = {"wan2.2-ti2v-5b": 32, "ltx-video": 32, "ltx-2": 32, "ltx-2-condition": 32}
"""Pixels of a token's side; 16 where none is given."""
KINDS = (
    "wan2.1",
    "wan2.2-a14b",
    "wan2.2-ti2v-5b",
    "wan2.2-animate",
    "ltx-video",
    "ltx-2",
    "ltx-2-condition",
    "skyreels-v2-i2v",
    "skyreels-v2-df",
)


def shown(kind: str, *, even: bool = True) -> Shown:
    """A tiny pipeline of that kind; its tokens divide by four, or by neither four nor two."""
    side = CELLS.get(kind, 16) * (2 if even else 3)
    pipe = _forcing() if kind == "skyreels-v2-df" else RECIPES[kind.removesuffix("-condition")].build("gang")
    if kind == "ltx-2-condition":
        pipe = LTX2ConditionPipeline(**pipe.components)
    pipe.set_progress_bar_config(disable=True)
    ltx = kind.startswith("ltx")
    photograph = Image.effect_noise((side, side), 60).convert("RGB")
    arguments: dict[str, Any] = {
        "image": photograph,
        "prompt": "a cat dances",
        "negative_prompt": "the dog",
        "width": side,
        "height": side,
        "num_frames": (9 if even else 17) if ltx else 9,
        "num_inference_steps": 4 if kind == "wan2.2-a14b" else 2,
        "output_type": "latent",
    }
    if kind == "wan2.2-animate":
        # Two runs of five frames that share one; pictures, because only they cover both runs.
        del arguments["num_frames"]
        poses = [photograph.rotate(10 * index) for index in range(9)]
        faces = [photograph.resize((64, 64)).rotate(10 * index) for index in range(9)]
        arguments |= {
            "pose_video": poses,
            "face_video": faces,
            "segment_frame_length": 5,
            "prev_segment_conditioning_frames": 1,
            "output_type": "pt",
        }
    if kind == "ltx-2-condition":
        # The last one brings tokens of its own.
        del arguments["image"]
        arguments["conditions"] = [
            LTX2VideoCondition(frames=photograph.rotate(angle), index=index)
            for angle, index in ((0, 0), (90, -1))
        ]
    if kind.startswith("ltx-2"):
        arguments |= {"spatio_temporal_guidance_blocks": [1], "use_cross_timestep": False, "frame_rate": 24.0}
    return Shown(pipe, Named(type(pipe).__name__), arguments)


def _forcing() -> Any:
    """SkyReels-V2 diffusion forcing: a timestep for every frame."""
    import diffusers

    from models.runners.tiny.parts import seeded
    from models.runners.tiny.wan import WAN, unipc, wan_text, wan_vae

    scale = WAN["gang"]
    transformer = seeded(
        lambda: diffusers.SkyReelsV2Transformer3DModel(
            patch_size=(1, 2, 2),
            num_attention_heads=scale.heads,
            attention_head_dim=scale.head_dim,
            in_channels=16,
            out_channels=16,
            text_dim=scale.text_width,
            freq_dim=256,
            ffn_dim=scale.ffn,
            num_layers=scale.layers,
            cross_attn_norm=True,
            qk_norm="rms_norm_across_heads",
            rope_max_seq_len=1024,
            inject_sample_info=True,
        )
    )
    return diffusers.SkyReelsV2DiffusionForcingImageToVideoPipeline(
        **wan_text(scale), transformer=transformer, vae=wan_vae(scale), scheduler=unipc(5.0)
    )


def guided(kind: str, guidance: float) -> dict[str, float]:
    """Call arguments for that guidance; LTX-2's further guidances (its defaults) are on above 1 only."""
    return {"guidance_scale": guidance, **(UNGUIDED if guidance <= 1 and kind.startswith("ltx-2") else {})}


def difference(one: tuple[torch.Tensor, ...], other: tuple[torch.Tensor, ...]) -> float:
    """The largest absolute difference of pictures (and of sound); inf when they differ in number or size."""
    if [part.shape for part in one] != [part.shape for part in other]:
        return float("inf")
    pairs = zip(one, other, strict=True)
    return max(float((torch.as_tensor(mine) - torch.as_tensor(yours)).abs().max()) for mine, yours in pairs)


@dataclass(frozen=True)
class Run:
    """One shared run of a kind beside the same run alone, on one rank."""

    kind: str
    even: bool
    crew: Crew
    apart: float
    """Largest absolute difference."""
    calls: list[tuple[int, int]]
    """Batch and tokens of each call of the first self-attention."""
    alone: list[tuple[int, int]]


def compared(sharing: Sharing, kind: str, even: bool, crews: Sequence[tuple[Crew, float]]) -> Iterator[Run]:
    """Make a clip alone and by each crew (with that guidance)."""
    clip = shown(kind, even=even)
    branches = clip.branches()
    alone: dict[float, Any] = {}
    for crew, guidance in crews:
        if guidance not in alone:
            sharing.lift()
            alone[guidance] = clip.work(3, **guided(kind, guidance))
        expected, calls = alone[guidance]
        sharing.lay(clip.pipe, clip.family, crew, branches)
        made, shared_calls = clip.work(3, **guided(kind, guidance))
        yield Run(kind, even, crew, difference(made, expected), shared_calls, calls)
    sharing.lift()
