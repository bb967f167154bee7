"""What a request wishes for beside a clip of its photograph: each wish by its HTTP name, and without it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from models.types import Residency, TaskType
from policies.words import usd_word

if TYPE_CHECKING:
    from policies.base import RouteRequest

AUTO = "auto"
"""The `model` of a request that leaves the choice to the router."""


@dataclass(frozen=True, slots=True)
class Wish:
    """One wish.

    Attributes:
        field: Its HTTP name.
        told: The wish in words; None when the request does not have it.
        dropped: The request without it.
    """

    field: str
    told: Callable[[RouteRequest], str | None]
    dropped: Callable[[RouteRequest], RouteRequest]


def present(request: RouteRequest) -> tuple[Wish, ...]:
    """The wishes that this request has, first those that clients give up most easily."""
    return tuple(wish for wish in WISHES if wish.told(request) is not None)


def without(request: RouteRequest, *fields: str) -> RouteRequest:
    """The request without the wishes of these names."""
    for wish in WISHES:
        if wish.field in fields:
            request = wish.dropped(request)
    return request


def patch(before: RouteRequest, after: RouteRequest) -> dict[str, Any]:
    """What makes the one request the other: changed fields under their HTTP names, None where one goes."""
    was, now = _fields(before), _fields(after)
    return {name: value for name, value in now.items() if value != was[name]}


def _fields(request: RouteRequest) -> dict[str, Any]:
    wish = request.wish
    return {
        "model": request.model,
        "size": None if wish.size is None else str(wish.size),
        "seconds": wish.seconds,
        "fps": wish.fps,
        "prefer": wish.prefer.value,
        "deadline_s": request.deadline_s,
        "max_cost_usd": request.max_cost_usd,
        "camera": [f"{w.move}:required" if w.required else w.move.value for w in request.camera] or None,
        "generate_audio": request.generate_audio,
        # A file is never added, so that it was given is all there is to tell.
        "last_image": True if request.has_last_image else None,
        "driving_video": True if request.has_driving_video else None,
        "audio": True if request.has_audio else None,
        "residency": request.residency.value,
        "allow": list(request.allow) or None,
        "deny": list(request.deny) or None,
    }


def optional_camera(request: RouteRequest) -> RouteRequest:
    """The same camera moves, as preferences."""
    return replace(request, camera=tuple(replace(wish, required=False) for wish in request.camera))


def _clip(field: str, told: Callable[[Any], str]) -> Wish:
    """A wish of the clip's shape."""

    def words(request: RouteRequest) -> str | None:
        value = getattr(request.wish, field)
        return None if value is None else told(value)

    def dropped(request: RouteRequest) -> RouteRequest:
        cleared: dict[str, Any] = {field: None}
        return replace(request, wish=replace(request.wish, **cleared))

    return Wish(field, words, dropped)


def _plain(field: str, told: Callable[[Any], str], empty: Any) -> Wish:
    """A field of the request that is given or `empty`."""

    def words(request: RouteRequest) -> str | None:
        value = getattr(request, field)
        return None if value == empty else told(value)

    def dropped(request: RouteRequest) -> RouteRequest:
        cleared: dict[str, Any] = {field: empty}
        return replace(request, **cleared)

    return Wish(field, words, dropped)


def _file(field: str, told: str, task: TaskType, **cleared: Any) -> Wish:
    """A file that is given beside the photograph."""
    given = f"has_{field}"

    def words(request: RouteRequest) -> str | None:
        return told if getattr(request, given) else None

    def dropped(request: RouteRequest) -> RouteRequest:
        changes: dict[str, Any] = {given: False, **cleared}
        left = replace(request, **changes)
        return replace(left, task=_task_left(left)) if request.task is task else left

    return Wish(field, words, dropped)


def task_of(*, prompt: bool, last_image: bool, driving_video: bool, audio: bool) -> TaskType:
    """What is to be done with what is given beside the photograph: what drives the clip decides first."""
    if driving_video:
        return TaskType.ANIMATE
    if audio:
        return TaskType.A2V
    if last_image:
        return TaskType.FLF2V
    return TaskType.TI2V if prompt else TaskType.I2V


def _task_left(request: RouteRequest) -> TaskType:
    """What is left to do once an input is gone."""
    return task_of(
        prompt=request.features.prompt.words > 0,
        last_image=request.has_last_image,
        driving_video=request.has_driving_video,
        audio=request.has_audio,
    )


def _required(request: RouteRequest) -> str | None:
    moves = [wish.move.value for wish in request.camera if wish.required]
    return f"the required camera move {' with '.join(moves)}" if moves else None


WISHES: tuple[Wish, ...] = (
    _plain("deadline_s", lambda s: f"a deadline of {s:.4g} s", None),
    _plain("max_cost_usd", lambda usd: f"a budget of {usd_word(usd)}", None),
    _clip("seconds", lambda s: f"{s:.4g} seconds"),
    _clip("size", str),
    _clip("fps", lambda fps: f"{fps:.4g} fps"),
    Wish("camera", _required, optional_camera),
    _plain("generate_audio", lambda _: "generated sound", False),
    _file("last_image", "a last image", TaskType.FLF2V),
    _file("driving_video", "a driving video", TaskType.ANIMATE, driving_seconds=None),
    _file("audio", "an audio file", TaskType.A2V, audio_seconds=None),
    _plain("allow", lambda ids: f"only the models {', '.join(ids)}", ()),
    _plain("deny", lambda ids: f"none of the models {', '.join(ids)}", ()),
    _plain("residency", lambda where: f"{where} models only", Residency.ANY),
    _plain("model", lambda name: f"the model {name}", AUTO),
)
