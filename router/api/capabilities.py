"""What a card can be asked for: OpenRouter's names (`supported_*`, `pricing_skus`), then ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, time
from math import gcd
from typing import Any, Literal

from pydantic import BaseModel

from models.card import (
    Card,
    FollowsInput,
    LatticeFrames,
    ListedSeconds,
    ListedSizes,
    Mode,
    Need,
    Offer,
    Price,
)
from models.cost import price_of
from policies.base import Pool
from router.schemas import RESOLUTIONS

Readiness = Literal["warm", "cold", "unhealthy", "absent"]
MAX_LISTED_DURATIONS = 60


class ModeView(BaseModel):
    """One row of joint limits of an offer."""

    name: str
    sizes: list[str] | None
    """Exactly these; None: any size in the area."""
    area: dict[str, Any] | None
    seconds: list[float] | None
    """Exactly these lengths; None: any in the range."""
    min_seconds: float
    max_seconds: float
    fps: list[float]
    interpolate_to: float | None
    max_segments: int
    price: dict[str, Any] | None
    """Its own where it has one, else the offer's; None: not known."""


class OfferView(BaseModel):
    """One way to run the model."""

    id: str
    backend: str
    label: str
    readiness: Readiness
    degrees: list[int]
    price: dict[str, Any] | None
    modes: list[ModeView]


class CapabilityView(BaseModel):
    """One model."""

    id: str
    name: str
    created: int
    description: str
    supported_resolutions: list[str]
    supported_aspect_ratios: list[str] | None
    """None: any within the limits of `offers`."""
    supported_sizes: list[str] | None
    supported_durations: list[float] | None
    supported_frame_images: list[str]
    generate_audio: bool
    driving_video: Need
    """Whether a driving video can (`optional`) or must (`required`) be given."""
    audio: Need
    """The same of a sound that drives the clip."""
    seed: bool
    negative_prompt: bool
    pricing_skus: dict[str, str]
    allowed_passthrough_parameters: list[str]
    camera: dict[str, Any]
    strengths: list[str]
    weaknesses: list[str]
    readiness: Readiness
    offers: list[OfferView]


class CapabilityList(BaseModel):
    """Capabilities of all models."""

    object: Literal["list"] = "list"
    data: list[CapabilityView]


def readiness(pools: Sequence[Pool]) -> Readiness:
    """The best of what the pools can do now."""
    healthy = [pool for pool in pools if pool.healthy]
    if any(pool.replicas > 0 for pool in healthy):
        return "warm"
    if healthy:
        return "cold"
    return "unhealthy" if pools else "absent"


def created(card: Card) -> int:
    """OpenAI's `created`: the day when the card was last checked, as Unix seconds."""
    return int(datetime.combine(card.checked_at, time(), UTC).timestamp())


def capability_view(card: Card, pools: Sequence[Pool]) -> CapabilityView:
    """What a card can be asked for."""
    own = [pool for pool in pools if pool.model == card.id]
    modes = [mode for offer in card.offers for mode in offer.modes]
    listed = _listed_sizes(modes)
    controls = card.controls
    frames = ["first_frame"] + (["last_frame"] if controls.last_image != "none" else [])
    return CapabilityView(
        id=card.id,
        name=card.title,
        created=created(card),
        description=card.summary,
        supported_resolutions=_resolutions(modes),
        supported_aspect_ratios=_ratios(listed) if listed is not None else None,
        supported_sizes=[f"{width}x{height}" for width, height in listed] if listed is not None else None,
        supported_durations=_all_durations(modes),
        supported_frame_images=frames,
        generate_audio=controls.audio_out != "none",
        driving_video=controls.driving_video,
        audio=controls.audio_in,
        seed=controls.seed,
        negative_prompt=controls.negative_prompt,
        pricing_skus=_skus(card),
        allowed_passthrough_parameters=[],
        camera={
            "kind": controls.camera.kind,
            "explicit": controls.camera.explicit,
            "moves": [move.value for move in controls.camera.moves],
            "max_moves": controls.camera.max_moves,
        },
        strengths=[strength.tag for strength in card.strengths if strength.weight > 0],
        weaknesses=list(card.weaknesses),
        readiness=readiness(own),
        offers=[_offer(offer, own) for offer in card.offers],
    )


