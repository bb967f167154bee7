"""Which container a file is, by its first bytes; no decoder is needed for that."""

from __future__ import annotations

from typing import Final

HEAD: Final = 16
"""So many first bytes are enough."""


def container_format(head: bytes) -> str | None:
    """FFmpeg's demuxer for a file that begins so; None for anything that is not allowed."""
    if head[4:8] == b"ftyp":
        return "mp4"
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return "matroska"
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        return "wav"
    return {b"fLaC": "flac", b"OggS": "ogg"}.get(head[:4]) or _stream_format(head)


def _stream_format(head: bytes) -> str | None:
    """Formats without a container: eleven or twelve set bits open each frame (ISO/IEC 11172-3, 13818-7)."""
    if head[:3] == b"ID3":
        return "mp3"
    if len(head) < 2 or head[0] != 0xFF:
        return None
    if head[1] & 0xF6 == 0xF0:
        return "aac"
    return "mp3" if head[1] & 0xE0 == 0xE0 else None
