"""Modes: rows of joint limits on size, length and frame rate, with the price of each."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from models.blocks import Block, Sourced, Unknown
from models.requests import Constants, Table


class AreaSizes(Block):
    """Any size on the lattice up to `pixels`, as open models accept."""

    kind: Literal["area"]
    pixels: int = Field(ge=1)
    """Largest area the mode was trained for."""
    min_pixels: int = Field(ge=1)
    multiple: int = Field(ge=1)
    aspect_min: float = Field(default=0.25, gt=0)
    aspect_max: float = Field(default=4.0, gt=0)

    @model_validator(mode="after")
    def _ordered(self) -> AreaSizes:
        if self.min_pixels > self.pixels:
            raise ValueError(f"min_pixels={self.min_pixels} exceeds pixels={self.pixels}")
        if self.aspect_min > self.aspect_max:
            raise ValueError(f"aspect_min={self.aspect_min} exceeds aspect_max={self.aspect_max}")
        return self


class ListedSizes(Block):
    """Exactly these sizes, as APIs accept."""

    kind: Literal["list"]
    sizes: tuple[tuple[PositiveInt, PositiveInt], ...] = Field(min_length=1)


class LatticeFrames(Block):
    """`step * n + offset` frames between `min` and `max`."""

    kind: Literal["lattice"]
    step: int = Field(ge=1)
    offset: int = Field(ge=0)
    min: int = Field(ge=1)
    max: int = Field(ge=1)

    @model_validator(mode="after")
    def _on_lattice(self) -> LatticeFrames:
        for name, value in (("min", self.min), ("max", self.max)):
            if (value - self.offset) % self.step:
                raise ValueError(f"{name}={value} is not {self.step}k+{self.offset}")
        if self.min > self.max:
            raise ValueError("min exceeds max")
        return self


class ListedSeconds(Block):
    """Exactly these durations, at the mode's fps."""

    kind: Literal["seconds"]
    values: tuple[PositiveFloat, ...] = Field(min_length=1)


class RangeSeconds(Block):
    """Durations from `min` to `max` in steps of `step`."""

    kind: Literal["range"]
    min: float = Field(gt=0)
    max: float = Field(gt=0)
    step: float = Field(default=1.0, gt=0)

    @model_validator(mode="after")
    def _ordered(self) -> RangeSeconds:
        if self.min > self.max:
            raise ValueError(f"min={self.min} exceeds max={self.max}")
        return self


class FollowsInput(Block):
    """The clip lasts as long as what drives it, from `min` to `max` seconds."""

    kind: Literal["follows"]
    of: Literal["driving_video", "audio"]
    min: float = Field(gt=0)
    max: float = Field(gt=0)

    @model_validator(mode="after")
    def _ordered(self) -> FollowsInput:
        if self.min > self.max:
            raise ValueError(f"min={self.min} exceeds max={self.max}")
        return self


class PricePerSecond(Sourced):
    """USD per second of delivered clip."""

    kind: Literal["per_second"]
    usd: float = Field(ge=0)
    usd_with_audio: float | None = Field(default=None, ge=0)
    """Where a clip with generated sound is dearer."""


class PricePerClip(Sourced):
    """USD per clip."""

    kind: Literal["per_clip"]
    usd: float = Field(ge=0)
    usd_with_audio: float | None = Field(default=None, ge=0)


class PricePerGpuSecond(Sourced):
    """Priced by the GPU type's hourly rate (see `gpus.yaml`) times GPU-seconds used."""

    kind: Literal["gpu"]


Price = Annotated[PricePerSecond | PricePerClip | PricePerGpuSecond, Field(discriminator="kind")]


class Stretch(Sourced):
    """One shot beyond the frames that the model was trained on, where somebody has made such clips."""

    frames: int = Field(ge=2)
    """The longest."""


