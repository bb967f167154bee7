"""Advice on photograph and prompt: what will likely go wrong, by what figure one sees it, what would help."""

from __future__ import annotations

from typing import Final

from models.types import Intensity
from policies.base import ImageFeatures, PromptFeatures
from router.features.vocabulary import EXPRESSIONS

LEAST_WIDTH: Final = 512
GOOD_WIDTH: Final = 1024
"""Widths in pixels below which makers of clips warn, and from which photographs animate well."""
HARSH_CLIPPED: Final = 0.2
HARSH_SPREAD: Final = 0.26
"""Clipped share and luma spread from which light is harsh; of 80 pictures only graphics reached both."""
FLAT_SPREAD: Final = 0.07
"""Luma spread below which light is flat (an even spread over the whole range is 0.29)."""
DARK: Final = 0.1
"""Mean luma below which hardly anything is seen to move."""
BLURRED: Final = 15.0
"""Variance of the Laplacian at the working size; sharp photographs of the evaluation lie above 60."""
COMPETING: Final = 3
"""Motions that compete from here on; two can still be one gesture."""


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
    if prompt.wants_loop:
        told.append(
            "A loop is asked for; most models do not close one. Where the model takes a last frame, giving "
            "the photograph itself as last frame makes the clip return to its start."
        )
    return told


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
    if image.sharpness is not None and image.sharpness < BLURRED:
        told.append(
            f"The photograph is soft (sharpness {image.sharpness:.0f}, sharp ones lie above 60), and a clip "
            "cannot be sharper than its first frame. A sharper original helps."
        )
    return told


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
