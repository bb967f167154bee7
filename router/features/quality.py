"""How good a photograph is to start from: noise, blur, black-and-white or toned, and what that speaks of.

Everything is measured at the working size, so that figures compare between photographs: the noise of a sensor
that disappears when the picture is reduced to 400 pixels does no harm to a clip either.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from models.types import Size
from policies.base import Defect

Pixels = NDArray[np.uint8]

LEAST_WIDTH: Final = 512
"""Width in pixels below which makers of clips warn."""
DARK: Final = 0.1
"""Mean luma below which hardly anything is seen to move."""
HARSH_CLIPPED: Final = 0.2
HARSH_SPREAD: Final = 0.26
"""Clipped share and luma spread from which light is harsh; of 80 pictures only graphics reached both."""
FLAT_SPREAD: Final = 0.07
"""Luma spread below which light is flat (an even spread over the whole range is 0.29)."""
NOISY: Final = 8.2
BLURRED: Final = 0.48
"""Noise in levels and blur from which they are told, from the tune half of the labelled pictures: without
noise a texture reaches 7.9 at most, and without blur 0.39 but for drawings that have no edge (0.6)."""

_MASK: Final = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
_BLOCK: Final = 16
_CALM: Final = 0.2
"""The calmest fifth of the blocks shows the noise, the others show what is pictured."""
_REBLUR: Final = 9
"""Pixels of the second blur (Crete et al. use 9)."""
_GREY: Final = 0.03
"""Chroma over mean luma up to which a picture is grey; colour pictures of the tune half have over 0.04."""
_CODED: Final = 0.3
"""Levels of chroma that coding alone leaves in a grey picture."""
_ONE_HUE: Final = 2.0
"""Levels that chroma may stray from one tone: sepia strays by 0.5, colour photographs by 2.6 and more."""


@dataclass(frozen=True, slots=True)
class Quality:
    """Defects that are not of the light."""

    noise: float
    """Standard deviation of the noise, in levels."""
    blur: float
    """0 sharp to 1 blurred, whatever is pictured."""
    monochrome: bool
    toned: bool
    """One warm tone: sepia."""
    faded: bool
    """Neither black nor white is left."""

    @property
    def aged(self) -> float:
        """Evidence of a historic print, 0-1: the tone of old paper, grain, fading."""
        if not self.monochrome:
            return 0.0
        grain = 0.15 * (self.noise >= 3.0)
        return round((0.6 if self.toned else 0.15) + grain + 0.15 * self.faded, 2)


def read_quality(small: Pixels, grey: Pixels) -> Quality:
    """Measure a small colour copy (about 100 pixels) and the grey picture at the working size."""
    # Every second pixel tells the tone as well, in a quarter of the time.
    monochrome, toned = _tone(np.ascontiguousarray(small[::2, ::2]))
    low, high = np.percentile(grey[::4, ::4], (1, 99))
    return Quality(read_noise(grey), read_blur(grey), monochrome, toned, bool(low > 25 and high < 235))


def read_noise(grey: Pixels) -> float:
    """Standard deviation of the noise in the calmest parts, in levels.

    J. Immerkaer, "Fast noise variance estimation", Computer Vision and Image Understanding 64(2), 1996, taken
    block by block.
    """
    height, width = (side // _BLOCK * _BLOCK for side in grey.shape)
    if not height or not width:
        return 0.0
    residue = np.abs(cv2.filter2D(grey, cv2.CV_32F, _MASK))[:height, :width]
    blocks = cv2.resize(residue, (width // _BLOCK, height // _BLOCK), interpolation=cv2.INTER_AREA)
    # Blown-out and black blocks have lost their noise and say nothing.
    means = cv2.resize(grey[:height, :width], blocks.shape[::-1], interpolation=cv2.INTER_AREA)
    told = blocks[(means > 8) & (means < 247)]
    if told.size < 4:
        return 0.0
    return float(np.quantile(told, _CALM) * np.sqrt(np.pi / 2) / 6)


def read_blur(grey: Pixels) -> float:
    """How little a second blur takes away (F. Crete et al., "The blur effect", SPIE 6492, 2007)."""
    levels = grey.astype(np.float32)
    lost = []
    # Every second line across the direction is enough.
    down, along = levels[:, ::2], levels[::2]
    for axis, lines, kernel in ((0, down, (1, _REBLUR)), (1, along, (_REBLUR, 1))):
        steps = np.abs(np.diff(lines, axis=axis))
        softer = np.abs(np.diff(cv2.blur(lines, kernel), axis=axis))
        total = float(steps.sum())
        lost.append(float(np.maximum(0, steps - softer).sum()) / total if total > 0 else 0.0)
    return 1.0 - max(lost)


def _tone(rgb: Pixels) -> tuple[bool, bool]:
    """Whether the picture is grey or of one tone, and whether that tone is a warm one."""
    # Planes, since NumPy adds up along short axes slowly.
    planes = cv2.cvtColor(rgb, cv2.COLOR_RGB2YCrCb).reshape(-1, 3).T.astype(np.float32, order="C")
    luma, chroma = planes[0], planes[1:] - 128
    amount = float(np.sqrt(np.mean(chroma**2, axis=1)).max())
    if amount <= _GREY * float(luma.mean()) + _CODED:
        return True, False
    variance = float(luma.var())
    if variance < 1.0:
        return False, False
    lighter, tone = luma - luma.mean(), chroma.mean(axis=1)
    tinted = chroma - tone[:, None]
    slope = (lighter * tinted).mean(axis=1) / variance
    stray = tinted - lighter * slope[:, None]
    one = float(np.sqrt(np.mean(stray**2, axis=1)).max()) < min(_ONE_HUE, 0.15 * amount)
    red, blue = (float(value) for value in tone)
    warm = red > 2 and blue < -2
    return one and warm, one and warm


def defects_of(
    size: Size, quality: Quality, *, exposure: float, clipped: float, spread: float
) -> tuple[Defect, ...]:
    """What makes the picture hard to animate, the weightiest first."""
    holds: dict[Defect, bool] = {
        "low_resolution": size.width < LEAST_WIDTH,
        "blurred": quality.blur >= BLURRED and quality.noise < NOISY,
        "noisy": quality.noise >= NOISY,
        "dark": exposure < DARK,
        "harsh_light": clipped >= HARSH_CLIPPED and spread >= HARSH_SPREAD,
        "flat_light": spread < FLAT_SPREAD and exposure >= DARK,
    }
    return tuple(defect for defect, held in holds.items() if held)
