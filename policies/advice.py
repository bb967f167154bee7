"""What a person should know about a decision beside the choice itself.

Advice on photograph and words alone comes with the features; here is what follows from the choice: what the
chosen model does with the wishes that bind nobody (length, loop, sound, camera words), and what its frame
does to the photograph. Every sentence names the figure that it is about and what would help.
"""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, Final

from policies.durations import suited

if TYPE_CHECKING:
    from models.card import Card
    from policies.base import Candidate, RouteRequest, Scored

ENLARGED: Final = 1.5
"""Linear enlargement of the photograph from which its lack of detail shows. Our choice, between the 1024
pixels from which photographs are said to animate well (2026) and the widths of 720p and 1080p."""
CROPPED: Final = 0.9
"""Share of the photograph below which a crop is worth a word. Our choice."""
FILLED: Final = 0.75
"""Share of the frame below which bars are worth a word. Our choice."""
UNUSED_S: Final = 0.5
"""Seconds of a driving video or audio file whose loss is worth a word. Our choice."""
LIKELY: Final = 0.5
"""Chance to be on time below which a promise is none."""
CHAINED: Final = 2
"""Segments from which a clip drifts from its photograph."""


def advise(request: RouteRequest, chosen: Scored | None) -> tuple[str, ...]:
    """Advice read from photograph and words, then what the plan adds to it."""
    told = [*request.features.advice, *_on_length(request)]
    if chosen is not None:
        candidate = chosen.candidate
        card = candidate.card
        told += [f"{card.id}: {line}." for line in candidate.plan.gave_way]
        if candidate.offer.label:
            told.append(f"{card.id}: {candidate.offer.label.rstrip('.')}.")
        told += _on_deadline(request, candidate)
        told += _on_drive(request, candidate)
        told += _on_frame(request, candidate)
        told += _on_camera(request, candidate)
        told += _on_refused(request, card)
        told += _on_loop(request, candidate)
        told += _on_sound(request, card)
        told += _on_figure(request, card)
        unread = not card.controls.prompt or "prompt" in candidate.mode.excludes
        if unread and request.features.prompt.words:
            told.append(f"{card.id} reads no words; the prompt has no effect.")
        told += _on_end(card)
    return tuple(dict.fromkeys(told))


def _on_length(request: RouteRequest) -> list[str]:
    """Makers of photo animations (2026): each kind of motion has lengths for which it holds together."""
    asked, span = request.wish.seconds, suited(request)
    if asked is None or span is None or span.low <= asked <= span.high:
        return []
    way = "fewer" if asked > span.high else "more"
    return [
        f"{asked:.4g} s asked; {span.what} hold best for {span.low:.0f}-{span.high:.0f} s: try {way} seconds."
    ]


def _on_deadline(request: RouteRequest, candidate: Candidate) -> list[str]:
    """A choice that is the best there is, and will still rather be late than not."""
    predicted = candidate.prediction
    if request.deadline_s is None or predicted.on_time >= LIKELY:
        return []
    return [
        f"{candidate.card.id}: it is there within {request.deadline_s:.4g} s with a chance of "
        f"{predicted.on_time:.0%} only (predicted: {predicted.total_seconds:.0f} s); allow more time, or ask "
        "for a smaller or shorter clip."
    ]


def _on_drive(request: RouteRequest, candidate: Candidate) -> list[str]:
    """A clip that ends before the video or the sound that drives it."""
    seconds = candidate.plan.effective.seconds
    return [
        f"{candidate.card.id}: the {what} lasts {driving:.4g} s and the clip {seconds:.4g} s; the rest of it "
        "is not used."
        for what, driving in (
            ("driving video", request.driving_seconds),
            ("audio file", request.audio_seconds),
        )
        if driving is not None and driving > seconds + UNUSED_S
    ]


def _on_frame(request: RouteRequest, candidate: Candidate) -> list[str]:
    """What frame and length do to the photograph: it is enlarged, cut, given bars, or drifted from."""
    plan, photo, name = candidate.plan, request.features.image.size, candidate.card.id
    clip, laid = plan.effective, plan.framing
    told = []
    # The photograph covers `filled` of the frame with `kept` of itself.
    enlarged = sqrt(clip.size.pixels * laid.filled / (photo.pixels * laid.kept))
    if enlarged >= ENLARGED:
        told.append(
            f"{name}: the photograph ({photo}) is enlarged {enlarged:.1f} times to {clip.size}, and detail "
            "that it does not have is guessed: a larger original or a smaller clip helps."
        )
    if laid.kept < CROPPED:
        told.append(
            f"{name}: {laid.kept:.0%} of the photograph fits the {clip.size} frame; the rest is cut off. A "
            "subject near the edge may leave the frame: crop it yourself, or say that it stays centred."
        )
    if laid.filled < FILLED:
        told.append(
            f"{name}: the photograph covers {laid.filled:.0%} of the {clip.size} frame; the rest is bars. A "
            "crop to the frame's shape helps."
        )
    if plan.segments >= CHAINED:
        told.append(
            f"{name}: {plan.segments} segments are chained, each from the last frame of the one before; "
            "colours and faces drift. One segment, or several shots, hold better."
        )
    return told


