"""The door for pictures: what is accepted, what it becomes, what is refused and how it is said."""

from __future__ import annotations

import hashlib
import io
import struct
import subprocess
import sys
import textwrap
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageCms, PngImagePlugin

from models.errors import InvalidImage, PayloadTooLarge
from router.image_headers import header_size, jpeg_segments, progressive_head, sniff
from router.images import MIN_SIDE, content_type_of, encode_photograph, load_photograph, load_reduced

CAP = 40_000_000


def encode(image: Image.Image, format_name: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_name, **options)
    return buffer.getvalue()


def corners(width: int = 96, height: int = 64) -> Image.Image:
    """Red, green, blue and white quarters: any turn or channel mistake shows."""
    picture = Image.new("RGB", (width, height), (255, 255, 255))
    picture.paste((255, 0, 0), (0, 0, width // 2, height // 2))
    picture.paste((0, 255, 0), (width // 2, 0, width, height // 2))
    picture.paste((0, 0, 255), (0, height // 2, width // 2, height))
    return picture


def textured(width: int, height: int) -> Image.Image:
    """Smooth structure with some noise, so that files are neither tiny nor incompressible."""
    y, x = np.mgrid[0:height, 0:width]
    waves = 127 + 60 * np.sin(x / 37) + 50 * np.cos(y / 23)
    noise = np.random.default_rng(7).normal(0, 6, (height, width))
    grey = np.clip(waves + noise, 0, 255)
    return Image.fromarray(np.stack([grey, 255 - grey, grey * 0.6 + 40], axis=2).astype(np.uint8))


def near(actual: object, expected: tuple[int, int, int], tolerance: int = 12) -> bool:
    assert isinstance(actual, tuple)
    return all(abs(int(a) - e) <= tolerance for a, e in zip(actual, expected, strict=True))


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def bomb(side: int = 13_000) -> bytes:
    """A PNG of about 20 kB (1 bit deep) that unpacks to side x side pixels."""
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes((side + 7) // 8 + 1) * side, 9)
    return (
        b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", rows) + png_chunk(b"IEND", b"")
    )


# --- accepted ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP"])
def test_each_format_loads(format_name: str) -> None:
    data = encode(corners(), format_name, **({} if format_name == "PNG" else {"quality": 95}))
    photograph = load_photograph(data, max_pixels=CAP)
    assert (photograph.width, photograph.height, photograph.format) == (96, 64, format_name)
    assert photograph.image.mode == "RGB"
    assert photograph.sha256 == hashlib.sha256(data).hexdigest()
    assert photograph.notes == ()
    assert near(photograph.image.getpixel((10, 10)), (255, 0, 0))
    assert near(photograph.image.getpixel((80, 10)), (0, 255, 0))
    assert header_size(data, format_name) == (96, 64)


@pytest.mark.parametrize("lossless", [True, False])
def test_webp_header_size(lossless: bool) -> None:
    assert header_size(encode(corners(1000, 333), "WEBP", lossless=lossless), "WEBP") == (1000, 333)
    with_alpha = corners(70, 50).convert("RGBA")
    with_alpha.putalpha(100)
    assert header_size(encode(with_alpha, "WEBP", lossless=lossless), "WEBP") == (70, 50)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_and_removed(orientation: int) -> None:
    upright = corners()
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    stored = upright.transpose(Image.Transpose(back[orientation])) if orientation > 1 else upright
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    exif[ExifTags.Base.Make] = "Camera"
    for format_name in ("JPEG", "PNG", "WEBP"):
        photograph = load_photograph(
            encode(stored, format_name, exif=exif, **({} if format_name == "PNG" else {"quality": 95})),
            max_pixels=CAP,
        )
        assert (photograph.width, photograph.height) == (96, 64)
        assert near(photograph.image.getpixel((10, 10)), (255, 0, 0))
        assert near(photograph.image.getpixel((80, 10)), (0, 255, 0))
        assert near(photograph.image.getpixel((10, 50)), (0, 0, 255))
        assert len(photograph.notes) == (orientation > 1)
        assert not photograph.image.getexif()


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_nonsense_orientation_is_ignored(value: int) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = value
    assert load_photograph(encode(corners(), "JPEG", exif=exif), max_pixels=CAP).width == 96


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")
def test_damaged_exif_is_ignored() -> None:
    data = encode(corners(), "JPEG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff garbage")
    assert load_photograph(data, max_pixels=CAP).width == 96


def test_no_metadata_is_kept() -> None:
    secret = "51.4778N 0.0015W"
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", secret)
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription] = secret
    for data in (
        encode(corners(), "PNG", pnginfo=text, exif=exif, dpi=(300, 300)),
        encode(corners(700, 700), "JPEG", comment=secret, exif=exif, dpi=(300, 300)),
    ):
        assert secret.encode() in data
        photograph = load_photograph(data, max_pixels=CAP)
        assert photograph.image.info == {}
        stored = encode_photograph(photograph)
        assert secret.encode() not in stored
        assert b"Exif" not in stored
        assert b"eXIf" not in stored


def test_cmyk_keeps_its_colours() -> None:
    """Adobe stores CMYK inverted; a file without Adobe's marker is not inverted."""
    red = encode(Image.new("CMYK", (64, 64), (0, 255, 255, 0)), "JPEG", quality=95)
    photograph = load_photograph(red, max_pixels=CAP)
    assert near(photograph.image.getpixel((30, 30)), (255, 0, 0))
    assert photograph.notes == ("The CMYK picture was converted to RGB.",)

    start, end = next((s, e) for marker, s, e in jpeg_segments(red) if marker == 0xEE)
    without_marker = red[: start - 4] + red[end:]
    # The same samples, now meant as they are: 255 - (0, 255, 255, 0) = cyan with full black.
    assert near(load_photograph(without_marker, max_pixels=CAP).image.getpixel((30, 30)), (0, 0, 0))


def test_alpha_is_laid_on_grey() -> None:
    picture = Image.new("RGBA", (64, 64), (255, 0, 0, 0))
    picture.paste((0, 0, 255, 255), (32, 0, 64, 64))
    for format_name in ("PNG", "WEBP"):
        options = {"lossless": True} if format_name == "WEBP" else {}
        photograph = load_photograph(encode(picture, format_name, **options), max_pixels=CAP)
        assert photograph.image.getpixel((5, 5)) == (128, 128, 128)
        assert photograph.image.getpixel((50, 5)) == (0, 0, 255)
        assert photograph.notes == ("Transparent parts were filled with mid-grey.",)


def test_opaque_alpha_needs_no_note() -> None:
    assert load_photograph(encode(corners().convert("RGBA"), "PNG"), max_pixels=CAP).notes == ()


def test_palette_with_transparency() -> None:
    picture = Image.new("P", (64, 64), 1)
    picture.putpalette([0, 0, 0, 10, 200, 30])
    picture.paste(0, (0, 0, 32, 64))
    photograph = load_photograph(encode(picture, "PNG", transparency=0), max_pixels=CAP)
    assert photograph.image.getpixel((5, 5)) == (128, 128, 128)
    assert photograph.image.getpixel((50, 5)) == (10, 200, 30)


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    levels = np.full((64, 64), 32768, np.uint16)
    levels[:, 32:] = 65535
    photograph = load_photograph(encode(Image.fromarray(levels), "PNG"), max_pixels=CAP)
    assert photograph.image.getpixel((5, 5)) == (128, 128, 128)
    assert photograph.image.getpixel((50, 5)) == (255, 255, 255)
    assert photograph.notes == ("The 16-bit picture was reduced to 8 bits.",)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P"])
def test_other_modes_become_rgb(mode: str) -> None:
    assert load_photograph(encode(corners().convert(mode), "PNG"), max_pixels=CAP).image.mode == "RGB"


def swapped_profile() -> bytes:
    """Pillow's sRGB profile with the red and green primaries exchanged, under another name."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = int.from_bytes(profile[128:132], "big")
    for index in range(count):
        at = 132 + 12 * index
        name = bytes(profile[at : at + 4])
        profile[at : at + 4] = {b"rXYZ": b"gXYZ", b"gXYZ": b"rXYZ"}.get(name, name)
    return bytes(profile).replace("sRGB".encode("utf-16-be"), "swap".encode("utf-16-be"))


def test_colour_profile_is_applied() -> None:
    photograph = load_photograph(encode(corners(), "PNG", icc_profile=swapped_profile()), max_pixels=CAP)
    assert near(photograph.image.getpixel((10, 10)), (0, 255, 0), 30)
    assert near(photograph.image.getpixel((80, 10)), (255, 0, 0), 30)
    assert photograph.notes == ("The colours were converted to sRGB.",)
    assert b"iCCP" not in encode_photograph(photograph)


def test_srgb_profile_changes_nothing() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    photograph = load_photograph(encode(corners(), "PNG", icc_profile=profile), max_pixels=CAP)
    assert photograph.image.getpixel((10, 10)) == (255, 0, 0)
    assert photograph.notes == ()


def test_broken_profile_is_told_and_ignored() -> None:
    photograph = load_photograph(encode(corners(), "PNG", icc_profile=b"not a profile"), max_pixels=CAP)
    assert photograph.image.getpixel((10, 10)) == (255, 0, 0)
    assert "could not be read" in photograph.notes[0]


def test_jpeg_with_several_pictures_is_its_first() -> None:
    second = Image.new("RGB", (96, 64), (9, 9, 9))
    data = encode(corners(), "MPO", save_all=True, append_images=[second], quality=95)
    photograph = load_photograph(data, max_pixels=CAP)
    assert photograph.format == "JPEG"
    assert near(photograph.image.getpixel((10, 10)), (255, 0, 0))
    assert photograph.notes == ("The file holds 2 pictures; the first one is used.",)


# --- refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format_name", ["PNG", "WEBP"])
def test_animations_are_refused(format_name: str) -> None:
    frames = [Image.new("RGB", (64, 64), (value, 0, 0)) for value in (0, 128, 255)]
    data = encode(frames[0], format_name, save_all=True, append_images=frames[1:], duration=100)
    with pytest.raises(InvalidImage, match="send one picture") as caught:
        load_photograph(data, max_pixels=CAP, param="last_image")
    assert caught.value.param == "last_image"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty"),
        (b"GIF89a" + bytes(30), "a GIF"),
        (b"BM" + bytes(60), "a BMP"),
        (b"II*\x00" + bytes(60), "a TIFF"),
        (b"%PDF-1.7", "a PDF"),
        (b"%!PS-Adobe-3.0 EPSF", "a PostScript"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG"),
        (b"<!DOCTYPE html><html>", "HTML"),
        (bytes(4) + b"ftypheic" + bytes(20), "a HEIC"),
        (bytes(4) + b"ftypavif" + bytes(20), "an AVIF"),
        (bytes(4) + b"ftypisom" + bytes(20), "a video"),
        (b"\x1aE\xdf\xa3" + bytes(20), "a video"),
        (b'{"image": 1}', "JSON"),
        (b"hello", "unknown first bytes"),
    ],
)
def test_other_files_are_named_and_refused(data: bytes, said: str) -> None:
    with pytest.raises(InvalidImage, match="JPEG, PNG or WEBP") as caught:
        load_photograph(data, max_pixels=CAP)
    assert said in caught.value.message
    assert caught.value.param == "input_reference"
    assert caught.value.allowed == ["JPEG", "PNG", "WEBP"]
    assert content_type_of(data) == "application/octet-stream"


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("kept", [0.02, 0.3, 0.6, 0.9])
def test_truncated_files_are_refused(format_name: str, kept: float) -> None:
    data = encode(textured(400, 300), format_name)
    with pytest.raises(InvalidImage) as caught:
        load_photograph(data[: int(len(data) * kept)], max_pixels=CAP)
    assert caught.value.param == "input_reference"


def test_damaged_png_is_refused() -> None:
    data = bytearray(encode(corners(), "PNG"))
    data[40:60] = bytes(20)
    with pytest.raises(InvalidImage):
        load_photograph(bytes(data), max_pixels=CAP)


@pytest.mark.parametrize("size", [(1, 1), (31, 500), (500, 31)])
def test_tiny_pictures_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(InvalidImage, match=f"at least {MIN_SIDE} pixels") as caught:
        load_photograph(encode(Image.new("RGB", size), "PNG"), max_pixels=CAP)
    assert f"{size[0]} x {size[1]}" in caught.value.message


def test_the_smallest_picture_is_accepted() -> None:
    assert load_photograph(encode(Image.new("RGB", (32, 32)), "PNG"), max_pixels=CAP).width == 32


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP"])
def test_too_many_pixels(format_name: str) -> None:
    data = encode(Image.new("RGB", (200, 101)), format_name)
    assert load_photograph(data, max_pixels=20_200).width == 200
    with pytest.raises(PayloadTooLarge, match="200 x 101") as caught:
        load_photograph(data, max_pixels=20_199)
    assert caught.value.allowed == {"max_pixels": 20_199}


def test_too_many_bytes() -> None:
    data = encode(corners(), "PNG")
    with pytest.raises(PayloadTooLarge, match=f"at most {len(data) - 1:,} bytes"):
        load_photograph(data, max_pixels=CAP, max_bytes=len(data) - 1)


def test_pixel_bomb_is_refused_by_its_header() -> None:
    data = bomb()
    assert len(data) < 30_000
    with pytest.raises(PayloadTooLarge, match=r"13000 x 13000 = 169\.0 megapixels"):
        load_photograph(data, max_pixels=CAP)
    with pytest.raises(PayloadTooLarge):
        load_photograph(data, max_pixels=10**12)


def test_webp_bomb_is_refused_by_its_header() -> None:
    data = bytearray(encode(corners().convert("RGBA"), "WEBP"))
    extended = b"VP8X" + struct.pack("<I", 10) + bytes(4) + (16382).to_bytes(3, "little") * 2
    data[12:12] = extended
    data[4:8] = struct.pack("<I", len(data) - 8)
    with pytest.raises(PayloadTooLarge, match="16383 x 16383"):
        load_photograph(bytes(data), max_pixels=CAP)


def test_refusing_a_bomb_takes_no_memory() -> None:
    """In a process of its own: the peak resident memory while refusing stays that of the imports."""
    script = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from models.errors import PayloadTooLarge
        from router.images import load_photograph

        def peak():
            # Not ru_maxrss: that starts at the peak of the parent process.
            lines = Path("/proc/self/status").read_text().splitlines()
            return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))

        data = sys.stdin.buffer.read()
        before = peak()
        for _ in range(3):
            try:
                load_photograph(data, max_pixels=40_000_000)
            except PayloadTooLarge:
                pass
            else:
                sys.exit("not refused")
        refused = peak()
        print(refused // 1024, (refused - before) // 1024)
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", script], input=bomb(), capture_output=True, timeout=120, check=True
    )
    peak, extra = (int(value) for value in done.stdout.split())
    assert peak <= 300
    assert extra <= 20


def test_size_in_the_header_must_be_the_picture() -> None:
    """A second frame header that Pillow would believe is held to the same limits."""
    data = encode(corners(), "JPEG")
    start, end = next((s, e) for marker, s, e in jpeg_segments(data) if marker == 0xC0)
    frame = bytearray(data[start - 4 : end])
    frame[5:9] = struct.pack(">HH", 20_000, 20_000)
    forged = data[:end] + bytes(frame) + data[end:]
    with pytest.raises(PayloadTooLarge, match="larger than its header says"):
        load_photograph(forged, max_pixels=CAP)


# Pillow warns of damaged metadata that it skips, and of sizes that are refused right after.
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::PIL.Image.DecompressionBombWarning")
@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["JPEG", "PNG", "WEBP"]), st.data())
def test_damage_never_escapes_as_another_error(format_name: str, draw: st.DataObject) -> None:
    data = bytearray(encode(corners(), format_name))
    for _ in range(draw.draw(st.integers(1, 8))):
        data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    cut = draw.draw(st.integers(0, len(data)))
    try:
        photograph = load_photograph(bytes(data[:cut]), max_pixels=1_000_000)
    except (InvalidImage, PayloadTooLarge):
        return
    assert photograph.image.mode == "RGB"
    assert photograph.width * photograph.height <= 1_000_000


@given(
    st.binary(max_size=200),
    st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\x00\x00\x00\x00WEBP"]),
)
def test_headers_read_any_bytes(tail: bytes, head: bytes) -> None:
    data = head + tail
    format_name = sniff(data)
    if format_name is not None:
        size = header_size(data, format_name)
        assert size is None or (size[0] >= 0 and size[1] >= 0)
    assert progressive_head(data)[: len(head)] == head[: len(data)]


# --- stored and reduced forms -----------------------------------------------------------------------------


def test_small_photographs_are_kept_without_loss() -> None:
    photograph = load_photograph(encode(textured(300, 200), "PNG"), max_pixels=CAP)
    stored = encode_photograph(photograph)
    assert content_type_of(stored) == "image/png"
    assert Image.open(io.BytesIO(stored)).tobytes() == photograph.image.tobytes()


def test_large_photographs_become_jpeg_without_subsampling() -> None:
    photograph = load_photograph(encode(textured(900, 700), "PNG"), max_pixels=CAP)
    stored = encode_photograph(photograph)
    assert content_type_of(stored) == "image/jpeg"
    again = load_photograph(stored, max_pixels=CAP)
    apart = np.abs(np.asarray(again.image, np.int16) - np.asarray(photograph.image, np.int16))
    assert apart.mean() < 4
    start = next(s for marker, s, _ in jpeg_segments(stored) if marker == 0xC0)
    assert [stored[start + 7 + 3 * index] for index in range(3)] == [0x11] * 3


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("subsampling", [0, 2])
def test_reduced_jpeg_looks_like_the_whole(progressive: bool, subsampling: int) -> None:
    whole = textured(3200, 1600)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    data = encode(whole, "JPEG", quality=90, progressive=progressive, subsampling=subsampling, exif=exif)
    reduced, size = load_reduced(data, side=400)
    assert reduced.size == (200, 400)
    assert (size.width, size.height) == (1600, 3200)
    expected = whole.reduce(8).transpose(Image.Transpose.ROTATE_270)
    apart = np.abs(np.asarray(reduced, np.int16) - np.asarray(expected, np.int16))
    assert apart.mean() < 3


def test_progressive_head_is_a_fraction_of_the_file() -> None:
    data = encode(textured(1600, 1200), "JPEG", quality=90, progressive=True)
    assert len(progressive_head(data)) < 0.6 * len(data)
    baseline = encode(textured(160, 120), "JPEG")
    assert progressive_head(baseline) == baseline


@pytest.mark.parametrize("format_name", ["PNG", "WEBP"])
def test_other_formats_are_reduced_too(format_name: str) -> None:
    reduced, size = load_reduced(encode(textured(1000, 800), format_name), side=400)
    assert reduced.size == (500, 400)
    assert (size.width, size.height) == (1000, 800)


def test_reduced_refuses_what_is_no_picture() -> None:
    with pytest.raises(InvalidImage):
        load_reduced(b"GIF89a", side=400)
    data = encode(textured(800, 600), "PNG")
    with pytest.raises(InvalidImage):
        load_reduced(data[: len(data) // 2], side=400)
