"""Find what the photograph is of: one foreground mask, or none when the evidence is weak.

Faces or saliency seed GrabCut (Rother, Kolmogorov and Blake, SIGGRAPH 2004) at a small size; the result is
kept only when its outline follows edges of the picture and its inside differs from its surroundings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.runners import parallax_cues as cues
from models.runners.parallax_cues import FloatMap

Face = tuple[float, float, float, float]
"""x, y, width, height as shares of the picture's sides."""

GRABCUT_ROUNDS = 4
MIN_SHARE, MAX_SHARE = 0.015, 0.75
"""Share of the picture a subject may cover: smaller is noise, larger leaves no background to move against."""

MIN_SALIENT_EVIDENCE = 0.65
"""Below this a salient blob stays in the background. Tuned by eye on 19 photographs (those of scikit-image,
scikit-learn and Debian's wallpaper packages): cuts that were wrong, such as part of a cat's face or the snow
beside a bird, measured at most 0.61, good ones at least 0.69."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A foreground mask with the evidence for it."""

    mask: FloatMap
    """1 inside, 0 outside, at the working size."""
    confidence: float
    """0-1."""
    faces: tuple[Face, ...] = ()


def find_subject(rgb: FloatMap, sky: FloatMap, faces: Sequence[Face]) -> Subject | None:
    """The foreground of the picture, or None when nothing clearly stands before the rest.

    Args:
        rgb: float32 RGB in [0, 1] at the working size.
        sky: Soft sky mask of the same size; sky is never subject.
        faces: Faces in the picture; each claims a head and a torso.
    """
    seeds = _face_seeds(rgb.shape[:2], faces) if faces else _salient_seeds(rgb, sky)
    if seeds is None:
        return None
    seeds[(sky > 0.5) & (seeds != cv2.GC_FGD)] = cv2.GC_BGD
    mask = _cut(rgb, seeds)
    if mask is None or (not faces and _is_ground(mask)):
        return None
    confidence = _evidence(rgb, mask)
    # A face is strong evidence by itself; a salient blob must prove itself by its outline.
    if confidence < (0.2 if faces else MIN_SALIENT_EVIDENCE):
        return None
    return Subject(mask, confidence, tuple(faces))


def _face_seeds(shape: tuple[int, ...], faces: Sequence[Face]) -> NDArray[np.uint8]:
    """Head and torso likely, the middle of the face certain, the rest likely not.

    Proportions (head 1.5 face boxes high, shoulders about three face boxes wide) follow the drawing canon of
    seven and a half heads; detectors' boxes reach from brow to chin.
    """
    height, width = shape[:2]
    seeds = np.full((height, width), cv2.GC_PR_BGD, np.uint8)
    for x, y, w, h in faces:
        left, top, fw, fh = x * width, y * height, w * width, h * height
        centre = (round(left + fw / 2), round(top + fh / 2))
        cv2.ellipse(
            seeds,
            (centre[0], round(top + 0.4 * fh)),
            (round(0.75 * fw), round(0.95 * fh)),
            0,
            0,
            360,
            cv2.GC_PR_FGD,
            -1,
        )
        chest = round(top + 2.2 * fh)
        torso = np.array(
            [
                (left + 0.2 * fw, top + fh),
                (left + 0.8 * fw, top + fh),
                (left + 1.9 * fw, chest),
                (left + 2.1 * fw, min(height, top + 7 * fh)),
                (left - 1.1 * fw, min(height, top + 7 * fh)),
                (left - 0.9 * fw, chest),
            ]
        )
        cv2.fillPoly(seeds, [np.rint(torso).astype(np.int32)], cv2.GC_PR_FGD)
    # Two thirds of a corridor around all people stay open; beyond, and above the heads, it is background.
    lefts = min(x - 1.8 * w for x, _, w, _ in faces)
    rights = max(x + 2.8 * w for x, _, w, _ in faces)
    tops = min(y - 0.9 * h for _, y, _, h in faces)
    seeds[:, : max(0, round(lefts * width))] = cv2.GC_BGD
    seeds[:, min(width, round(rights * width)) :] = cv2.GC_BGD
    seeds[: max(0, round(tops * height))] = cv2.GC_BGD
    for x, y, w, h in faces:
        centre = (round((x + w / 2) * width), round((y + h / 2) * height))
        axes = (max(1, round(0.38 * w * width)), max(1, round(0.48 * h * height)))
        cv2.ellipse(seeds, centre, axes, 0, 0, 360, cv2.GC_FGD, -1)
        breast = (centre[0], round((y + 2.3 * h) * height))
        if breast[1] < height:
            cv2.ellipse(seeds, breast, (axes[0], max(1, axes[1])), 0, 0, 360, cv2.GC_FGD, -1)
    return seeds


def saliency(rgb: FloatMap, sky: FloatMap) -> FloatMap:
    """What draws the eye: unlike the border, in focus, unpredicted, near the middle; 0-1."""
    height, width = rgb.shape[:2]
    space = cues.lab(rgb)
    grey = space[..., 0] / 100.0
    rows = (np.arange(height, dtype=np.float32)[:, None] + 0.5) / height
    columns = (np.arange(width, dtype=np.float32)[None, :] + 0.5) / width
    # Photographers centre their subjects: sigma 0.3 of each side, a little below the middle.
    centre = np.exp(-((columns - 0.5) ** 2 + (rows - 0.53) ** 2) / (2 * 0.3**2))
    combined = (
        0.45 * cues.border_contrast(space)
        + 0.3 * cues.sharp_share(grey)
        + 0.25 * cues.gaussian(cues.spectral_residual(grey), 0.02 * width)
    )
    return cues.stretched((combined * (0.25 + 0.75 * centre) * (1.0 - sky)).astype(np.float32))


