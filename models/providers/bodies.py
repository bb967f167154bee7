"""From a planned clip to the exact JSON body of one hosted model, by the request map on its card. Pure.

Nothing that was asked for is dropped or clamped in silence: what the schema cannot say is refused, and the
refusal names the field. Left out are only what we merely have (a seed, a negative prompt) where there is no
parameter for it, and wishes of which the decision has told already that this model does not follow them: a
camera move where the model has no camera at all, words where it reads none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log
from typing import TYPE_CHECKING, Any

from models.errors import ConfigError, InputRefused
from models.requests import MADE_ANYWAY
from models.types import Intensity
from models.wording import worded

if TYPE_CHECKING:
    from models.card import Mode
    from models.providers.base import Role, Wanted
    from models.requests import Choice, Number, RequestMap
    from models.types import CameraMove, Geometry

Body = dict[str, Any]
_EXACT = 1e-6


def hosted_body(wanted: Wanted, inputs: Mapping[Role, str]) -> dict[str, object]:
    """The input of one hosted model.

    Args:
        wanted: A clip that the planner planned for this offer and mode.
        inputs: The URL (or `data:` URI) of each input, by role.

    Raises:
        InputRefused: the schema cannot say what is wanted; `param` names the field.
        ConfigError: the offer has no request map.
    """
    request = wanted.offer.request
    if request is None:
        raise ConfigError(
            f"card {wanted.card.id}, offer {wanted.offer.id}: has no request map", param="request"
        )
    _one_shot(wanted)
    said: Body = dict(_media(wanted, request, inputs))
    said |= _words(wanted, request)
    said |= _shape(wanted, request)
    said |= _switches(wanted, request, inputs)
    if request.seed is not None:
        said[request.seed] = wanted.seed if request.seed_max is None else wanted.seed % (request.seed_max + 1)
    return nested(said | request.sends | wanted.mode.sends)


def nested(said: Mapping[str, object]) -> dict[str, object]:
    """Values by dotted path as one JSON object; a whole number in a path is a place in a list.

    Raises:
        ValueError: places of a list are missing, or a path runs through a value.
    """
    tree: Body = {}
    for path, value in said.items():
        *way, leaf = path.split(".")
        at = tree
        for part in way:
            at = at.setdefault(part, {})
            if not isinstance(at, dict):
                raise ValueError(f"{path}: {part} is a value already")
        at[leaf] = value
    return {key: _listed(part) for key, part in tree.items()}


def _listed(part: Any) -> Any:
    if not isinstance(part, dict):
        return part
    if not part or not all(key.isdecimal() for key in part):
        return {key: _listed(value) for key, value in part.items()}
    places = sorted(part, key=int)
    if [int(place) for place in places] != list(range(len(places))):
        raise ValueError(f"places of a list are missing; there are {', '.join(places)}")
    return [_listed(part[place]) for place in places]


def _one_shot(wanted: Wanted) -> None:
    """Hosts make one shot and give it as it is: chains and in-between frames are not theirs."""
    if wanted.plan.segments != 1:
        raise InputRefused(
            f"{wanted.card.id} is hosted and makes one shot; the plan chains {wanted.plan.segments}",
            param="seconds",
        )
    if wanted.plan.interpolation != 1:
        raise InputRefused(
            f"{wanted.card.id} is hosted; the plan fills in frames between its own", param="fps"
        )


def _media(wanted: Wanted, request: RequestMap, inputs: Mapping[Role, str]) -> Body:
    named: dict[Role, str | None] = {
        "image": request.image,
        "last_image": request.last_image,
        "driving_video": request.driving_video,
        "audio": request.audio,
    }
    needed: tuple[Role, ...] = ("image", *wanted.mode.needs)
    for role in needed:
        if role not in inputs:
            raise InputRefused(f"{wanted.card.id} needs {_spaced(role)}, and none was given", param=role)
    said: Body = {}
    for role, url in inputs.items():
        name = named[role]
        if name is None or role in wanted.mode.excludes:
            raise InputRefused(f"{_here(wanted)} takes no {_spaced(role)}", param=role)
        said[name] = url
    return said


def _words(wanted: Wanted, request: RequestMap) -> Body:
    """Prompt, negative prompt and camera."""
    controls = wanted.card.controls
    said: Body = {}
    moves, brackets = wanted.camera, ""
    kind = controls.camera.kind
    if kind == "parameter" and request.camera is not None:
        chosen = [move for move in moves if move in request.camera.values]
        _at_most(wanted, chosen, 1)
        if chosen:
            said[request.camera.name] = request.camera.values[chosen[0]]
        moves = tuple(move for move in moves if move not in chosen)
    elif kind == "brackets" and request.camera_text is not None:
        commands = request.camera_text.values
        chosen = [move for move in moves if move in commands]
        _at_most(wanted, chosen, controls.camera.max_moves)
        own = wanted.prompt.lower()
        new = [commands[move] for move in chosen if f"[{commands[move]}]".lower() not in own]
        if new:
            brackets = request.camera_text.template.format(moves=request.camera_text.separator.join(new))
        moves = tuple(move for move in moves if move not in chosen)
    elif kind in {"none", "video", "native"}:
        moves = ()
    prompt = _prompt(wanted, request, moves, brackets)
    if prompt and request.prompt is not None:
        said[request.prompt] = prompt
    if request.negative_prompt is not None and wanted.negative_prompt.strip():
        said[request.negative_prompt] = wanted.negative_prompt
    return said


def _prompt(wanted: Wanted, request: RequestMap, moves: Sequence[CameraMove], brackets: str) -> str:
    controls = wanted.card.controls
    if not controls.prompt or "prompt" in wanted.mode.excludes:
        return ""
    if request.prompt is None:
        if wanted.prompt.strip():
            raise InputRefused(f"{_here(wanted)} reads no prompt", param="prompt")
        return ""
    text = worded(wanted.prompt, moves, wanted.intensity)
    text = " ".join(part for part in (brackets, text) if part.strip())
    if request.prompt_needed and not text:
        text = worded("", (), Intensity.MODERATE)
    most = controls.prompt_max_chars
    if most is not None and len(text) > most:
        raise InputRefused(
            f"{wanted.card.id} reads {most} characters at most; the prompt, with what is said of camera and "
            f"motion, has {len(text)}",
            param="prompt",
            allowed=most,
        )
    return text


def _at_most(wanted: Wanted, chosen: Sequence[CameraMove], most: int) -> None:
    if len(chosen) > most:
        raise InputRefused(
            f"{_here(wanted)} takes {most} camera move(s) a clip; {', '.join(chosen)} were asked for",
            param="camera",
            allowed=most,
        )


def _shape(wanted: Wanted, request: RequestMap) -> Body:
    """Length, frame rate, size and aspect, as planned."""
    native = wanted.plan.native
    said: Body = {}
    if request.seconds is not None:
        seconds = _seconds(wanted.mode, native)
        if seconds is not None:
            said[request.seconds.name] = _spelled(request.seconds, seconds, "seconds")
    for number, value, param in (
        (request.frames, native.num_frames, "seconds"),
        (request.fps, native.fps, "fps"),
        (request.width, native.width, "size"),
        (request.height, native.height, "size"),
    ):
        if number is not None:
            said[number.name] = _spelled(number, value, param)
    if request.aspect is not None:
        said[request.aspect.name] = _aspect(request.aspect, native)
    return said


def _seconds(mode: Mode, native: Geometry) -> float | None:
    """The mode's own length that the planner took; None where an input decides it."""
    length = mode.length
    if length.kind == "follows":
        return None
    if length.kind == "lattice":
        return native.seconds
    if length.kind == "seconds":
        nearest = min(length.values, key=lambda value: abs(value - native.seconds))
    else:
        steps = round((native.seconds - length.min) / length.step)
        nearest = min(max(length.min + steps * length.step, length.min), length.max)
    # The planner counts whole frames, so a length may be up to a frame off the second that is sold.
    if abs(nearest - native.seconds) > 1 / native.fps + _EXACT:
        raise InputRefused(
            f"mode {mode.name} makes no {native.seconds:g} s; the nearest is {nearest:g} s", param="seconds"
        )
    return nearest


