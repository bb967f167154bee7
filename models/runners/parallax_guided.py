"""Edge-aware smoothing and upsampling: the guided filter, which OpenCV has only in its contrib modules.

He, Sun and Tang, "Guided Image Filtering", ECCV 2010 (grey and colour guides); He and Sun, "Fast Guided
Filter", 2015 (coefficients solved small, applied large).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from models.runners.parallax_cues import FloatMap


def guided_filter(guide: FloatMap, source: FloatMap, *, radius: int, eps: float) -> FloatMap:
    """Smooth `source` along the edges of a grey `guide`.

    Args:
        guide: float32 in [0, 1].
        source: float32 of the same size.
        radius: Half width of the box, in pixels.
        eps: Contrast (squared) of the guide below which it counts as flat.
    """
    guide_mean, source_mean = _mean(guide, radius), _mean(source, radius)
    covariance = _mean(guide * source, radius) - guide_mean * source_mean
    variance = _mean(guide * guide, radius) - guide_mean * guide_mean
    gain = covariance / (variance + eps)
    offset = source_mean - gain * guide_mean
    return np.asarray(_mean(gain, radius) * guide + _mean(offset, radius), np.float32)


def guided_upsample(guide: FloatMap, source: FloatMap, *, radius: int, eps: float) -> FloatMap:
    """Bring a small `source` to the size of a colour `guide` so that its edges fall on the guide's edges.

    Args:
        guide: float32 RGB in [0, 1], height x width x 3.
        source: float32, smaller.
        radius: Half width of the box, in pixels of the small size.
        eps: Contrast (squared) of the guide below which it counts as flat.
    """
    height, width = guide.shape[:2]
    rows, columns = source.shape
    small = np.asarray(cv2.resize(guide, (columns, rows), interpolation=cv2.INTER_AREA), np.float32)
    guide_mean, source_mean = _mean(small, radius), _mean(source, radius)
    covariance = _mean(small * source[..., None], radius) - guide_mean * source_mean[..., None]
    products = (small[..., :, None] * small[..., None, :]).reshape(rows, columns, 9)
    means = (guide_mean[..., :, None] * guide_mean[..., None, :]).reshape(rows, columns, 9)
    # cv2.blur takes any number of channels; nine are the 3 x 3 covariance of the guide.
    spread = (_mean(products, radius) - means).reshape(rows, columns, 3, 3) + eps * np.eye(
        3, dtype=np.float32
    )
    gain = np.linalg.solve(spread, covariance[..., None])[..., 0]
    offset = source_mean - (gain * guide_mean).sum(axis=2)
    coefficients = np.dstack([_mean(gain, radius), _mean(offset, radius)])
    large = np.asarray(cv2.resize(coefficients, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
    return np.asarray((large[..., :3] * guide).sum(axis=2) + large[..., 3], np.float32)


def _mean(values: NDArray[np.floating], radius: int) -> FloatMap:
    return np.asarray(cv2.blur(values.astype(np.float32, copy=False), (2 * radius + 1,) * 2), np.float32)
