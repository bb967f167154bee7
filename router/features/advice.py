"""Advice on photograph and prompt: what will likely go wrong, by what figure one sees it, what would help."""

from __future__ import annotations

from typing import Final

from models.types import CameraMove, Intensity
from policies.base import ImageFeatures, PromptFeatures
from router.features.lexicon import EXPRESSIONS
from router.features.quality import DARK, FLAT_SPREAD, HARSH_CLIPPED, HARSH_SPREAD, LEAST_WIDTH

GOOD_WIDTH: Final = 1024
"""Width in pixels from which photographs animate well."""
COMPETING: Final = 3
"""Motions that compete from here on; two can still be one gesture."""
_LEAVING: Final = frozenset({"leave", "exit", "depart", "escape", "disappear", "flee", "launch"})
_TRAVELLING: Final = frozenset({"run", "race", "gallop", "ride", "drive", "fly", "skate", "streak", "hurry"})
"""Motions by which a subject leaves the frame, for certain and when they are strong."""


def advise(image: ImageFeatures, prompt: PromptFeatures) -> tuple[str, ...]:
    """Sentences for the person, the weightiest first; empty when there is nothing to say."""
    return (*_on_size(image), *_on_words(prompt), *_on_faces(image, prompt), *_on_light(image))


def _on_size(image: ImageFeatures) -> list[str]:
    if image.width >= LEAST_WIDTH:
        return []
    return [
        f"The photograph is {image.width} pixels wide; below {LEAST_WIDTH} details swim. "
        f"If you have a larger original, send that ({GOOD_WIDTH} pixels or more work best)."
    ]


def _on_words(prompt: PromptFeatures) -> list[str]:
    told = []
    if prompt.is_caption:
        told.append(
            f"The prompt ({_count(prompt.words, 'word')}) says what is seen, not what happens. Please add "
            'what moves, what the camera does and how strongly, such as "hair sways gently, slow push in".'
        )
    if prompt.motion_count >= COMPETING:
        told.append(
            f"The prompt asks for {prompt.motion_count} motions that compete; one coherent motion holds "
            "together better. Please keep the most important one, or make a sequence of shots."
        )
    gone = _leaves_the_frame(prompt)
    if gone:
        told.append(
            f'The subject may leave the frame ("{gone}", and no camera follows), and what comes back into it '
            "is guessed. Please say that it stays in the middle of the frame, or let the camera follow it."
        )
    if prompt.wants_loop:
        told.append(
            "A loop is asked for; most models do not close one. Where the model takes a last frame, giving "
            "the photograph itself as last frame makes the clip return to its start."
        )
    return told


def _leaves_the_frame(prompt: PromptFeatures) -> str:
    """The motion that takes the subject out of the frame, or nothing."""
    if CameraMove.FOLLOW in prompt.camera:
        return ""
    strong = prompt.intensity is not None and prompt.intensity >= Intensity.DYNAMIC
    away = _LEAVING | _TRAVELLING if strong else _LEAVING
    return next((verb for verb in prompt.subject_motion if verb in away), "")


def _on_faces(image: ImageFeatures, prompt: PromptFeatures) -> list[str]:
    told = []
    if image.face_count >= 2:
        told.append(
            f"{image.face_count} faces were found; several faces are the hardest case for every model. "
            "Subtle motion keeps their likeness best; a crop to one person is safer still."
        )
    large = [verb for verb in prompt.subject_motion if verb in EXPRESSIONS]
    if large and image.subject in ("portrait", "group"):
        told.append(
            f'A large change of expression is asked for ("{large[0]}"); the likeness often suffers. '
            "A smaller one, such as a slight smile, is safer."
        )
    elif prompt.intensity is Intensity.EXTREME and image.face_count:
        told.append(
            "Extreme motion is asked for and there is a face; faces distort at that strength. "
            'Please try "gentle" or "moderate".'
        )
    return told


def _on_light(image: ImageFeatures) -> list[str]:
    clipped, spread = image.contrast or 0.0, image.spread
    told = []
    if spread is not None and clipped >= HARSH_CLIPPED and spread >= HARSH_SPREAD:
        told.append(
            f"The light is harsh: {clipped:.0%} of the photograph is fully black or white, which tends to "
            "flicker. Softer light, or an edit that brings back the shadows, helps."
        )
    elif (
        spread is not None and spread < FLAT_SPREAD and image.exposure is not None and image.exposure >= DARK
    ):
        told.append(
            f"The light is flat (luma spread {spread:.2f} of 1), so there is little for motion to act on. "
            "Directional light, or a camera move instead of subject motion, helps."
        )
    if image.exposure is not None and image.exposure < DARK:
        told.append(
            f"The photograph is very dark (mean brightness {image.exposure:.0%}); what moves in the dark is "
            "guessed. A brighter exposure helps."
        )
    if "blurred" in image.defects:
        told.append(
            "The photograph is blurred (a second blur hardly changes it), and a clip cannot be sharper than "
            "its first frame. A sharper original helps."
        )
    if "noisy" in image.defects:
        told.append(
            f"The photograph is noisy ({image.noise or 0:.0f} of 255 levels), and noise crawls when a model "
            "moves it. A photograph taken in more light, or one with the noise reduced, helps."
        )
    return told


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