def _spelled(number: Number, value: float, param: str) -> int | float | str:
    if number.type == "string":
        return f"{value:g}{number.suffix}"
    if number.type == "number":
        return float(value)
    whole = round(value)
    if abs(whole - value) > _EXACT:
        raise InputRefused(f"{number.name} takes whole numbers only; {value:g} was planned", param=param)
    return whole


def _aspect(choice: Choice, native: Geometry) -> str:
    """The provider's word for the shape nearest to the planned frame."""

    def off(shape: str) -> float:
        width, _, height = shape.partition(":")
        return abs(log(native.width / native.height) - log(int(width) / int(height)))

    return choice.values[min(choice.values, key=off)]


def _switches(wanted: Wanted, request: RequestMap, inputs: Mapping[Role, str]) -> Body:
    """Sound and loop."""
    said: Body = {}
    sound = request.sound
    if sound is None:
        if wanted.generate_audio and wanted.card.controls.audio_out != "always":
            raise InputRefused(f"{_here(wanted)} makes no sound", param="generate_audio")
    elif sound != MADE_ANYWAY:
        # Where sound can be switched off, a given track is heard only when it is on.
        value = sound.on if wanted.generate_audio or "audio" in inputs else sound.off
        if value is not None:
            said[sound.name] = value
    loop = request.loop
    if loop is not None:
        # A loop is a wish: the decision tells where a mode closes none.
        closes = wanted.loop and "loop" not in wanted.mode.excludes
        if closes and "last_image" in inputs:
            raise InputRefused(
                "a loop ends on the photograph; it cannot end on a last image, too", param="loop"
            )
        value = loop.on if closes else loop.off
        if value is not None:
            said[loop.name] = value
    return said


def _here(wanted: Wanted) -> str:
    return f"{wanted.card.id} ({wanted.offer.id}, {wanted.mode.name})"


def _spaced(role: str) -> str:
    return role.replace("_", " ")
