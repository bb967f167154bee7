"""What a photograph and a motion prompt ask for, read without a network or a model download."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.types import CameraMove, Intensity
from policies.base import Features, ImageFeatures, PromptFeatures
from policies.render import features_json as decision_features_json
from router.features.advice import advise
from router.features.image import read_image_features
from router.features.prompt import read_prompt
from router.images import Photograph

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["features_from_json", "features_json", "read_features"]


def read_features(
    photograph: Photograph | Image.Image | bytes, prompt: str, *, face_model: Path | None = None
) -> Features:
    """Read photograph and words, and advise on both.

    Args:
        photograph: a loaded photograph, an upright picture, or the bytes of an accepted file (the quickest:
            a JPEG is decoded at reduced scale only).
        prompt: the motion prompt; may be empty.
        face_model: a YuNet ONNX file to find faces with instead of OpenCV's bundled cascades.
    """
    source = photograph.image if isinstance(photograph, Photograph) else photograph
    image = read_image_features(source, face_model=face_model)
    words = read_prompt(prompt)
    return Features(image, words, advise(image, words))


def features_json(features: Features) -> dict[str, Any]:
    """The stored form: what the decision shows, and all that is needed to read it back exactly."""
    shown = decision_features_json(features)
    image = asdict(features.image)
    image["faces"] = [list(face) for face in features.image.faces]
    image["defects"] = list(features.image.defects)
    return {**shown, "image": {**shown["image"], **image}, "advice": list(features.advice)}


def features_from_json(stored: Mapping[str, Any]) -> Features:
    """Read `features_json` back."""
    image = dict(stored["image"])
    image["faces"] = tuple(tuple(face) for face in image["faces"])
    image["defects"] = tuple(image.get("defects", ()))
    prompt = dict(stored["prompt"])
    for name in ("camera", "camera_required", "camera_refused"):
        prompt[name] = tuple(CameraMove(move) for move in prompt.get(name, ()))
    for name in ("subject_motion", "environment_motion", "audio"):
        prompt[name] = tuple(prompt.get(name, ()))
    intensity = prompt["intensity"]
    prompt["intensity"] = None if intensity is None else Intensity[intensity.upper()]
    return Features(ImageFeatures(**image), PromptFeatures(**prompt), tuple(stored.get("advice", ())))
