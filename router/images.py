"""The one door for pictures: bytes of a stranger in, an upright RGB photograph (or a typed refusal) out.

Nothing is decided by file name or content type. The size is read from the header and held against the
limits before a decoder runs. What leaves here carries no metadata: no EXIF, GPS, ICC profile or comment.
"""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image, ImageChops, ImageCms, UnidentifiedImageError

from models.errors import InvalidImage, PayloadTooLarge
from models.types import Size
from router.image_headers import (
    ACCEPTED,
    describe,
    header_size,
    progressive_head,
    sniff,
    webp_is_animated,
)

MIN_SIDE: Final = 32
"""Smallest accepted side in pixels: video models work on 16- or 32-pixel lattices, so less is no picture."""
BACKGROUND: Final = (128, 128, 128)
"""What shows through transparent parts: mid-grey, which neither clips nor leaves a bright or dark fringe."""
LOSSLESS_PIXELS: Final = 512 * 512
"""Up to this area a photograph is kept as PNG (under 1 MB); above it as JPEG."""

_CONTENT_TYPES: Final = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}
# EXIF tag 0x0112 (CIPA DC-008, 4.6.5.1.6): the turn that makes the stored picture upright.
_ORIENTATION: Final = 0x0112
_UPRIGHT: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# What Pillow's parsers raise on damaged files, beside OSError (UnidentifiedImageError is one).
_DAMAGE: Final = (OSError, SyntaxError, ValueError, EOFError, KeyError, IndexError, TypeError, OverflowError,
                  struct.error, zlib.error)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Photograph:
    """An accepted picture: upright, 8-bit RGB (sRGB), one frame, no metadata."""

    image: Image.Image
    width: int
    height: int
    format: str
    """What the upload was: JPEG, PNG or WEBP."""
    sha256: str
    """Of the bytes as they were sent, in hex."""
    notes: tuple[str, ...] = ()
    """What was changed on the way in, for the person."""

    @property
    def size(self) -> Size:
        """Pixels, upright."""
        return Size(self.width, self.height)


def load_photograph(
    data: bytes, *, max_pixels: int, max_bytes: int | None = None, param: str = "input_reference"
) -> Photograph:
    """Decode an upload into a photograph.

    JPEG files with several pictures (MPO, Ultra HDR) count as the first one; animations are refused.

    Args:
        data: the file as it was sent.
        max_pixels: largest width x height; checked on the header, before anything is decoded. Pillow's own
            limit (`Image.MAX_IMAGE_PIXELS`, 89 megapixels) holds too when it is lower.
        max_bytes: largest file; None when the caller has already counted.
        param: the request field that is named in errors.

    Raises:
        PayloadTooLarge: too many bytes or pixels.
        InvalidImage: another format, damaged or truncated, animated, or a side below `MIN_SIDE`.
    """
    if max_bytes is not None and len(data) > max_bytes:
        raise PayloadTooLarge(
            f"{param} has {len(data):,} bytes; at most {max_bytes:,} bytes are accepted.",
            param=param,
            allowed={"max_bytes": max_bytes},
        )
    format_name = _accept_format(data, param)
    _accept_size(header_size(data, format_name), max_pixels, format_name, param)
    if format_name == "WEBP" and webp_is_animated(data):
        raise _animated(format_name, param)
    try:
        opened = Image.open(io.BytesIO(data), formats=(format_name,))
        _accept_size(opened.size, max_pixels, format_name, param)
        frames = int(getattr(opened, "n_frames", 1))
        if frames > 1 and format_name != "JPEG":
            raise _animated(format_name, param)
        opened.load()
        notes: list[str] = []
        if frames > 1:
            notes.append(f"The file holds {frames} pictures; the first one is used.")
        image = _upright(_plain_rgb(opened, notes), _orientation(opened), notes)
    except Image.DecompressionBombError as error:
        raise PayloadTooLarge(
            f"{param} is larger than its header says, beyond {max_pixels / 1e6:g} megapixels.",
            param=param,
            allowed={"max_pixels": max_pixels},
        ) from error
    except UnidentifiedImageError as error:
        raise InvalidImage(
            f"{param} begins like a {format_name} file but cannot be read as one; it is damaged.",
            param=param,
            allowed=list(ACCEPTED),
        ) from error
    except _DAMAGE as error:
        raise InvalidImage(
            f"{param} is a damaged or truncated {format_name} file ({len(data):,} bytes): {error}. "
            "A complete file is needed.",
            param=param,
            allowed=list(ACCEPTED),
        ) from error
    return Photograph(
        image=image,
        width=image.width,
        height=image.height,
        format=format_name,
        sha256=hashlib.sha256(data).hexdigest(),
        notes=tuple(notes),
    )


