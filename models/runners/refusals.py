"""Refuse before any work what a pipeline would round, ignore or choke on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from models.errors import InputRefused
from models.runners.families import Continues, FollowsVideo

if TYPE_CHECKING:
    from models.card import Card
    from models.runners.base import RunRequest
    from models.runners.families import Family, Lattice
    from models.types import ClipPlan


def refuse_the_impossible(card: Card, family: Family, pipe: Any, request: RunRequest, steps: int) -> None:
    """Check one request against what this checkpoint really makes.

    Args:
        card: The model.
        family: Knows the pipeline's lattice and inputs.
        pipe: The loaded pipeline.
        request: The clip.
        steps: Denoising steps of one segment.

    Raises:
        InputRefused: shape, length or an input is nothing that this pipeline makes or takes.
    """
    plan = request.plan
    _refuse_shape(card, family.lattice(pipe), plan)
    _refuse_overlap(card, family, family.lattice(pipe), plan)
    _refuse_promise(plan)
    if steps < 1:
        raise InputRefused(f"steps must be at least 1; got {steps}", param="steps", allowed=">= 1")
    _refuse_last_image(card, request, family.takes_last_image(pipe))
    _refuse_driving_video(card, family, request)
    if request.audio is not None:
        raise InputRefused(f"{card.id} follows no sound here; audio was given", param="audio")


def _refuse_shape(card: Card, lattice: Lattice, plan: ClipPlan) -> None:
    native, multiple, step = plan.native, lattice.multiple, lattice.frame_step
    if native.width % multiple or native.height % multiple:
        raise InputRefused(
            f"{card.id} makes sizes in multiples of {multiple} pixels; planned were {native.size}",
            param="size",
            allowed=f"multiples of {multiple}",
        )
    if native.num_frames < 1 or (native.num_frames - 1) % step:
        raise InputRefused(
            f"{card.id} makes {step}k+1 frames; planned were {native.num_frames}",
            param="num_frames",
            allowed=f"{step}k+1",
        )
    if lattice.sizes is not None and (native.width, native.height) not in lattice.sizes:
        raise InputRefused(
            f"{card.id} makes a few sizes only; planned were {native.size}",
            param="size",
            allowed=[f"{width}x{height}" for width, height in lattice.sizes],
        )
    if lattice.frames is not None and native.num_frames not in lattice.frames:
        raise InputRefused(
            f"{card.id} makes {_spoken(lattice.frames)} frames; planned were {native.num_frames}",
            param="num_frames",
            allowed=_spoken(lattice.frames),
        )


def _refuse_overlap(card: Card, family: Family, lattice: Lattice, plan: ClipPlan) -> None:
    if plan.segments == 1 or plan.overlap == 1:
        return
    step, native = lattice.frame_step, plan.native.num_frames
    if not isinstance(family, Continues):
        raise InputRefused(
            f"{card.id} goes on from one frame; planned were segments that share {plan.overlap}",
            param="plan",
            allowed="an overlap of 1",
        )
    if not 0 < plan.overlap < native or (plan.overlap - 1) % step:
        raise InputRefused(
            f"{card.id} goes on from {step}k+1 frames, fewer than its segments have ({native}); planned were "
            f"{plan.overlap}",
            param="plan",
            allowed=f"an overlap of {step}k+1",
        )


def _refuse_promise(plan: ClipPlan) -> None:
    native, effective = plan.native, plan.effective
    made = (plan.native_frames - 1) * plan.interpolation + 1
    if effective.num_frames > made or effective.width > native.width or effective.height > native.height:
        raise InputRefused(
            f"the plan promises {effective.num_frames} frames of {effective.size}, but makes {made} of "
            f"{native.size}",
            param="plan",
        )


def _refuse_last_image(card: Card, request: RunRequest, taken: bool) -> None:
    need = card.controls.last_image
    if request.last_image is None and need == "required":
        raise InputRefused(f"{card.id} needs a last image; none was given", param="last_image")
    if request.last_image is not None and not (taken and need != "none"):
        raise InputRefused(f"{card.id} takes no last image; one was given", param="last_image")


def _refuse_driving_video(card: Card, family: Family, request: RunRequest) -> None:
    follows = isinstance(family, FollowsVideo)
    if request.driving_video is not None and not follows:
        raise InputRefused(f"{card.id} follows no video; one was given", param="driving_video")
    if request.driving_video is None and follows:
        raise InputRefused(f"{card.id} needs a driving video; none was given", param="driving_video")
    if follows and request.plan.native.num_frames == 1:
        raise InputRefused(
            f"{card.id} makes clips that move; planned was 1 frame", param="num_frames", allowed=">= 2"
        )
    if follows and request.plan.segments != 1:
        raise InputRefused(
            f"{card.id} follows its driving video in one call; planned were {request.plan.segments} segments",
            param="plan",
            allowed="1 segment",
        )


def _spoken(frames: tuple[int, ...]) -> str:
    return str(frames[0]) if len(frames) == 1 else f"{min(frames)} to {max(frames)}"
