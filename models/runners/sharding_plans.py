"""How each family's transformer is split over ranks: a table, one plan for each diffusers pipeline.

Ulysses splits the picture's tokens before the first block and gathers them after the last; within
self-attention the ranks exchange tokens for heads. Attention over words (or over sound) is left alone: every
rank has all keys and only its own queries, so no exchange is needed, and neither masks nor the number of
words have to be split. diffusers' own plans are used for none of them: those of LTX-Video and LTX-2 do not
split the timestep that these pipelines give for each token (huggingface/diffusers#14317), SkyReels-V2 and
Wan-Animate have none, and Wan's names a timestep of two dimensions, which only TI2V-5B has.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

from diffusers.models._modeling_parallel import ContextParallelInput, ContextParallelOutput

from models.runners.passes import CalledTwice, CalledWithBatch, needed

if TYPE_CHECKING:
    from models.runners.passes import Arguments, Branches, Halves, Passes

    Splits: TypeAlias = Mapping[str, Mapping[Any, ContextParallelInput]]
    """By module, what enters or leaves it split: diffusers' input plans."""
    Gathers: TypeAlias = Mapping[str, ContextParallelOutput]
    """By module, what leaves it whole again."""


@dataclass(frozen=True, slots=True, eq=False)
class ShardingPlan:
    """One pipeline's transformer, split.

    Attributes:
        splits: From the transformer.
        gathers: From the transformer.
        attention: Last parts of the names of attention modules that exchange tokens for heads.
        heads: From the transformer's config, the numbers of heads that the ranks must divide.
        tokens: From the transformer's config and a call's arguments, the picture's tokens.
        passes: How two halves share guidance's passes: from the halves, the pipeline and the branches.
    """

    splits: Callable[[Any], Splits]
    gathers: Callable[[Any], Gathers]
    attention: tuple[str, ...]
    heads: Callable[[Any], tuple[int, ...]]
    tokens: Callable[[Any, Arguments], int]
    passes: Callable[[Halves, Any, Branches | None], Passes]


def _split(dim: int, dims: int, *, leaves: bool = False) -> ContextParallelInput:
    return ContextParallelInput(split_dim=dim, expected_dims=dims, split_output=leaves)


def _rotary(dim: int, dims: int) -> dict[int, ContextParallelInput]:
    """Both tensors that a rotary embedding returns."""
    return {0: _split(dim, dims, leaves=True), 1: _split(dim, dims, leaves=True)}


_TOKENS = {"hidden_states": _split(1, 3)}
_WHOLE = ContextParallelOutput(gather_dim=1, expected_dims=3)


# --- Wan and its kin --------------------------------------------------------------------------