def _offer(offer: Offer, pools: Sequence[Pool]) -> OfferView:
    return OfferView(
        id=offer.id,
        backend=offer.backend,
        label=offer.label,
        readiness=readiness([pool for pool in pools if pool.offer == offer.id]),
        degrees=list(offer.degrees),
        price=_price(offer.price),
        modes=[_mode(offer, mode) for mode in offer.modes],
    )


def _price(price: Price | Literal["unknown"] | None) -> Mapping[str, Any] | None:
    return None if price is None or price == "unknown" else price.model_dump(mode="json")


def _mode(offer: Offer, mode: Mode) -> ModeView:
    sizes = mode.sizes
    low, high = _range(mode)
    return ModeView(
        name=mode.name,
        sizes=[f"{w}x{h}" for w, h in sizes.sizes] if isinstance(sizes, ListedSizes) else None,
        area=None if isinstance(sizes, ListedSizes) else sizes.model_dump(exclude={"kind"}),
        seconds=_durations(mode),
        min_seconds=low,
        max_seconds=high,
        fps=list(mode.rates),
        interpolate_to=mode.interpolate_to,
        max_segments=mode.max_segments,
        price=_price(price_of(offer, mode)),
    )


def _range(mode: Mode) -> tuple[float, float]:
    """Shortest and longest clip in seconds, with chained segments, which share frames, or one longer shot."""
    length, fps = mode.length, mode.rates[0]
    if isinstance(length, LatticeFrames):
        frames = mode.max_segments * (length.max - mode.overlap) + mode.overlap
        if mode.stretch is not None:
            frames = max(frames, mode.stretch.frames)
        return round(length.min / fps, 3), round(frames / fps, 3)
    if isinstance(length, ListedSeconds):
        return min(length.values), max(length.values) * mode.max_segments
    if isinstance(length, FollowsInput):
        return length.min, length.max
    return length.min, length.max * mode.max_segments


def _durations(mode: Mode) -> list[float] | None:
    """Lengths of one segment when they are few, else None."""
    length = mode.length
    if isinstance(length, ListedSeconds):
        return sorted(length.values)
    if isinstance(length, LatticeFrames | FollowsInput):
        return None
    count = int((length.max - length.min) / length.step + 1e-9) + 1
    if count > MAX_LISTED_DURATIONS:
        return None
    return [round(length.min + length.step * index, 3) for index in range(count)]


def _all_durations(modes: Sequence[Mode]) -> list[float] | None:
    found: set[float] = set()
    for mode in modes:
        durations = _durations(mode)
        if durations is None:
            return None
        found.update(durations)
    return sorted(found)


def _listed_sizes(modes: Sequence[Mode]) -> list[tuple[int, int]] | None:
    found: set[tuple[int, int]] = set()
    for mode in modes:
        if not isinstance(mode.sizes, ListedSizes):
            return None
        found.update(mode.sizes.sizes)
    return sorted(found)


def _ratios(sizes: Sequence[tuple[int, int]]) -> list[str]:
    return sorted({f"{w // gcd(w, h)}:{h // gcd(w, h)}" for w, h in sizes})


def _resolutions(modes: Sequence[Mode]) -> list[str]:
    """Named resolutions that some mode reaches: by its short side, or by area at 16:9."""
    reached = []
    for name, short in RESOLUTIONS.items():
        area = short * short * 16 / 9
        for mode in modes:
            sizes = mode.sizes
            if isinstance(sizes, ListedSizes):
                fits = any(min(size) == short for size in sizes.sizes)
            else:
                # Lattices round: 832x480 is every vendor's 480p, though 854x480 is exact.
                fits = sizes.min_pixels * 0.95 <= area <= sizes.pixels * 1.05
            if fits:
                reached.append(name)
                break
    return reached


def _skus(card: Card) -> Mapping[str, str]:
    """Prices as OpenRouter lists them: text in USD by what is counted."""
    skus: dict[str, str] = {}
    for offer in card.offers:
        price = offer.price
        if price is None or price == "unknown":
            continue
        if price.kind == "gpu":
            skus[f"{offer.id}:gpu_second"] = "by GPU type"
        else:
            skus[f"{offer.id}:{price.kind.removeprefix('per_')}"] = f"{price.usd:g}"
    return skus