def load_reduced(data: bytes, *, side: int) -> tuple[Image.Image, Size]:
    """Decode an accepted file as small as the decoder can make it, at least `side` pixels on the long side.

    JPEG only computes the scaled picture (1/2, 1/4 or 1/8), so a 12-megapixel file takes a quarter of the
    time and 1/64 of the memory. Orientation, colour and transparency are treated as in `load_photograph`.
    The limits are not checked again: pass what `load_photograph` accepted.

    Returns:
        The small upright RGB picture, and the upright size of the full one in pixels.

    Raises:
        InvalidImage: not an accepted format, or damaged.
    """
    format_name = _accept_format(data, "image")
    try:
        opened = Image.open(io.BytesIO(data), formats=(format_name,))
        width, height = opened.size
        if format_name == "JPEG":
            longest = max(width, height)
            if longest >= 8 * side:
                opened = Image.open(io.BytesIO(progressive_head(data)), formats=(format_name,))
            opened.draft(None, (max(1, width * side // longest), max(1, height * side // longest)))
        opened.load()
        if format_name != "JPEG":
            factor = max(1, max(width, height) // side)
            small = _plain_rgb(opened, []).reduce(factor)
        else:
            small = _plain_rgb(opened, [])
        orientation = _orientation(opened)
        small = _upright(small, orientation, [])
    except (Image.DecompressionBombError, *_DAMAGE) as error:
        raise InvalidImage(f"image is a damaged {format_name} file: {error}.", param="image") from error
    full = Size(height, width) if orientation >= 5 else Size(width, height)
    return small, full


def encode_photograph(photograph: Photograph) -> bytes:
    """Encode anew, without metadata: the form that is kept in the media store.

    PNG up to `LOSSLESS_PIXELS`, above that JPEG quality 95 without chroma subsampling. `content_type_of`
    tells which.
    """
    buffer = io.BytesIO()
    if photograph.width * photograph.height <= LOSSLESS_PIXELS:
        photograph.image.save(buffer, "PNG", compress_level=4)
    else:
        photograph.image.save(buffer, "JPEG", quality=95, subsampling=0)
    return buffer.getvalue()


def content_type_of(data: bytes) -> str:
    """MIME type by the first bytes; `application/octet-stream` for what the product does not accept."""
    return _CONTENT_TYPES.get(sniff(data) or "", "application/octet-stream")


def _accept_format(data: bytes, param: str) -> str:
    format_name = sniff(data)
    if format_name is not None:
        return format_name
    given = f"looks like {describe(data)}" if data else "is empty"
    raise InvalidImage(
        f"{param} {given}; a photograph must be a JPEG, PNG or WEBP file.",
        param=param,
        allowed=list(ACCEPTED),
    )


def _accept_size(size: tuple[int, int] | None, max_pixels: int, format_name: str, param: str) -> None:
    if size is None:
        raise InvalidImage(
            f"{param} begins like a {format_name} file but its header is damaged or truncated.",
            param=param,
            allowed=list(ACCEPTED),
        )
    width, height = size
    limit = min(max_pixels, Image.MAX_IMAGE_PIXELS or max_pixels)
    if width * height > limit:
        raise PayloadTooLarge(
            f"{param} is {width} x {height} = {width * height / 1e6:.1f} megapixels; "
            f"at most {limit / 1e6:g} megapixels are accepted.",
            param=param,
            allowed={"max_pixels": limit},
        )
    if min(width, height) < MIN_SIDE:
        raise InvalidImage(
            f"{param} is {width} x {height} pixels; each side must have at least {MIN_SIDE} pixels.",
            param=param,
            allowed={"min_side": MIN_SIDE},
        )


def _animated(format_name: str, param: str) -> InvalidImage:
    kind = "APNG" if format_name == "PNG" else format_name
    return InvalidImage(
        f"{param} is an animated {kind} file; send one picture (a still JPEG, PNG or WEBP).",
        param=param,
        allowed=list(ACCEPTED),
    )


def _plain_rgb(opened: Image.Image, notes: list[str]) -> Image.Image:
    """8-bit sRGB without alpha, as a new image that shares nothing with the file."""
    image = opened
    profile = opened.info.get("icc_profile")
    if opened.mode == "CMYK" and "adobe" not in opened.info:
        # Pillow inverts every CMYK JPEG; only files with Adobe's APP14 marker are stored inverted.
        image = ImageChops.invert(opened)
    elif opened.mode == "I" or opened.mode.startswith("I;16"):
        deep = np.asarray(opened).astype(np.uint32)
        image = Image.fromarray(((deep * 255 + 32767) // 65535).clip(0, 255).astype(np.uint8), "L")
        notes.append("The 16-bit picture was reduced to 8 bits.")
    elif opened.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in opened.info:
        image = _flatten(opened.convert("RGBA"), notes)
    if opened.mode == "CMYK":
        notes.append("The CMYK picture was converted to RGB.")
    if profile:
        image = _to_srgb(image, profile, notes)
    plain = image.copy() if image is opened and image.mode == "RGB" else image.convert("RGB")
    plain.info.clear()
    return plain


def _flatten(image: Image.Image, notes: list[str]) -> Image.Image:
    alpha = image.getchannel("A")
    low, _ = alpha.getextrema()
    flat = Image.new("RGB", image.size, BACKGROUND)
    flat.paste(image, mask=alpha)
    if low != 255:
        notes.append("Transparent parts were filled with mid-grey.")
    return flat


def _to_srgb(image: Image.Image, profile: bytes, notes: list[str]) -> Image.Image:
    """Convert through an embedded colour profile; a broken one is told and ignored."""
    source = image if image.mode in ("RGB", "L", "CMYK") else image.convert("RGB")
    try:
        given = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "sRGB" in ImageCms.getProfileDescription(given):
            return image
        converted = ImageCms.profileToProfile(source, given, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        notes.append("The colour profile could not be read; the colours were taken as sRGB.")
        return image
    if converted is None:
        return image
    notes.append("The colours were converted to sRGB.")
    return converted


def _orientation(opened: Image.Image) -> int:
    """EXIF orientation 1-8; 1 when absent or unreadable."""
    try:
        value = opened.getexif().get(_ORIENTATION, 1)
    except _DAMAGE:
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _upright(image: Image.Image, orientation: int, notes: list[str]) -> Image.Image:
    turn = _UPRIGHT.get(orientation)
    if turn is None:
        return image
    notes.append("The picture was turned upright as its EXIF orientation says.")
    return image.transpose(turn)
