"""Layers: the backdrop, filled in behind the subject, the subject with soft edges, and how they are drawn.

Each layer moves as a rubber sheet by its own smooth nearness, so nothing tears inside a layer; the jump in
depth lies only at the subject's edge, where the filled backdrop shows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.runners.parallax_cues import FloatMap
from models.runners.parallax_depth import Scene
from models.runners.parallax_guided import guided_upsample
from models.runners.parallax_projection import View
from models.types import Size

Picture = NDArray[np.uint8]
"""uint8, height x width x 3 (RGB) or x 4 (RGB premultiplied by alpha, alpha)."""

INPAINT_SIDE = 320
"""Longest side at which colours are inpainted: cost falls with the area, and texture is added apart."""
GRAIN = 24.0
"""Contrast, in levels of 255, up to which detail is texture: wood and concrete, not outlines of things."""
GRID = 4
"""Frame pixels between computed map nodes; the maps are smooth, so between them they are interpolated."""
DEPTH_ROUNDS = 3
"""Fixed-point rounds for the depth at the far end of a pixel's ray: travel times slope is below 1/3."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One sheet: its picture (at source resolution) and its nearness (small, smooth)."""

    picture: Picture
    nearness: FloatMap


@dataclass(frozen=True, slots=True)
class Layers:
    """A photograph taken apart, back to front."""

    backdrop: Layer
    subject: Layer | None


def build_layers(rgb: Picture, scene: Scene) -> Layers:
    """Take a photograph apart along its scene.

    Args:
        rgb: uint8 RGB at source resolution.
        scene: The scene of the same picture, at any size.
    """
    if scene.subject is None or scene.subject_nearness is None:
        return Layers(Layer(rgb, scene.backdrop), None)
    alpha = soft_matte(rgb, scene.subject)
    colours = foreground_colours(rgb, alpha)
    premultiplied = np.dstack([colours * alpha[..., None], alpha * 255.0])
    subject = Layer(np.rint(premultiplied).astype(np.uint8), scene.subject_nearness)
    return Layers(Layer(filled_behind(rgb, alpha), scene.backdrop), subject)


