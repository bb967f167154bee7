"""What a picture file says about itself in its first bytes: format and size, read without decoding.

A decoder may allocate the whole canvas when it opens a file (libwebp's animation decoder does), and Pillow
only warns below 179 megapixels, so both limits are checked here, before any decoder sees the file.
"""

from __future__ import annotations

from collections.abc import Iterator

ACCEPTED = ("JPEG", "PNG", "WEBP")
"""Formats that the product opens; everything else is refused by its first bytes."""

_PNG = b"\x89PNG\r\n\x1a\n"
# Markers of JPEG frames (ITU-T T.81, table B.1): SOF0-SOF15 without DHT (C4), JPG (C8) and DAC (CC).
_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SOS = 0xDA
_EOI = 0xD9
# Markers without a length: TEM and RST0-RST7.
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD8)})


def sniff(data: bytes) -> str | None:
    """Name the accepted format that the magic bytes show, or None.

    The file name and the declared content type play no part: a client chooses those freely.
    """
    if data[:3] == b"\xff\xd8\xff":
        return "JPEG"
    if data[:8] == _PNG:
        return "PNG"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    return None


def describe(data: bytes) -> str:
    """Say in words what a refused file looks like, for the error message."""
    head = data[:64]
    brand = head[8:12]
    if head[4:8] == b"ftyp":
        if brand in (b"heic", b"heix", b"mif1", b"msf1", b"hevc"):
            return "a HEIC picture"
        return "an AVIF picture" if brand in (b"avif", b"avis") else "a video (ISO media file)"
    known = (
        (b"GIF8", "a GIF"),
        (b"BM", "a BMP picture"),
        (b"II*\x00", "a TIFF picture"),
        (b"MM\x00*", "a TIFF picture"),
        (b"\x00\x00\x00\x0cjP", "a JPEG 2000 picture"),
        (b"%PDF", "a PDF document"),
        (b"%!PS", "a PostScript document"),
        (b"PK\x03\x04", "a ZIP archive"),
        (b"\x1aE\xdf\xa3", "a video (Matroska or WebM)"),
        (b"8BPS", "a Photoshop document"),
        (b"{", "JSON text"),
    )
    for magic, name in known:
        if head.startswith(magic):
            return name
    text = head.lstrip().lower()
    if text.startswith((b"<svg", b"<?xml", b"<!doctype", b"<html")):
        return "an SVG, XML or HTML text"
    return "none of these (unknown first bytes)"


def jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Walk the marker segments of a JPEG up to the first scan, the end or the first nonsense.

    Yields:
        (marker, start, end): the marker's second byte; `data[start:end]` is the segment's content, after
        its length field. The first SOS is yielded too, and is the last.
    """
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            return
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if marker in _STANDALONE:
            at += 2
            continue
        if marker == _EOI:
            return
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        end = at + 2 + length
        if length < 2 or end > len(data):
            return
        yield marker, at + 4, end
        if marker == _SOS:
            return
        at = end


def header_size(data: bytes, format_name: str) -> tuple[int, int] | None:
    """Read (width, height) in pixels as stored (not yet turned by EXIF); None when the header is broken.

    Sources: ITU-T T.81 B.2.2 (JPEG frame header), PNG (3rd edition) 11.2.1 (IHDR), RFC 9649 2.5-2.7 (WebP).
    """
    if format_name == "PNG":
        if len(data) < 24 or data[12:16] != b"IHDR":
            return None
        return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    if format_name == "WEBP":
        return _webp_size(data)
    for marker, start, end in jpeg_segments(data):
        if marker in _SOF and end - start >= 6:
            height = int.from_bytes(data[start + 1 : start + 3], "big")
            return int.from_bytes(data[start + 3 : start + 5], "big"), height
    return None


def webp_is_animated(data: bytes) -> bool:
    """True when the extended header (RFC 9649, 2.7) has the animation flag."""
    return data[12:16] == b"VP8X" and len(data) > 20 and bool(data[20] & 0x02)


def _webp_size(data: bytes) -> tuple[int, int] | None:
    if len(data) < 30:
        return None
    chunk = data[12:16]
    if chunk == b"VP8X":
        return (
            int.from_bytes(data[24:27], "little") + 1,
            int.from_bytes(data[27:30], "little") + 1,
        )
    if chunk == b"VP8L" and data[20] == 0x2F:
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, ((bits >> 14) & 0x3FFF) + 1
    if chunk == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        return (
            int.from_bytes(data[26:28], "little") & 0x3FFF,
            int.from_bytes(data[28:30], "little") & 0x3FFF,
        )
    return None


def progressive_head(data: bytes) -> bytes:
    """Cut a progressive JPEG after its first luma detail scan; other files are returned whole.

    A picture at 1/8 scale is made of DC coefficients (one per 8x8 block), which a progressive file stores
    in its first scans (T.81 annex G), so the later ones need not be decoded: several times faster. One AC
    scan of the first component is kept, because libjpeg-turbo blurs the DC values of a file that has none
    (`change_dc` in jdcoefct.c). What is lost is the last bit of the DC values.
    """
    components = 0
    luma = -1
    first_scan = 0
    for marker, start, end in jpeg_segments(data):
        if marker == 0xC2 and end - start >= 7:
            components, luma = data[start + 5], data[start + 6]
        if marker == _SOS:
            first_scan = start - 4
    if not components or not first_scan:
        return data
    with_dc: set[int] = set()
    at = first_scan
    while at + 5 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == _EOI or length < 2:
            break
        if marker != _SOS:
            at += 2 + length
            continue
        selectors = data[at + 5 : at + 5 + 2 * data[at + 4] : 2]
        spectral_start = data[at + 5 + 2 * data[at + 4] : at + 6 + 2 * data[at + 4]]
        at = _next_marker(data, at + 2 + length)
        if at < 0 or not spectral_start:
            break
        if spectral_start == b"\x00":
            with_dc.update(selectors)
        elif luma in selectors and len(with_dc) == components:
            return data[:at] + b"\xff\xd9"
    return data


def _next_marker(data: bytes, at: int) -> int:
    """Position of the next marker in entropy-coded bytes; -1 when there is none."""
    while True:
        at = data.find(b"\xff", at)
        if at < 0 or at + 1 >= len(data):
            return -1
        if data[at + 1] not in (0x00, 0xFF) and data[at + 1] not in _STANDALONE:
            return at
        at += 1 if data[at + 1] == 0xFF else 2
