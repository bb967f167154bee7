"""From the values of an input to the shape of its clip, and from a URL to what is known of the file."""

from __future__ import annotations

import base64
import binascii
import ipaddress
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from models.providers.fake.checking import Checked, MediaRefused
from models.providers.fake.render import Shape, shaped
from models.providers.fake.schema import ClipSpec, ModelSpec
from models.providers.fake.uploads import Facts, Uploads, inspected

WIDE = 16 / 9
UNKNOWN_SECONDS = 5.0
"""Taken for a driving file of which nothing is known."""


def clip_shape(model: ModelSpec, seen: Checked) -> Shape:
    """The shape of the clip that an input without problems asks for."""
    clip, values = model.clip, seen.values
    fps = float(values[clip.fps_by] if clip.fps_by else clip.fps or 24)
    aspect, exact = _aspect(model, seen)
    pixels = clip.pixels or clip.pixels_of[str(values[clip.pixels_by or ""])]
    sound = bool(values.get(clip.sound_by)) if clip.sound_by else clip.sound
    frames = _frames(clip, values)
    seconds = None if frames is not None else _seconds(clip, seen)
    shape = shaped(pixels, aspect, fps, seconds=seconds, frames=frames, sound=sound)
    if exact is not None:
        return Shape(*exact, fps=fps, frames=shape.frames, sound=sound)
    return shape


def _frames(clip: ClipSpec, values: Mapping[str, Any]) -> int | None:
    if clip.frames_by is None:
        return clip.frames
    value = values[clip.frames_by]
    return clip.frames_of[value] if clip.frames_of else int(value)


def _seconds(clip: ClipSpec, seen: Checked) -> float:
    if clip.follows is not None:
        facts = seen.media.get(clip.follows)
        return facts.seconds if facts is not None and facts.seconds else UNKNOWN_SECONDS
    if clip.seconds_by is None:
        return clip.seconds or UNKNOWN_SECONDS
    name, _, part = clip.seconds_by.partition(".")
    if part:  # a list of transitions, each with its own length
        return sum(float(item.get(part, UNKNOWN_SECONDS)) for item in seen.values.get(name) or [{}])
    return float(str(seen.values[name]).removesuffix("s"))


def _aspect(model: ModelSpec, seen: Checked) -> tuple[float, tuple[int, int] | None]:
    """Width by height, and the exact size where the schema lists sizes."""
    clip = model.clip
    said = str(seen.values.get(clip.aspect_by)) if clip.aspect_by else ""
    exact = clip.sizes.get(said)
    width, _, height = said.partition(":")
    if height:
        return int(width) / int(height), exact
    pictured = _pictured(model, seen)
    if clip.aspects:
        shapes = [int(text.split(":")[0]) / int(text.split(":")[1]) for text in clip.aspects]
        return min(shapes, key=lambda shape: abs(shape - pictured)), None
    return pictured, None


def _pictured(model: ModelSpec, seen: Checked) -> float:
    """The shape of the first picture whose size is known."""
    for path, facts in seen.media.items():
        spec = model.fields[path.split(".")[0]]
        picture = spec.items or spec
        if picture.accepts == "image" and facts is not None and facts.width and facts.height:
            return facts.width / facts.height
    return WIDE


class Fetcher:
    """Says what a URL of an input leads to, as a provider's own fetching would."""

    def __init__(self, uploads: Uploads, own: str, *, data_uri_limit: int | None = None) -> None:
        self._uploads = uploads
        self._own = urlsplit(own).netloc
        self._limit = data_uri_limit

    def __call__(self, url: str) -> Facts | None:
        """Facts of an upload or a data URI; None for a public address.

        Raises:
            MediaRefused: it cannot be fetched.
        """
        if url.startswith("data:"):
            return self._inline(url)
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise MediaRefused("is not a URL")
        if parts.netloc == self._own:
            upload = self._uploads.by_url(url)
            if upload is None:
                raise MediaRefused("leads to no uploaded file")
            return upload.facts
        if _private(parts.hostname):
            raise MediaRefused("leads to a private address")
        if parts.scheme != "https":
            raise MediaRefused("is not an https URL")
        return None

    def _inline(self, url: str) -> Facts:
        head, comma, encoded = url.partition(",")
        if not comma or not head.endswith(";base64"):
            raise MediaRefused("is not a base64 data URI")
        if self._limit is not None and len(url) > self._limit:
            raise MediaRefused(f"is a data URI of more than {self._limit} bytes")
        try:
            content = base64.b64decode(encoded, validate=True)
        except binascii.Error as error:
            raise MediaRefused("is not a base64 data URI") from error
        return inspected(content, "inline", head.removeprefix("data:").removesuffix(";base64"))


def _private(host: str) -> bool:
    if host == "localhost" or host.endswith((".localhost", ".local", ".internal")):
        return True
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return False
