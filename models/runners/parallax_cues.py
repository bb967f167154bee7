"""Single-picture depth cues: each is one small measurement with its source, none is trusted alone.

All take RGB as float32 in [0, 1] at the working size of `models.runners.parallax_depth` and return maps
of that size in [0, 1], unless they say otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

FloatMap = NDArray[np.float32]
"""float32, height x width (or height x width x channels)."""


def gaussian(values: FloatMap, sigma: float) -> FloatMap:
    """Blur with mirrored borders; `sigma` in pixels."""
    return np.asarray(cv2.GaussianBlur(values, (0, 0), max(sigma, 0.3)), np.float32)


def lab(rgb: FloatMap) -> FloatMap:
    """CIELAB: L in [0, 100], a and b about [-127, 127]."""
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB), np.float32)


def gradient(grey: FloatMap) -> FloatMap:
    """Length of the luma gradient, per pixel, not normalised (Scharr's kernel sums to 32 over a step)."""
    across = cv2.Scharr(grey, cv2.CV_32F, 1, 0)
    down = cv2.Scharr(grey, cv2.CV_32F, 0, 1)
    return np.asarray(np.hypot(across, down) / 32.0, np.float32)


def stretched(values: FloatMap) -> FloatMap:
    """Scaled so that the 1st and 99th percentiles become 0 and 1; a flat map becomes 0."""
    low, high = np.percentile(values, (1.0, 99.0))
    if high - low < 1e-6:
        return np.zeros_like(values)
    return np.asarray(np.clip((values - low) / (high - low), 0.0, 1.0), np.float32)


def spectral_residual(grey: FloatMap) -> FloatMap:
    """What the smooth part of the log spectrum does not predict stands out.

    Hou and Zhang, "Saliency Detection: A Spectral Residual Approach", CVPR 2007: 64-pixel picture, 3 x 3
    mean of the log amplitude, squared inverse transform, blurred.
    """
    height, width = grey.shape
    small = cv2.resize(grey, (64, 64), interpolation=cv2.INTER_AREA)
    spectrum = np.fft.fft2(small)
    log_amplitude = np.log(np.abs(spectrum) + 1e-8).astype(np.float32)
    residual = log_amplitude - cv2.blur(log_amplitude, (3, 3))
    response = np.abs(np.fft.ifft2(np.exp(residual + 1j * np.angle(spectrum)))) ** 2
    smooth = gaussian(response.astype(np.float32), 2.5)
    return stretched(
        np.asarray(cv2.resize(smooth, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
    )


def border_contrast(lab_map: FloatMap) -> FloatMap:
    """How unlike the picture's border a colour is.

    The boundary prior of Wei et al., "Geodesic Saliency Using Background Priors", ECCV 2012, with each side
    of the frame as one Gaussian in CIELAB (Mahalanobis distance, the smallest of left, right and top; the
    bottom is left out because subjects stand or are cut there).
    """
    height, width = lab_map.shape[:2]
    strip = max(2, round(0.06 * min(height, width)))
    sides = (lab_map[:, :strip], lab_map[:, -strip:], lab_map[:strip])
    nearest = np.full((height, width), np.inf, np.float32)
    for side in sides:
        colours = side.reshape(-1, 3)
        mean = colours.mean(axis=0)
        # 25 = (5 L*a*b* units)^2: below that two colours hardly differ, and it keeps a flat side invertible.
        inverse = np.linalg.inv(np.cov(colours, rowvar=False) + 25.0 * np.eye(3)).astype(np.float32)
        offset = lab_map - mean
        distance = np.sqrt(np.einsum("hwc,cd,hwd->hw", offset, inverse, offset))
        nearest = np.minimum(nearest, distance.astype(np.float32))
    return stretched(gaussian(nearest, 0.01 * width))


def sharp_share(grey: FloatMap) -> FloatMap:
    """How much of the fine detail around a pixel is in focus: fine over coarse contrast, locally averaged.

    The ratio of gradients before and after a known blur falls with defocus (Zhuo and Sim, "Defocus map
    estimation from a single image", Pattern Recognition 2011). Flat places say nothing and stay low.
    """
    scale = max(grey.shape) / 320.0
    fine = np.abs(grey - gaussian(grey, 1.0 * scale))
    coarse = np.abs(gaussian(grey, 1.0 * scale) - gaussian(grey, 4.0 * scale))
    ratio = gaussian(fine, 7.0 * scale) / (gaussian(coarse, 7.0 * scale) + 0.01)
    return stretched(ratio.astype(np.float32))


def haze(rgb: FloatMap) -> FloatMap:
    """How hazy (so, outdoors, how far): the dark channel over the brightest haze.

    He, Sun and Tang, "Single Image Haze Removal Using Dark Channel Prior", CVPR 2009; patch 15 pixels.
    """
    dark = cv2.erode(rgb.min(axis=2), np.ones((15, 15), np.uint8))
    light = float(np.percentile(dark, 99.9))
    if light < 0.05:
        return np.zeros(rgb.shape[:2], np.float32)
    return gaussian(np.clip(dark / light, 0.0, 1.0).astype(np.float32), 4.0)


def sky(rgb: FloatMap) -> FloatMap:
    """Soft mask of sky (or of a plain bright backdrop): smooth blue or bright grey that touches the top.

    Hue and texture rules in the spirit of Hoiem et al., "Automatic Photo Pop-up", SIGGRAPH 2005, which
    learns that sky is blue or bright, smooth and high in the picture.
    """
    height, width = rgb.shape[:2]
    space = lab(rgb)
    light, a, b = space[..., 0], space[..., 1], space[..., 2]
    texture = gaussian(gradient(gaussian(light / 100.0, 1.0)), 3.0)
    blue = (b < -6.0) & (a < 12.0) & (texture < 0.03)
    bright = (light > 60.0) & (np.hypot(a, b) < 16.0) & (texture < 0.012)
    mask = (blue | bright).astype(np.uint8)
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
    touching = set(np.unique(labels[0])) - {0}
    kept = np.zeros((height, width), np.float32)
    for label in touching:
        # 4 % of the picture: smaller patches at the top are gaps between things, not a backdrop.
        if stats[label, cv2.CC_STAT_AREA] > 0.04 * height * width:
            kept[labels == label] = 1.0
    # Clouds and wires are holes in it.
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (max(3, width // 24) | 1,) * 2)
    return np.asarray(cv2.morphologyEx(kept, cv2.MORPH_CLOSE, kernel), np.float32)


@dataclass(frozen=True, slots=True)
class Horizon:
    """Where the ground seems to end: `row` is a share of the height from the top."""

    row: float
    confidence: float
    """0-1: how much the row stands out; a close-up has none."""


def horizon(grey: FloatMap, sky_mask: FloatMap) -> Horizon:
    """The lower edge of the sky, or the row with the most level edges.

    Rows are compared by the vertical gradient that adds up along them (level edges add, texture averages
    out). Only rows between 15 % and 80 % of the height count: outside, an edge is a frame or a floor line.
    """
    height, width = grey.shape
    covered = (sky_mask > 0.5).any(axis=0)
    if covered.mean() > 0.5:
        lowest = height - 1 - np.argmax(sky_mask[::-1] > 0.5, axis=0)
        rows = lowest[covered] / height
        spread = float(np.percentile(rows, 85) - np.percentile(rows, 15))
        return Horizon(
            float(np.clip(np.median(rows), 0.15, 0.8)), float(np.clip(1.0 - 1.5 * spread, 0.2, 1.0))
        )
    smooth = gaussian(grey, max(1.0, width / 160.0))
    level = np.abs(cv2.Scharr(smooth, cv2.CV_32F, 0, 1).mean(axis=1)) / 32.0
    texture = gradient(smooth).mean(axis=1) + 1e-4
    standing = gaussian((level / texture).reshape(-1, 1).astype(np.float32), 1.5).ravel()
    first, last = round(0.15 * height), max(round(0.15 * height) + 1, round(0.8 * height))
    best = first + int(np.argmax(standing[first:last]))
    # A row whose edges are mostly level scores near 1; textured rows score 0.1-0.3.
    confidence = float(np.clip((standing[best] - 0.35) / 0.5, 0.0, 1.0))
    return Horizon(best / height, confidence)