def _patches(config: Any, arguments: Arguments) -> int:
    """Latent frames, rows and columns over the patch."""
    shape = arguments["hidden_states"].shape[2:]
    return math.prod(size // patch for size, patch in zip(shape, config.patch_size, strict=True))


def _heads(config: Any) -> tuple[int, ...]:
    return (config.num_attention_heads,)


def _twice(
    unconditioned: Callable[[Arguments], Arguments], halves: Halves, pipe: Any, branches: Branches | None
) -> Passes:
    return CalledTwice(halves, needed(branches, type(pipe).__name__), unconditioned)


def _nothing_else(_: Arguments) -> Arguments:
    return {}


def _no_face(arguments: Arguments) -> Arguments:
    """`WanAnimatePipeline` blanks the driving face (all pixels -1) for its second call."""
    return {"face_pixel_values": arguments["face_pixel_values"] * 0 - 1}


def _wan_splits(_: Any) -> Splits:
    return {"rope": _rotary(1, 4), "blocks.0": _TOKENS}


def _ti2v_splits(transformer: Any) -> Splits:
    """TI2V-5B gives every token its own timestep."""
    return {"": {"timestep": _split(1, 2)}, **_wan_splits(transformer)}


def _forcing_splits(transformer: Any) -> Splits:
    """Diffusion forcing gives every frame its own timestep; blocks get one modulation a token."""
    return {**_wan_splits(transformer), "blocks.*": {"temb": _split(2, 4)}}


def _animate_splits(transformer: Any) -> Splits:
    """Face adapters see whole frames: after each of them the tokens are split anew."""
    every = transformer.config.inject_face_latents_blocks
    after = [i for i in range(len(transformer.blocks)) if i == 0 or (i - 1) % every == 0]
    return {"rope": _rotary(1, 4), **{f"blocks.{i}": _TOKENS for i in after}}


def _animate_gathers(transformer: Any) -> Gathers:
    every, last = transformer.config.inject_face_latents_blocks, len(transformer.blocks) - 1
    before = {f"blocks.{i}": _WHOLE for i in range(0, last + 1, every)}
    return before if last % every == 0 else {**before, "proj_out": _WHOLE}


def _at_projection(_: Any) -> Gathers:
    return {"proj_out": _WHOLE}


def _at_last_block(transformer: Any) -> Gathers:
    """The output's own modulation is one a token and stays whole."""
    return {f"blocks.{len(transformer.blocks) - 1}": _WHOLE}


def _wan(
    splits: Callable[[Any], Splits],
    gathers: Callable[[Any], Gathers] = _at_projection,
    unconditioned: Callable[[Arguments], Arguments] = _nothing_else,
) -> ShardingPlan:
    return ShardingPlan(splits, gathers, ("attn1",), _heads, _patches, partial(_twice, unconditioned))


# --- LTX --------------------------------------------------------------------------------------


def _sequence(_: Any, arguments: Arguments) -> int:
    """Latents come packed: one row a token."""
    tokens: int = arguments["hidden_states"].shape[1]
    return tokens


_LTX_INPUTS = {"hidden_states": _split(1, 3), "timestep": _split(1, 2)}
_LTX_BATCHED = frozenset(
    {
        "hidden_states",
        "encoder_hidden_states",
        "timestep",
        "encoder_attention_mask",
        "video_coords",
        "sigma",
        "perturbation_mask",
        "audio_hidden_states",
        "audio_encoder_hidden_states",
        "audio_timestep",
        "audio_encoder_attention_mask",
        "audio_coords",
        "audio_sigma",
    }
)


def _batch(halves: Halves, pipe: Any, branches: Branches | None) -> Passes:
    return CalledWithBatch(
        halves, _LTX_BATCHED, lambda: bool(getattr(pipe, "do_modality_isolation_guidance", False))
    )


def _ltx_splits(_: Any) -> Splits:
    return {"": _LTX_INPUTS, "rope": _rotary(1, 3)}


def _ltx2_splits(transformer: Any) -> Splits:
    rotary = _rotary(2, 4) if transformer.config.rope_type == "split" else _rotary(1, 3)
    return {"": _LTX_INPUTS, "rope": rotary, "cross_attn_rope": rotary}


def _ltx2_heads(config: Any) -> tuple[int, ...]:
    """The picture's, and the sound's where it looks at the picture."""
    return (config.num_attention_heads, config.audio_num_attention_heads)


_LTX = ShardingPlan(_ltx_splits, _at_projection, ("attn1",), _heads, _sequence, _batch)
_LTX2 = ShardingPlan(
    # Sound is small: every rank has all of it. Only where its queries meet the picture's keys is there
    # something to exchange; that every rank sends the same queries changes nothing.
    _ltx2_splits,
    _at_projection,
    ("attn1", "video_to_audio_attn"),
    _ltx2_heads,
    _sequence,
    _batch,
)

_WAN, _TI2V = _wan(_wan_splits), _wan(_ti2v_splits)

PLANS: Mapping[str, ShardingPlan] = MappingProxyType(
    {
        "LTX2ConditionPipeline": _LTX2,
        "LTX2ImageToVideoPipeline": _LTX2,
        "LTXImageToVideoPipeline": _LTX,
        "SkyReelsV2DiffusionForcingImageToVideoPipeline": _wan(_forcing_splits, _at_last_block),
        "SkyReelsV2ImageToVideoPipeline": _WAN,
        "WanAnimatePipeline": _wan(_animate_splits, _animate_gathers, _no_face),
        "WanImageToVideoPipeline": _WAN,
    }
)
"""By the name of the diffusers pipeline. All others run on one GPU: CogVideoX, SVD, I2VGen-XL and PIA compute
attention by other means than diffusers' dispatcher, and HunyuanVideo's joint sequence of words and picture
comes with masks."""


def plan_of(pipeline: str, pipe: Any) -> ShardingPlan | None:
    """The plan of that diffusers class, as this checkpoint needs it; None when it runs on one GPU only."""
    plan = PLANS.get(pipeline)
    return _TI2V if plan is _WAN and pipe.config.get("expand_timesteps") else plan
