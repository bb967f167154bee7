"""A coarse depth of one photograph from classical monocular cues; no network, nothing learned.

Depth here is *nearness* (inverse depth): 1 is the nearest thing a camera move knows, `FAR` the farthest.
Nearness is linear in the image row for a flat ground (Criminisi, Reid and Zisserman, "Single View
Metrology", IJCV 2000), which is why the ramp below the horizon is straight. The result orders things; it
does not measure them. Limits are described in `docs/parallax.md`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.runners import parallax_cues as cues
from models.runners.parallax_cues import FloatMap
from models.runners.parallax_guided import guided_filter
from models.runners.parallax_subject import Face, Subject, find_subject, saliency

WORKING_SIDE = 256
"""Longest side at which cues are measured: coarse depth needs no more, and GrabCut is the cost."""
FAR = 0.15
"""Nearness of the farthest thing. Not 0: a sky nailed to the frame during a truck looks glued on."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What the camera moves through. Maps are float32 of one size; coordinates are shares of the sides."""

    backdrop: FloatMap
    """Nearness of everything behind the subject, smooth, also where the subject hides it."""
    subject: FloatMap | None
    """Subject mask, 1 inside; None when nothing stands before the rest."""
    subject_nearness: FloatMap | None
    """Nearness of the subject, smooth, meant for the inside of its mask."""
    aim: tuple[float, float]
    """Where the camera looks: face, subject or middle; x and y from the top left, 0-1."""
    aim_nearness: float
    """Nearness of what the camera looks at."""
    cues: tuple[str, ...] = ()
    """Which cues spoke, in words."""

    def edge_nearness(self) -> tuple[float, float]:
        """Smallest and largest nearness of what the photograph's edges cut."""
        low, high = float(self.backdrop.min()), float(self.backdrop.max())
        mask, nearness = self.subject, self.subject_nearness
        # Soft edges reach a little beyond the mask, so "cut" means within three pixels.
        if mask is not None and nearness is not None and mask.sum() > mask[3:-3, 3:-3].sum():
            high = max(high, float(nearness.max()))
        return low, high


def estimate_scene(rgb: NDArray[np.uint8], faces: Sequence[Face] = ()) -> Scene:
    """Estimate the scene of a photograph.

    Args:
        rgb: uint8, height x width x 3.
        faces: Faces as x, y, width, height shares of the picture's sides; they decide the subject.

    Returns:
        A scene with maps of the working size (longest side at most `WORKING_SIDE`).
    """
    small = _working(rgb)
    sky = cues.sky(small)
    grey = cues.lab(small)[..., 0] / 100.0
    horizon = cues.horizon(grey, sky)
    visible = [face for face in faces if face[2] > 0 and face[3] > 0]
    subject = find_subject(small, sky, visible)
    spoken = [f"horizon at {horizon.row:.0%} of the height"] if horizon.confidence > 0.3 else []
    if sky.mean() > 0.04:
        spoken.append("sky or plain backdrop")
    backdrop = _backdrop(small, grey, sky, horizon, subject)
    if subject is None:
        # Nothing to cut out: let what draws the eye rise softly out of the picture instead.
        salient = saliency(small, sky)
        relief = cues.gaussian(salient, 0.06 * max(salient.shape))
        backdrop = np.clip(backdrop + 0.18 * relief, FAR, 1.0).astype(np.float32)
        aim = _aim_of_saliency(salient)
        return Scene(backdrop, None, None, aim, _sample(backdrop, aim), (*spoken, "saliency"))
    nearness = _subject_nearness(subject, backdrop)
    aim = _aim_of_subject(subject)
    spoken.append(f"{len(visible)} face(s)" if subject.faces else "salient subject")
    return Scene(backdrop, subject.mask, nearness, aim, _sample(nearness, aim), tuple(spoken))


