"""The input schemas of hosted models: what each field takes, what holds together, what clip comes out."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

Kind = Literal["string", "integer", "number", "boolean", "media", "list", "object"]


class Strict(BaseModel):
    """No unknown keys, no changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class FieldSpec(Strict):
    """One field. Limits on media are those of the file behind the URL."""

    type: Kind
    required: bool = False
    default: Any = None
    enum: tuple[Any, ...] = ()
    min: float | None = None
    max: float | None = None
    max_chars: int | None = None
    accepts: Literal["image", "video", "audio"] | None = None
    min_px: int | None = None
    """Least pixels of the short side."""
    max_px: int | None = None
    """Most pixels of the long side."""
    min_aspect: float | None = None
    max_aspect: float | None = None
    max_mb: float | None = None
    min_s: float | None = None
    max_s: float | None = None
    items: FieldSpec | None = None
    min_items: int = 0
    max_items: int | None = None
    fields: dict[str, FieldSpec] = Field(default_factory=dict)
    """Of an object."""


Condition = Literal["present", "absent"] | tuple[Any, ...]


class Rule(Strict):
    """A joint limit: when all of `when` holds, all of `must` and `longest` has to hold."""

    when: dict[str, Condition]
    must: dict[str, Condition] = Field(default_factory=dict)
    longest: dict[str, float] = Field(default_factory=dict)
    """Most seconds of a media field."""
    says: str


class ClipSpec(Strict):
    """What the clip is like, by the values sent (`…_by` names a field)."""

    pixels: int | None = None
    pixels_by: str | None = None
    pixels_of: dict[str, int] = Field(default_factory=dict)
    sizes: dict[str, tuple[int, int]] = Field(default_factory=dict)
    """Exact sizes by the value of `aspect_by`."""
    aspect_by: str | None = None
    """Field with `W:H`, `auto` or nothing; without it the first picture decides."""
    aspects: tuple[str, ...] = ()
    """Where the picture decides: the shapes there are."""
    seconds: float | None = None
    seconds_by: str | None = None
    frames: int | None = None
    frames_by: str | None = None
    frames_of: dict[str, int] = Field(default_factory=dict)
    follows: str | None = None
    """Media field whose playing time it takes."""
    fps: float | None = None
    fps_by: str | None = None
    sound: bool = False
    sound_by: str | None = None


class ModelSpec(Strict):
    """One hosted model."""

    fields: dict[str, FieldSpec]
    rules: tuple[Rule, ...] = ()
    clip: ClipSpec
    community: bool = False
    """Replicate: has no route by its name, only by its version."""
    version_prefix: str = ""
    """Replicate: as much of the newest version's 64 hex digits as is known."""
    older_versions: tuple[str, ...] = ()
    """Replicate: versions before it, which run on."""
    inferred: bool = False


class SchemaFile(Strict):
    """`schemas/<provider>.yaml`. `pixels` and `fields` only hold what the models refer to."""

    source: str
    checked_at: Any
    pixels: dict[str, Any]
    fields: dict[str, Any]
    models: dict[str, ModelSpec]


@cache
def schemas(provider: Literal["replicate", "fal"]) -> Mapping[str, ModelSpec]:
    """All models of a provider by the name that its routes use."""
    text = files("models.providers.fake").joinpath("schemas", f"{provider}.yaml").read_text("utf-8")
    return SchemaFile.model_validate(yaml.safe_load(text)).models
