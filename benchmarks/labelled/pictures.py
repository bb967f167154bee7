"""Labelled pictures: photographs, drawings, groups put together from faces, and variants of all."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from benchmarks.labelled import FOLDER, Split, half_of
from policies.base import Subject

Picture = Image.Image
_EXAMPLES: Final = FOLDER.parents[1] / "examples" / "photographs"
_SIDE: Final = 640

PHOTOGRAPHS: Final[Mapping[str, Subject]] = {
    "portrait": "portrait",
    "hopper": "portrait",
    "cameraman": "portrait",
    "landscape": "landscape",
    "aitzgorri": "landscape",
    "sunset": "landscape",
    "creek": "landscape",
    "pavilion": "landscape",
    "rocket": "landscape",
    "product": "product",
    "coffee": "product",
    "brushes": "other",
    "dahlia": "other",
    "cat": "other",
    "coins": "other",
    "bricks": "other",
    "grass": "other",
    "gravel": "other",
    "galaxies": "other",
    "gradient": "other",
    "dogs": "other",
    "wine": "other",
    "dandelions": "other",
    "clock": "other",
    "retina": "other",
}
_ALREADY: Final = {
    "cameraman": "monochrome", "coins": "monochrome", "bricks": "monochrome", "grass": "monochrome",
    "gravel": "monochrome", "clock": "monochrome",
}  # fmt: skip
"""Photographs that are black-and-white as they are."""


@dataclass(frozen=True, slots=True)
class LabelledPicture:
    """One variant of one source."""

    source: str
    variant: str
    split: Split
    subject: Subject
    defects: frozenset[str]
    """Labels of quality: monochrome, aged, noisy, blurred, low_resolution, dark."""
    image: Picture


def load_pictures(split: Split, variants: Collection[str]) -> Iterator[LabelledPicture]:
    """The variants of every source of a half, the same each time."""
    for source, (subject, image) in sorted(_sources().items()):
        if half_of(source) != split:
            continue
        for variant in variants:
            make, defects = VARIANTS[variant]
            own = {_ALREADY[source]} if source in _ALREADY else set()
            seed = np.random.default_rng([*source.encode(), *variant.encode()])
            yield LabelledPicture(
                source, variant, half_of(source), subject, frozenset(defects | own), make(image, seed)
            )


# --- sources -----------------------------------------------------------------------------------------------


def _sources() -> dict[str, tuple[Subject, Picture]]:
    found: dict[str, tuple[Subject, Picture]] = {
        name: (subject, _photograph(name)) for name, subject in PHOTOGRAPHS.items()
    }
    for number in range(14):
        found[f"scenery-{number}"] = ("landscape", scenery(number))
        found[f"ware-{number}"] = ("product", ware(number))
    for number in range(28):
        found[f"abstract-{number}"] = ("other", abstract(number))
    for number in range(12):
        found[f"people-{number}"] = ("group", people(number))
    for number in range(10):
        found[f"sitter-{number}"] = ("portrait", sitter(number))
    return found


def _photograph(name: str) -> Picture:
    path: Path = FOLDER / "photographs" / f"{name}.jpg"
    image = Image.open(path if path.is_file() else _EXAMPLES / f"{name}.jpg").convert("RGB")
    image.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    return image


def _noise(rng: np.random.Generator, height: int, width: int, *, coarse: int) -> NDArray[np.float64]:
    """Smooth noise, about -1 to 1, with features of width / coarse pixels."""
    small = rng.uniform(-1, 1, (max(2, height * coarse // width), coarse))
    large = Image.fromarray((small * 127 + 128).astype(np.uint8)).resize(
        (width, height), Image.Resampling.BICUBIC
    )
    return np.asarray(large, float) / 127.5 - 1


def scenery(number: int) -> Picture:
    """Sky with clouds, ridges in haze, and rough ground or rippled water."""
    rng = np.random.default_rng(1000 + number)
    width, height = ((640, 427), (640, 480), (480, 640), (640, 360))[number % 4]
    skies = (
        ((70, 120, 200), (190, 215, 240)),
        ((60, 60, 120), (250, 170, 110)),
        ((150, 160, 170), (205, 208, 212)),
    )
    grounds = ((70, 105, 45), (190, 160, 105), (40, 75, 110), (225, 230, 238), (95, 80, 55))
    top, low = (np.array(colour, float) for colour in skies[number % len(skies)])
    ground = np.array(grounds[number % len(grounds)], float)
    horizon = int(height * rng.uniform(0.35, 0.65))
    rows = np.linspace(0, 1, horizon)[:, None, None]
    pixels = np.zeros((height, width, 3))
    pixels[:horizon] = top * (1 - rows) + low * rows
    clouds = np.clip(
        _noise(rng, horizon, width, coarse=9) + 0.4 * _noise(rng, horizon, width, coarse=24), 0, 1
    )
    if number % 3 != 2:
        pixels[:horizon] += (245 - pixels[:horizon]) * 0.7 * clouds[..., None]
    depth = np.linspace(0, 1, height - horizon)[:, None]
    rough = _noise(rng, height - horizon, width, coarse=60) * 14 + rng.normal(0, 9, (height - horizon, width))
    if number % 5 == 2:  # water: ripples lie flat
        rough = np.repeat(rng.normal(0, 16, (height - horizon, width // 16 + 1)), 16, axis=1)[:, :width]
    pixels[horizon:] = ground * (0.8 + 0.4 * depth)[..., None] + rough[..., None]
    for ridge in range(int(rng.integers(0, 4))):
        line = horizon - np.abs(_noise(rng, 2, width, coarse=5 + 3 * ridge)[0]) * height * 0.18
        haze = 0.25 + 0.2 * ridge
        colour = ground * haze * 0.6 + low * (1 - haze)
        for column in range(width):
            pixels[int(line[column]) : horizon, column] = colour + rng.normal(0, 3, 3)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def ware(number: int) -> Picture:
    """A bottle, box, jar, ring or shoe on a plain or shaded ground, with a soft shadow."""
    rng = np.random.default_rng(2000 + number)
    width, height = ((640, 640), (640, 480), (480, 640))[number % 3]
    grounds = (
        (250, 250, 250),
        (235, 232, 226),
        (30, 30, 34),
        (200, 210, 220),
        (244, 220, 210),
        (128, 128, 130),
    )
    ground = np.array(grounds[number % len(grounds)], float)
    fall = np.linspace(1.03, 0.92, height)[:, None, None]
    picture = Image.fromarray(np.clip(ground * fall * np.ones((height, width, 1)), 0, 255).astype(np.uint8))
    colour = tuple(int(value) for value in rng.integers(20, 230, 3))
    dark = tuple(value * 6 // 10 for value in colour)
    bright = tuple(min(255, value + 60) for value in colour)
    x, y = width * (0.5 + rng.uniform(-0.05, 0.05)), height * 0.5
    r = min(width, height) * rng.uniform(0.22, 0.33)
    shadow = Image.new("L", picture.size, 0)
    ImageDraw.Draw(shadow).ellipse((x - r, y + 0.85 * r, x + 1.2 * r, y + 1.15 * r), fill=110)
    picture.paste((20, 20, 20), mask=shadow.filter(ImageFilter.GaussianBlur(14)))
    draw = ImageDraw.Draw(picture)
    kind = number % 5

    def shape(corners: list[tuple[float, float]], fill: tuple[int, ...]) -> None:
        draw.polygon([(x + across * r, y + down * r) for across, down in corners], fill=fill)

    if kind == 0:
        draw.rectangle((x - 0.45 * r, y - 0.4 * r, x + 0.45 * r, y + r), fill=colour)
        draw.rectangle((x - 0.16 * r, y - r, x + 0.16 * r, y - 0.4 * r), fill=dark)
        draw.rectangle((x - 0.45 * r, y, x + 0.45 * r, y + 0.5 * r), fill=bright)
    elif kind == 1:
        shape([(-1, -0.4), (0.2, -0.8), (1, -0.3), (-0.2, 0.1)], bright)
        shape([(-1, -0.4), (-0.2, 0.1), (-0.2, 1), (-1, 0.4)], colour)
        shape([(1, -0.3), (-0.2, 0.1), (-0.2, 1), (1, 0.5)], dark)
    elif kind == 2:
        draw.rounded_rectangle((x - 0.8 * r, y - 0.6 * r, x + 0.8 * r, y + r), r / 4, fill=colour)
        draw.rectangle((x - 0.8 * r, y - r, x + 0.8 * r, y - 0.6 * r), fill=dark)
        draw.rectangle((x - 0.6 * r, y - 0.2 * r, x + 0.6 * r, y + 0.5 * r), fill=(245, 245, 240))
    elif kind == 3:
        draw.ellipse((x - r, y - r, x + r, y + r), fill=colour)
        draw.ellipse((x - 0.7 * r, y - 0.7 * r, x + 0.7 * r, y + 0.7 * r), fill=bright)
        draw.line((x, y, x + 0.4 * r, y - 0.4 * r), fill=dark, width=8)
        draw.line((x, y, x - 0.1 * r, y - 0.6 * r), fill=dark, width=6)
    else:
        shape([(-1, 0.6), (-1, -0.3), (-0.4, -0.3), (0.2, 0.1), (1.1, 0.3), (1.1, 0.6)], colour)
        draw.rectangle((x - r, y + 0.6 * r, x + 1.1 * r, y + 0.8 * r), fill=bright)
    pixels = np.asarray(picture.filter(ImageFilter.GaussianBlur(0.8)), float)
    return Image.fromarray(np.clip(pixels + rng.normal(0, 2.0, pixels.shape), 0, 255).astype(np.uint8))


def abstract(number: int) -> Picture:
    """What is none of the others: stripes, tiles, swirls, a page of text, a chart, an indoor wall."""
    rng = np.random.default_rng(3000 + number)
    width, height = 640, (480, 640, 420)[number % 3]
    kind = number % 7
    y, x = np.mgrid[0:height, 0:width]
    if kind == 0:
        angle = rng.uniform(0, np.pi)
        bands = ((x * np.cos(angle) + y * np.sin(angle)) // 55).astype(int)
        pixels = rng.integers(0, 256, (64, 3))[bands % 64]
    elif kind == 1:
        pixels = rng.integers(0, 256, (12, 16, 3)).repeat(64, 0).repeat(64, 1)[:height, :width]
    elif kind == 2:
        swirl = np.stack([_noise(rng, height, width, coarse=6) for _ in range(3)], axis=-1)
        pixels = np.clip(128 + 130 * swirl, 0, 255)
    elif kind == 3:
        page = Image.new("RGB", (width, height), (247, 245, 238))
        draw = ImageDraw.Draw(page)
        for row in range(40, height - 40, 22):
            at = 40.0
            while at < width - 90:
                word = float(rng.uniform(20, 70))
                draw.rectangle((at, row, at + word, row + 9), fill=(40, 40, 44))
                at += word + 9
        pixels = np.asarray(page)
    elif kind == 4:
        chart = Image.new("RGB", (width, height), (255, 255, 255))
        draw = ImageDraw.Draw(chart)
        for bar in range(9):
            top = height - 60 - int(rng.integers(30, height - 120))
            colour = tuple(int(value) for value in rng.integers(30, 220, 3))
            draw.rectangle((50 + bar * 62, top, 95 + bar * 62, height - 60), fill=colour)
        pixels = np.asarray(chart)
    elif kind == 5:
        room = np.where((y < height * 0.7)[..., None], (222, 214, 200), (120, 85, 60)).astype(float)
        room += rng.normal(0, 4, (height, width, 1))
        picture = Image.fromarray(np.clip(room, 0, 255).astype(np.uint8))
        draw = ImageDraw.Draw(picture)
        for _ in range(6):
            left, top = int(rng.integers(0, width - 150)), int(rng.integers(0, height - 150))
            colour = tuple(int(value) for value in rng.integers(20, 230, 3))
            draw.rectangle(
                (left, top, left + int(rng.integers(50, 150)), top + int(rng.integers(60, 150))), fill=colour
            )
        pixels = np.asarray(picture)
    else:
        pixels = np.clip(rng.normal(125, 50, (height // 4, width // 4, 3)), 0, 255).repeat(4, 0).repeat(4, 1)
    return Image.fromarray(np.asarray(pixels)[:height, :width].astype(np.uint8))


_SITTERS: Final = {"portrait": (115, 0, 340, 215), "hopper": (105, 30, 375, 345)}
"""Head and shoulders of the two photographs with a face, in pixels."""


def _bust(name: str, side: int) -> Picture:
    image = _photograph(name)
    box = _SITTERS[name]
    return image.crop(box).resize((side, round(side * (box[3] - box[1]) / (box[2] - box[0]))))


def people(number: int) -> Picture:
    """Two to four heads side by side, of one size within a factor of 1.3, before a drawn background."""
    rng = np.random.default_rng(4000 + number)
    count = 2 + number % 3
    names = (["portrait"], ["hopper"], ["portrait", "hopper"])[number % 3]
    back = scenery(100 + number) if number % 2 else abstract(7 * number + 5)
    back = back.resize((640, 427))
    pitch = 640 // count
    for place in range(count):
        side = int(pitch * rng.uniform(0.72, 0.92))
        bust = _bust(names[place % len(names)], side)
        if place % 2:
            bust = bust.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        mask = Image.new("L", bust.size, 0)
        ImageDraw.Draw(mask).ellipse((0, 0, bust.width, round(bust.height * 1.2)), fill=255)
        left = place * pitch + int(rng.integers(0, max(1, pitch - side)))
        back.paste(bust, (left, int(rng.integers(60, 160))), mask.filter(ImageFilter.GaussianBlur(3)))
    return back


def sitter(number: int) -> Picture:
    """One head at some size before a drawn background."""
    rng = np.random.default_rng(5000 + number)
    name = ("portrait", "hopper")[number % 2]
    back = scenery(200 + number) if number % 3 else _plain(rng)
    side = int(min(back.size) * (0.35, 0.5, 0.7, 0.9, 0.25)[number % 5])
    bust = _bust(name, side)
    mask = Image.new("L", bust.size, 0)
    ImageDraw.Draw(mask).ellipse((0, 0, bust.width, round(bust.height * 1.2)), fill=255)
    left = int((back.width - side) * rng.uniform(0.2, 0.8))
    back.paste(bust, (left, max(0, back.height - bust.height - 10)), mask.filter(ImageFilter.GaussianBlur(3)))
    return back


def _plain(rng: np.random.Generator) -> Picture:
    """A studio's paper background."""
    tone = rng.integers(90, 235, 3) * np.linspace(1.05, 0.85, 600)[:, None, None] * np.ones((600, 480, 1))
    return Image.fromarray(np.clip(tone + rng.normal(0, 2, tone.shape), 0, 255).astype(np.uint8))