def _on_camera(request: RouteRequest, candidate: Candidate) -> list[str]:
    """Camera words are a hope unless the model has an interface for them."""
    wished = tuple(wish.move for wish in request.camera if not wish.required)
    moves = wished or (() if request.camera else request.features.prompt.camera)
    card, camera = candidate.card, candidate.card.controls.camera
    explicit = camera.explicit and "camera" not in candidate.mode.excludes
    missing = [move for move in moves if not explicit or move not in camera.moves]
    if not missing:
        return []
    asked = ", ".join(missing)
    if camera.kind == "video":
        return [f"{card.id}: the camera follows the driving video, not the asked {asked}."]
    if explicit:
        return [f"{card.id}: its camera interface has no {asked}; the words may or may not bring it."]
    if camera.kind == "none":
        return [
            f"{card.id} has no camera control; {asked} may not happen. Require the move to be sure of it."
        ]
    # Wan-Bench 2.0 (2025): camera control of Wan 2.1 27.9 %, of the best model 39.6 %.
    return [
        f"{card.id}: {asked} is asked in words only, which models follow in 28-40 % of clips. Require the "
        "move to get a model with a camera interface."
    ]


def _on_refused(request: RouteRequest, card: Card) -> list[str]:
    """Moves that the words rule out: no model has an input for that, but one for a move that is asked."""
    refused = request.features.prompt.camera_refused
    controls = tuple(wish.move for wish in request.camera)
    contrary = [move for move in controls if move in refused]
    if contrary:
        return [
            f"The words rule out {', '.join(contrary)}, and the camera control asks for it: {card.id} is "
            "told both. Drop one of them."
        ]
    if not refused or controls or request.features.prompt.camera:
        return []
    ruled_out = ", ".join(refused)
    if card.makes == "rendered":
        return [
            f"{card.id} moves the camera in its own way where no move is asked, and the words rule out "
            f"{ruled_out}: ask for the move that you want, or for static."
        ]
    return [
        f"{card.id}: {ruled_out} is ruled out in words only, which models may miss; ask for another move, or "
        "for static."
    ]


def _on_loop(request: RouteRequest, candidate: Candidate) -> list[str]:
    """Most models do not close a loop unless they are told to, and few can be told."""
    if not request.features.prompt.wants_loop:
        return []
    card = candidate.card
    controls, seconds = card.controls, candidate.plan.effective.seconds
    if controls.loop and "loop" not in candidate.mode.excludes:
        return [f"{card.id} closes the loop itself."]
    if controls.loop:
        return [f"{card.id} closes loops, but not at {seconds:.4g} s: try fewer seconds."]
    if controls.last_image != "none" and not request.has_last_image:
        return [
            f"{card.id} closes no loop by itself; it takes a last image: give it the photograph, so that the "
            "clip returns to its start."
        ]
    return [f"{card.id} closes no loop: its end will not meet its start without a cut or a cross-fade."]


def _on_sound(request: RouteRequest, card: Card) -> list[str]:
    """Words that speak of sound are a wish; a silent model leaves it unheard."""
    if request.generate_audio or request.has_audio or not request.features.prompt.wants_audio:
        return []
    sound = card.controls.audio_out
    if sound == "none":
        return [f"The words speak of sound, and {card.id} makes none: ask for generated sound to get it."]
    if sound == "native":
        return [f"The words speak of sound; {card.id} makes it only when generated sound is asked for."]
    return []


def _on_figure(request: RouteRequest, card: Card) -> list[str]:
    """What the model must find in the photograph; it refuses the photograph otherwise."""
    image, needed = request.features.image, card.controls.preconditions
    told = []
    if ("human_body" in needed or "face" in needed) and not image.face_count:
        what = "a person's body" if "human_body" in needed else "a face"
        told.append(
            f"{card.id} needs {what} in the photograph and refuses it otherwise; no face was found. One "
            "clear figure helps."
        )
    if "single_subject" in needed and image.face_count > 1:
        told.append(
            f"{card.id} moves one figure; {image.face_count} faces were found. A crop to one person helps."
        )
    return told


def _on_end(card: Card) -> list[str]:
    if card.status not in {"deprecated", "legacy"}:
        return []
    when = f" and ends on {card.retires_on}" if card.retires_on else ""
    instead = f"; {card.replacement} replaces it" if card.replacement else ""
    return [f"{card.id} is {card.status}{when}{instead}."]
