"""A planned clip as an engine is told it: the words, and the form of `/v1/videos`. Pure.

Engines take what they are told and fill in the rest by their own defaults, so everything that the plan and
the card's `sampling` say is spelled out. What an engine cannot say is refused; the refusal names the field.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from models.errors import ConfigError, InputRefused
from models.types import Intensity
from models.wording import worded

if TYPE_CHECKING:
    from models.card import Sampling
    from models.providers.base import Role, Wanted
    from models.providers.engine_quirks import Quirks

_EXACT = 1e-6
_INSIDE_A_FRAME = 0.25
"""Seconds are sent a quarter of a frame long: engines cut `seconds * fps` to a whole number of frames."""


def video_form(wanted: Wanted, given: Collection[Role], quirks: Quirks) -> dict[str, str]:
    """The fields of `POST /v1/videos`, as text; the photograph goes beside them as `input_reference`.

    Args:
        wanted: A clip that the planner planned for this offer and mode.
        given: Roles of the inputs at hand.
        quirks: The engine.

    Raises:
        InputRefused: the engine cannot say what is wanted; `param` names the field.
        ConfigError: the offer has no sampling block.
    """
    one_shot(wanted)
    takes_only(wanted, given, {"image"})
    native = wanted.plan.native
    sampling = sampling_of(wanted)
    said: dict[str, str] = {
        "prompt": engine_prompt(wanted),
        "size": f"{native.width}x{native.height}",
        "fps": str(whole(native.fps, "fps", wanted)) if quirks.whole_fps else f"{native.fps:g}",
        "num_frames": str(native.num_frames),
        "num_inference_steps": str(sampling.steps),
        "guidance_scale": f"{sampling.guidance:g}",
        "seed": str(wanted.seed),
    }
    if wanted.negative_prompt.strip():
        said["negative_prompt"] = wanted.negative_prompt
    if sampling.flow_shift is not None:
        said["flow_shift"] = f"{sampling.flow_shift:g}"
    shape = wanted.card.cost.transformer if wanted.card.cost is not None else None
    if shape is not None and shape.experts > 1:
        # One guidance for both experts, as the card says; the second field has a default of its own.
        said["guidance_scale_2"] = said["guidance_scale"]
    said |= _sound(wanted, quirks)
    form = {name: value for name, value in said.items() if name in quirks.fields}
    if quirks.length == "seconds":
        form["seconds"] = f"{(native.num_frames + _INSIDE_A_FRAME) / native.fps:.6f}"
    if quirks.recognised_by == "model":
        form["model"] = wanted.reference
    return form


def marker_of(reference: str, form: Mapping[str, str], quirks: Quirks) -> dict[str, str]:
    """By what the listing shows this submission again; holds no prompt."""
    if quirks.recognised_by == "model":
        return {"model": reference}
    return {"prompt": prompt_mark(reference, form["prompt"]), "size": form["size"]}


def prompt_mark(reference: str, prompt: str) -> str:
    """A prompt as a fingerprint that tells nothing without the reference, and differs for every call."""
    return hashlib.sha256(f"{reference}\0{prompt}".encode()).hexdigest()


def engine_prompt(wanted: Wanted) -> str:
    """The prompt with camera and motion in words: engines have no other camera, and refuse empty prompts."""
    return worded(wanted.prompt, wanted.camera, wanted.intensity) or worded("", (), Intensity.MODERATE)


def sampling_of(wanted: Wanted) -> Sampling:
    """Steps and guidance of the offer.

    Raises:
        ConfigError: the offer has none.
    """
    if wanted.offer.sampling is None:
        raise ConfigError(
            f"card {wanted.card.id}, offer {wanted.offer.id}: an engine's offer needs a sampling block",
            param="sampling",
        )
    return wanted.offer.sampling


def one_shot(wanted: Wanted) -> None:
    """An engine makes one shot and gives it as it is: chains and in-between frames are not its.

    Raises:
        InputRefused: the plan chains segments or fills in frames.
    """
    if wanted.plan.segments != 1:
        raise InputRefused(
            f"{_here(wanted)} makes one shot; the plan chains {wanted.plan.segments}", param="seconds"
        )
    if wanted.plan.interpolation != 1:
        raise InputRefused(f"{_here(wanted)} fills in no frames; the plan does", param="fps")


def takes_only(wanted: Wanted, given: Collection[Role], takes: Collection[Role]) -> None:
    """Every input has its place, and the photograph is there.

    Raises:
        InputRefused: one has none; `param` names it.
    """
    for role in given:
        if role not in takes or role in wanted.mode.excludes:
            raise InputRefused(
                f"{_here(wanted)} takes no {role.replace('_', ' ')}", param=role, allowed=sorted(takes)
            )
    needed: tuple[Role, ...] = ("image", *wanted.mode.needs)
    for role in needed:
        if role not in given:
            raise InputRefused(f"{_here(wanted)} needs {role.replace('_', ' ')}; none was given", param=role)


def whole(value: float, param: str, wanted: Wanted) -> int:
    """A number that the engine takes as a whole one.

    Raises:
        InputRefused: it is none.
    """
    nearest = round(value)
    if abs(nearest - value) > _EXACT:
        raise InputRefused(
            f"{_here(wanted)} takes whole numbers for {param}; {value:g} was planned", param=param
        )
    return nearest


def _sound(wanted: Wanted, quirks: Quirks) -> dict[str, str]:
    always = wanted.card.controls.audio_out == "always"
    if wanted.generate_audio and not always and "generate_sound" not in quirks.fields:
        raise InputRefused(f"{_here(wanted)} cannot be asked for sound", param="generate_audio")
    return {"generate_sound": "true"} if wanted.generate_audio or always else {}


def _here(wanted: Wanted) -> str:
    return f"{wanted.card.id} ({wanted.offer.id}, {wanted.mode.name})"