# --- variants ----------------------------------------------------------------------------------------------


def _same(image: Picture, _: np.random.Generator) -> Picture:
    return image


def _mirrored(image: Picture, _: np.random.Generator) -> Picture:
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def _cropped(image: Picture, rng: np.random.Generator) -> Picture:
    width, height = image.size
    cut = [float(rng.uniform(0.0, 0.06)) for _ in range(4)]
    box = (cut[0] * width, cut[1] * height, width * (1 - cut[2]), height * (1 - cut[3]))
    return image.crop(tuple(int(edge) for edge in box)).resize(image.size)  # type: ignore[arg-type]


def _grey(image: Picture, _: np.random.Generator) -> Picture:
    return image.convert("L").convert("RGB")


def _sepia(image: Picture, rng: np.random.Generator) -> Picture:
    grey = np.asarray(image.convert("L"), float)
    grey = 40 + 0.72 * grey + rng.normal(0, 9, grey.shape)
    tone = np.stack([grey * 1.0, grey * 0.86, grey * 0.66], axis=-1)
    return Image.fromarray(np.clip(tone, 0, 255).astype(np.uint8))


def _noisy(image: Picture, rng: np.random.Generator) -> Picture:
    pixels = np.asarray(image, float)
    return Image.fromarray(np.clip(pixels + rng.normal(0, 28, pixels.shape), 0, 255).astype(np.uint8))


def _blurred(image: Picture, _: np.random.Generator) -> Picture:
    return image.filter(ImageFilter.GaussianBlur(7))


def _small(image: Picture, _: np.random.Generator) -> Picture:
    return image.resize((image.width * 2 // 5, image.height * 2 // 5), Image.Resampling.LANCZOS)


def _dark(image: Picture, _: np.random.Generator) -> Picture:
    return Image.fromarray((np.asarray(image, float) * 0.11).astype(np.uint8))


VARIANTS: Final[Mapping[str, tuple[Callable[[Picture, np.random.Generator], Picture], set[str]]]] = {
    "as it is": (_same, set()),
    "mirrored": (_mirrored, set()),
    "cropped": (_cropped, set()),
    "grey": (_grey, {"monochrome"}),
    "sepia": (_sepia, {"monochrome", "aged"}),
    "noisy": (_noisy, {"noisy"}),
    "blurred": (_blurred, {"blurred"}),
    "small": (_small, {"low_resolution"}),
    "dark": (_dark, {"dark"}),
}