class Mode(Sourced):
    """One row of joint limits."""

    name: str
    sizes: Annotated[AreaSizes | ListedSizes, Field(discriminator="kind")]
    length: Annotated[
        LatticeFrames | ListedSeconds | RangeSeconds | FollowsInput, Field(discriminator="kind")
    ]
    fps: Annotated[tuple[PositiveFloat, ...], Field(min_length=1)] | Unknown
    """Frame rates that the model itself makes; the first is its own."""
    price: Price | None = None
    """Price of this mode where it differs from the offer's."""
    max_segments: int = Field(default=1, ge=1)
    """How many native lengths may be chained: each goes on from the last frames of the one before."""
    min_segments: int = Field(default=1, ge=1)
    """Above 1: the row is for chains alone, and clips that fit one segment are another row's."""
    overlap: int = Field(default=1, ge=1)
    """Frames that neighbouring segments share; 1: the last frame becomes the next photograph."""
    stretch: Stretch | None = None
    """Longer shots than `length` says, which then is what the model was trained on."""
    interpolate_to: float | None = Field(default=None, gt=0)
    """Highest fps reached by in-between frames; None: no interpolation."""
    needs: tuple[Literal["last_image", "driving_video", "audio"], ...] = ()
    excludes: tuple[
        Literal[
            "last_image",
            "driving_video",
            "audio",
            "loop",
            "camera",
            "prompt",
            "negative_prompt",
            "seed",
        ],
        ...,
    ] = ()
    """What the model takes, but not in this mode or at this host. `loop`: it closes none here; `camera`: its
    camera interface is missing, and moves are words; `prompt`: no words are read. A negative prompt or a seed
    that is excluded is left out, and no reason to take another model."""
    sends: Constants = Field(default_factory=Table)
    """For hosted offers: constants that select this row at the provider, over those of `offer.request`."""

    @model_validator(mode="after")
    def _coherent(self) -> Mode:
        if self.min_segments > self.max_segments:
            raise ValueError(f"min_segments={self.min_segments} exceeds max_segments={self.max_segments}")
        if self.overlap > 1:
            if self.length.kind != "lattice":
                raise ValueError(f"overlap={self.overlap} needs a length in frames (a lattice)")
            if (self.overlap - self.length.offset) % self.length.step:
                raise ValueError(
                    f"overlap={self.overlap} is not {self.length.step}k+{self.length.offset}, as lengths are"
                )
            if self.length.min < 2 * self.overlap - 1:
                # Each segment must bring more than it repeats, and runners then never shorten the overlap.
                raise ValueError(
                    f"overlap={self.overlap} needs segments of {2 * self.overlap - 1} frames or more; "
                    f"length.min is {self.length.min}"
                )
        if self.stretch is not None:
            if self.length.kind != "lattice":
                raise ValueError("stretch needs a length in frames (a lattice)")
            if self.stretch.frames <= self.length.max:
                raise ValueError(
                    f"stretch.frames={self.stretch.frames} is within length.max={self.length.max}"
                )
            if (self.stretch.frames - self.length.offset) % self.length.step:
                raise ValueError(
                    f"stretch.frames={self.stretch.frames} is not {self.length.step}k+{self.length.offset}"
                )
        both = sorted(set(self.needs) & set(self.excludes))
        if both:
            raise ValueError(f"a mode cannot both need and exclude {both}")
        if self.interpolate_to is not None and self.fps == "unknown":
            raise ValueError("interpolate_to needs a known fps")
        if self.interpolate_to is not None and self.interpolate_to < max(self.rates):
            raise ValueError(
                f"interpolate_to={self.interpolate_to} is below the native {max(self.rates)} fps"
            )
        return self

    @property
    def rates(self) -> tuple[float, ...]:
        """Frame rates; raises `ValueError` on a card whose family prior has not been filled in."""
        if self.fps == "unknown":
            raise ValueError(f"mode {self.name}: fps is unknown; load cards through models.catalog")
        return self.fps


class StretchedMode(Mode):
    """A mode's `stretch` as a row of its own: one shot, longer than what the model was trained on."""

    trained_frames: int
    """Most frames that it was trained on."""


def stretched(mode: Mode) -> StretchedMode | None:
    """The further row of a mode that can be stretched; None of one that cannot."""
    if mode.stretch is None or mode.length.kind != "lattice":
        return None
    length = mode.length.model_copy(
        update={"min": mode.length.max + mode.length.step, "max": mode.stretch.frames}
    )
    fields = dict(mode) | {
        "name": f"{mode.name}-stretched",
        "length": length,
        "max_segments": 1,
        "overlap": 1,
        "stretch": None,
        "source": mode.stretch.source,
        "checked_at": mode.stretch.checked_at,
        "inferred": mode.stretch.inferred,
    }
    return StretchedMode.model_construct(trained_frames=mode.length.max, **fields)