def _working(rgb: NDArray[np.uint8]) -> FloatMap:
    height, width = rgb.shape[:2]
    # At least 16 pixels a side, so that every filter has a neighbourhood even in a 1 x 1 photograph.
    scale = WORKING_SIDE / max(height, width)
    size = (max(16, round(width * scale)), max(16, round(height * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(rgb, size, interpolation=method) / np.float32(255.0), np.float32)


def _backdrop(
    rgb: FloatMap, grey: FloatMap, sky: FloatMap, horizon: cues.Horizon, subject: Subject | None
) -> FloatMap:
    """Ground ramp below the horizon, haze-ordered things above it, sky at `FAR`; edge-aware and smooth."""
    height, width = grey.shape
    rows = (np.arange(height, dtype=np.float32)[:, None] + 0.5) / height
    ground = np.clip((rows - horizon.row) / (1.0 - horizon.row), 0.0, 1.0)
    # A close subject usually stands before a wall or a blur: then the ground tells little.
    cut_by_frame = subject is not None and float(subject.mask[-1].mean()) > 0.25
    ground_weight = 0.25 if cut_by_frame else 0.3 + 0.45 * horizon.confidence
    distance = cues.haze(rgb) if horizon.confidence > 0.3 else np.full_like(grey, 0.5)
    standing = FAR + 0.12 * (1.0 - distance)
    nearness = (standing + ground_weight * ground) * (1.0 - sky) + FAR * sky
    if subject is not None:
        # Behind the subject the ramp goes on: only its own pixels must not steer the smoothing.
        guide = np.where(subject.mask > 0.5, float(np.median(grey)), grey).astype(np.float32)
    else:
        guide = grey
    smooth = guided_filter(guide, nearness.astype(np.float32), radius=max(2, width // 20), eps=4e-3)
    return np.clip(cues.gaussian(smooth, 0.012 * max(height, width)), FAR, 1.0).astype(np.float32)


def _subject_nearness(subject: Subject, backdrop: FloatMap) -> FloatMap:
    """One depth for the whole subject, where it meets the ground, with a slight roundness.

    A thing stands upright on the ground it touches, so its lowest pixels give its depth; one that the
    frame cuts is taken as close.
    """
    mask = subject.mask > 0.5
    height = mask.shape[0]
    lowest = np.nonzero(mask.any(axis=1))[0].max()
    foot = backdrop[lowest][mask[lowest]].mean()
    around = float(np.median(backdrop[mask]))
    cut_by_frame = lowest >= height - 2
    base = max(float(foot), around + 0.2, 0.62 if cut_by_frame else 0.5)
    depth = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 3)
    roundness = np.sqrt(depth / max(float(depth.max()), 1.0))
    # 0.06: enough that an orbit turns a body a little, too little to bend a face.
    relief = cues.gaussian((0.06 * roundness).astype(np.float32), 0.03 * max(mask.shape))
    return np.asarray(np.clip(base + relief, FAR, 1.0), np.float32)


def _aim_of_subject(subject: Subject) -> tuple[float, float]:
    if subject.faces:
        x, y, w, h = max(subject.faces, key=lambda face: face[2] * face[3])
        return (float(np.clip(x + w / 2, 0.0, 1.0)), float(np.clip(y + h / 2, 0.0, 1.0)))
    return _centroid(subject.mask)


def _aim_of_saliency(salient: FloatMap) -> tuple[float, float]:
    x, y = _centroid(salient**2)
    # Saliency without a subject is a hint: half way from the middle.
    return (0.5 + 0.5 * (x - 0.5), 0.5 + 0.5 * (y - 0.5))


def _centroid(weight: FloatMap) -> tuple[float, float]:
    total = float(weight.sum())
    if total < 1e-6:
        return (0.5, 0.5)
    height, width = weight.shape
    x = float((weight.sum(axis=0) * (np.arange(width) + 0.5)).sum() / total / width)
    y = float((weight.sum(axis=1) * (np.arange(height) + 0.5)).sum() / total / height)
    return (x, y)


def _sample(values: FloatMap, point: tuple[float, float]) -> float:
    height, width = values.shape
    return float(values[min(height - 1, int(point[1] * height)), min(width - 1, int(point[0] * width))])