def soft_matte(rgb: Picture, mask: FloatMap) -> FloatMap:
    """The subject's alpha at full resolution: the small mask, its edge moved onto the picture's edges."""
    guide = np.asarray(rgb, np.float32) / np.float32(255.0)
    rough = guided_upsample(guide, mask, radius=max(2, max(mask.shape) // 64), eps=2e-3)
    height, width = rgb.shape[:2]
    plain = np.asarray(cv2.resize(mask, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
    # The guide may only move the edge near where the mask has it; elsewhere the mask is right.
    band = cv2.GaussianBlur(plain, (0, 0), 1.5 * width / mask.shape[1])
    trusted = np.where(band > 0.97, 1.0, np.where(band < 0.03, 0.0, rough))
    # 0.15-0.85 to 0-1: the filter leaves a veil on both sides of an edge.
    return np.clip((trusted - 0.15) / 0.7, 0.0, 1.0).astype(np.float32)


def foreground_colours(rgb: Picture, alpha: FloatMap) -> FloatMap:
    """The subject's own colours at its soft edge, without the backdrop that shines through; 0-255.

    Blurred fusion, two passes (Forte, "Approximate Fast Foreground Colour Estimation", ICIP 2021).
    """
    picture = rgb.astype(np.float32)
    weight = alpha[..., None]
    own, other = picture, picture
    for radius in (max(4, rgb.shape[1] // 24), max(2, rgb.shape[1] // 128)):
        box = (2 * radius + 1, 2 * radius + 1)
        inside = np.asarray(cv2.blur(alpha, box), np.float32)[..., None]
        own_mean = np.asarray(cv2.blur(own * weight, box), np.float32) / (inside + 1e-3)
        other_mean = np.asarray(cv2.blur(other * (1.0 - weight), box), np.float32) / (1.0 - inside + 1e-3)
        own = own_mean + weight * (picture - weight * own_mean - (1.0 - weight) * other_mean)
        own, other = np.clip(own, 0.0, 255.0), other_mean
    return np.asarray(own, np.float32)


def filled_behind(rgb: Picture, alpha: FloatMap) -> Picture:
    """The backdrop with the subject painted out, for the rim that a move uncovers.

    Two parts: colours inpainted small (Telea, "An Image Inpainting Technique Based on the Fast Marching
    Method", 2004), and texture mirrored outwards across the subject's edge, so that wood stays wood.
    """
    width = alpha.shape[1]
    reach = max(3, math.ceil(width / 110)) | 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    hole = cv2.dilate((alpha > 0.02).astype(np.uint8), kernel)
    if hole.all() or not hole.any():
        return rgb
    colours = _inpainted_small(rgb, hole)
    colours = np.asarray(cv2.GaussianBlur(colours, (0, 0), width / 100.0), np.float32)
    texture = _mirrored_texture(rgb.astype(np.float32) - colours, hole)
    soft = cv2.GaussianBlur(hole.astype(np.float32), (0, 0), reach / 4.0)
    soft = np.maximum(soft, alpha)[..., None]
    painted = np.clip(colours + texture, 0.0, 255.0) * soft + rgb * (1.0 - soft)
    return np.asarray(np.rint(painted), np.uint8)


def _inpainted_small(rgb: Picture, hole: NDArray[np.uint8]) -> FloatMap:
    height, width = hole.shape
    scale = min(1.0, INPAINT_SIDE / max(height, width))
    size = (max(8, round(width * scale)), max(8, round(height * scale)))
    shrunk = cv2.resize(hole.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    painted = cv2.inpaint(small, (shrunk > 0.0).astype(np.uint8), 4.0, cv2.INPAINT_TELEA)
    return np.asarray(cv2.resize(painted, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)


def _mirrored_texture(detail: FloatMap, hole: NDArray[np.uint8]) -> FloatMap:
    """For each pixel of the hole, the detail as far outside its nearest edge as it lies inside."""
    height, width = hole.shape
    _, labels = cv2.distanceTransformWithLabels(
        hole, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    rows, columns = np.nonzero(hole == 0)
    row_of = np.zeros(int(labels.max()) + 1, np.float32)
    column_of = np.zeros_like(row_of)
    row_of[labels[rows, columns]] = rows
    column_of[labels[rows, columns]] = columns
    row, column = np.indices((height, width), dtype=np.float32)
    inside = hole > 0
    row = np.where(inside, 2.0 * row_of[labels] - row, row).astype(np.float32)
    column = np.where(inside, 2.0 * column_of[labels] - column, column).astype(np.float32)
    # Detail of the subject itself must not come back through a second edge.
    # Texture, not things: where a strong edge lies beyond, its neighbourhood is left out.
    strong = cv2.GaussianBlur(np.abs(detail).max(axis=2), (0, 0), max(1.0, width / 256.0))
    grain = detail / (1.0 + (strong[..., None] / GRAIN) ** 4)
    outside = grain * (1.0 - hole[..., None].astype(np.float32))
    return np.asarray(
        cv2.remap(outside, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101), np.float32
    )


def draw(layers: Layers, view: View, size: Size) -> Picture:
    """Draw one frame.

    Args:
        layers: What is drawn.
        view: From where.
        size: The frame.

    Returns:
        uint8 RGB of `size`.
    """
    frame = _drawn(layers.backdrop, view, size)
    if layers.subject is None:
        return frame
    subject = _drawn(layers.subject, view, size)
    seen_through = cv2.bitwise_not(cv2.merge([cv2.extractChannel(subject, 3)] * 3))
    behind = cv2.multiply(frame, seen_through, scale=1.0 / 255.0)
    # RGBA2RGB only drops the fourth channel: the colours are premultiplied already.
    return np.asarray(cv2.add(behind, cv2.cvtColor(subject, cv2.COLOR_RGBA2RGB)), np.uint8)


def _drawn(layer: Layer, view: View, size: Size) -> Picture:
    height, width = layer.picture.shape[:2]
    x, y = _grid(size)
    direction = view.direction(x, y)
    px, py = (np.asarray(a, np.float32) for a in direction)
    dx, dy = (np.asarray(a, np.float32) for a in view.parallax(*direction))
    near = _nearness_at(layer.nearness, px, py, size.aspect)
    for _ in range(DEPTH_ROUNDS):
        near = _nearness_at(layer.nearness, px + near * dx, py + near * dy, size.aspect)
    column = (px + near * dx + 0.5) * width - 0.5
    row = ((py + near * dy) * size.aspect + 0.5) * height - 0.5
    return np.asarray(
        cv2.remap(
            layer.picture,
            _full(column, size),
            _full(row, size),
            cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REPLICATE,
        ),
        np.uint8,
    )


def _grid(size: Size) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Node positions every `GRID` pixels with one node beyond each edge, as `_full` expects them."""
    columns, rows = math.ceil(size.width / GRID) + 2, math.ceil(size.height / GRID) + 2
    x = ((np.arange(columns) - 0.5) * GRID - size.width / 2) / size.width
    y = ((np.arange(rows) - 0.5) * GRID - size.height / 2) / size.width
    return np.meshgrid(x, y)


def _full(nodes: FloatMap, size: Size) -> FloatMap:
    """A map at every frame pixel from one at the nodes."""
    rows, columns = nodes.shape
    large = cv2.resize(nodes, (columns * GRID, rows * GRID), interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(large[GRID : GRID + size.height, GRID : GRID + size.width], np.float32)


def _nearness_at(nearness: FloatMap, x: FloatMap, y: FloatMap, aspect: float) -> FloatMap:
    height, width = nearness.shape
    return np.asarray(
        cv2.remap(
            nearness,
            (x + 0.5) * width - 0.5,
            (y * aspect + 0.5) * height - 0.5,
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        ),
        np.float32,
    )