def _salient_seeds(rgb: FloatMap, sky: FloatMap) -> NDArray[np.uint8] | None:
    salient = saliency(rgb, sky)
    if float(salient.max()) == 0.0:
        return None
    scaled = np.rint(salient * 255.0).astype(np.uint8)
    otsu, _ = cv2.threshold(scaled, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    threshold = otsu / 255.0
    seeds = np.full(salient.shape, cv2.GC_PR_BGD, np.uint8)
    seeds[salient > threshold] = cv2.GC_PR_FGD
    seeds[salient > max(np.percentile(salient, 97.0), threshold)] = cv2.GC_FGD
    seeds[salient < 0.35 * threshold] = cv2.GC_BGD
    if not (seeds == cv2.GC_FGD).any() or not ((seeds == cv2.GC_BGD) | (seeds == cv2.GC_PR_BGD)).any():
        return None
    return seeds


def _cut(rgb: FloatMap, seeds: NDArray[np.uint8]) -> FloatMap | None:
    certain = seeds == cv2.GC_FGD
    labels = seeds.copy()
    background, foreground = np.zeros((1, 65)), np.zeros((1, 65))
    picture = np.rint(rgb[..., ::-1] * 255.0).astype(np.uint8)
    # GrabCut starts its colour mixtures by k-means with OpenCV's generator: the same seed, the same mask.
    cv2.setRNGSeed(0)
    try:
        cv2.grabCut(picture, labels, None, background, foreground, GRABCUT_ROUNDS, cv2.GC_INIT_WITH_MASK)
    except cv2.error:
        # Raised when one side has too few samples (a flat picture): then nothing stands out.
        return None
    mask = ((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)).astype(np.uint8)
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, _disc(max(mask.shape) // 80))
    return _solid(_closed(mask, max(mask.shape) // 24), certain)


def _disc(size: int) -> NDArray[np.uint8]:
    odd = max(3, size | 1)
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (odd, odd)), np.uint8)


def _closed(mask: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Bridge clefts: a shaded side cut off from its object would tear away from it."""
    kernel = _disc(size)
    padded = cv2.copyMakeBorder(mask, size, size, size, size, cv2.BORDER_REPLICATE)
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, kernel)
    return np.asarray(closed[size:-size, size:-size], np.uint8)


def _is_ground(mask: FloatMap) -> bool:
    """A region that leaves the picture on both sides is terrain, not a thing that stands on it."""
    return bool(mask[:, 0].mean() > 0.08 and mask[:, -1].mean() > 0.08)


def _solid(mask: NDArray[np.uint8], certain: NDArray[np.bool_]) -> FloatMap | None:
    """Keep the parts that hold certain pixels and are not crumbs; fill small holes."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
    sizes = {
        label: int(stats[label, cv2.CC_STAT_AREA])
        for label in range(1, count)
        if certain[labels == label].any()
    }
    if not sizes:
        return None
    largest = max(sizes.values())
    kept = np.isin(labels, [label for label, size in sizes.items() if size > 0.1 * largest]).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(1 - kept, connectivity=4)
    for label in range(1, count):
        # Holes below 15 % of the subject are glints and shadows; larger ones are seen through.
        if stats[label, cv2.CC_STAT_AREA] < 0.15 * largest and not _touches_edge(labels == label):
            kept[labels == label] = 1
    share = float(kept.mean())
    return kept.astype(np.float32) if MIN_SHARE <= share <= MAX_SHARE else None


def _touches_edge(region: NDArray[np.bool_]) -> bool:
    return bool(region[0].any() or region[-1].any() or region[:, 0].any() or region[:, -1].any())


def _evidence(rgb: FloatMap, mask: FloatMap) -> float:
    """0-1: does the outline follow edges, and do the two sides of it differ in colour?"""
    width = mask.shape[1]
    space = cues.lab(rgb)
    edges = cues.gradient(cues.gaussian(space[..., 0] / 100.0, 1.0))
    outline = cv2.morphologyEx(mask, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
    outline[[0, -1]] = False
    outline[:, [0, -1]] = False
    if not outline.any():
        return 0.0
    aligned = float(edges[outline].mean() / (edges.mean() + 1e-3))
    reach = max(3, round(0.04 * width)) | 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    inside = (mask > 0.5) & (cv2.erode(mask, kernel) < 0.5)
    outside = (mask < 0.5) & (cv2.dilate(mask, kernel) > 0.5)
    if not inside.any() or not outside.any():
        return 0.0
    apart = _histogram_distance(space[inside], space[outside])
    # Outlines drawn at random measure 1.0 and about 0.3; true ones 1.8 and above, and 0.6 and above.
    return float(
        np.clip((aligned - 1.0) / 1.2, 0.0, 1.0) * 0.5 + np.clip((apart - 0.3) / 0.4, 0.0, 1.0) * 0.5
    )


def _histogram_distance(first: FloatMap, second: FloatMap) -> float:
    """Hellinger distance of two sets of CIELAB colours over 8 x 8 x 8 bins, 0-1."""
    edges = [np.linspace(0, 100, 9), np.linspace(-80, 80, 9), np.linspace(-80, 80, 9)]
    histograms = [np.histogramdd(colours, bins=edges)[0].ravel() for colours in (first, second)]
    p, q = (counts / max(counts.sum(), 1.0) for counts in histograms)
    overlap = float(np.sqrt(p * q).sum())
    return float(np.sqrt(max(0.0, 1.0 - overlap)))
