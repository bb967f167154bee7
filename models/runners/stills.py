"""The still pictures that go with a clip: a thumbnail and a spritesheet, picked while the frames pass."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from models.errors import EncodeFailed

if TYPE_CHECKING:
    from models.runners.base import Frame
    from models.types import Geometry

THUMBNAIL_SIDE = 512
TILE_SIDE = 256
"""Longest side, in pixels, of the thumbnail and of one picture of the spritesheet; never enlarged."""
TILES = 16
"""Most pictures on a spritesheet: a 4 x 4 grid."""
JPEG_QUALITY = 88


class Stills:
    """Picks and reduces the few frames that thumbnail and spritesheet show, as they pass."""

    def __init__(self, geometry: Geometry) -> None:
        count = min(TILES, geometry.num_frames)
        last = geometry.num_frames - 1
        self._wanted = {round(place * last / max(1, count - 1)) for place in range(count)}
        self._seen: list[Frame] = []

    def wants(self, index: int) -> bool:
        """Whether the frame of that index is one of the chosen."""
        return index in self._wanted

    def see(self, index: int, frame: Frame) -> None:
        """Keep a reduced copy when this frame is one of the chosen."""
        if index in self._wanted:
            self._seen.append(_reduced(frame, THUMBNAIL_SIDE))

    def write(self, thumbnail: Path, spritesheet: Path) -> None:
        """Write both files: the sharpest frame of the middle half, and the grid in reading order."""
        quarter = len(self._seen) // 4
        middle = self._seen[quarter : len(self._seen) - quarter]
        _write_jpeg(thumbnail, max(middle, key=_sharpness))
        tiles = [_reduced(frame, TILE_SIDE) for frame in self._seen]
        columns = int(np.ceil(np.sqrt(len(tiles))))
        height, width = tiles[0].shape[:2]
        sheet = np.zeros((-(-len(tiles) // columns) * height, columns * width, 3), np.uint8)
        for place, tile in enumerate(tiles):
            top, left = place // columns * height, place % columns * width
            sheet[top : top + height, left : left + width] = tile
        _write_jpeg(spritesheet, sheet)


def _reduced(frame: Frame, side: int) -> Frame:
    height, width = frame.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return frame.copy()
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small: Frame = cv2.resize(frame, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
    return small


def _sharpness(frame: Frame) -> float:
    """Variance of the Laplacian."""
    return float(cv2.Laplacian(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), cv2.CV_32F).var())


def _write_jpeg(path: Path, picture: Frame) -> None:
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    done, encoded = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), options)
    if not done:
        raise EncodeFailed(
            f"{path.name} of {picture.shape[1]}x{picture.shape[0]} could not be encoded as JPEG"
        )
    path.write_bytes(encoded.tobytes())
