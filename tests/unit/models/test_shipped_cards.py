"""What every shipped card must be: sourced, honest about guesses, and true to the facts it cites."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import diffusers
import pytest
from pydantic import BaseModel

from models.card import (
    HOSTED,
    ApiLatency,
    AreaSizes,
    Card,
    LatticeFrames,
    Mode,
    Offer,
    PricePerGpuSecond,
    RangeSeconds,
    Sourced,
)
from models.catalog import Catalog, load_catalog
from models.cost import estimate, price_of, usd
from models.gpus import load_gpus
from models.sharding import degrees
from models.types import CameraMove, ClipPlan, Fit, Framing, Geometry, TaskType

ROOT = Path(__file__).parents[3]
OVERLAY = ROOT / "models" / "overlays" / "local"
CATALOG = load_catalog(OVERLAY, strict=True)
CARDS = list(CATALOG)
OFFERS = [(card, offer) for card in CARDS for offer in card.offers]
LOCAL = [(card, offer) for card, offer in OFFERS if offer.backend == "local"]
API = [(card, offer) for card, offer in OFFERS if offer.backend in HOSTED]
LOCAL_MODES = [(card, offer, mode) for card, offer in LOCAL for mode in offer.modes]


def _name(value: Card | Offer | Mode) -> str:
    return value.name if isinstance(value, Mode) else value.id


each_card = pytest.mark.parametrize("card", CARDS, ids=_name)
each_local_offer = pytest.mark.parametrize(("card", "offer"), LOCAL, ids=_name)
each_hosted_offer = pytest.mark.parametrize(("card", "offer"), API, ids=_name)
each_local_mode = pytest.mark.parametrize(("card", "offer", "mode"), LOCAL_MODES, ids=_name)

NAMED = set(
    """
    wan2.1-i2v-480p wan2.1-i2v-720p wan2.2-i2v-a14b wan2.2-i2v-fast wan2.2-animate wan2.2-ti2v-5b wan2.5-i2v
    wan2.5-i2v-fast wan2.6-i2v wan2.6-i2v-flash wan2.7-i2v kling-v2.1 kling-v2.6 kling-v2.6-motion-control
    kling-v3-video kling-v3-motion-control kling-v3-omni kling-avatar-v2 hailuo-2.3 hailuo-2.3-fast
    video-01-live video-01-director ltx-video ltx-2.3-pro ltx-2.3-fast lightricks-audio-to-video ovi-i2v
    runway-gen4-turbo runway-gen3a-turbo dreamactor-m2.0 luma-ray-2 luma-ray-3.2 pika-2.2 i2vgen-xl pia
    svd svd-xt parallax
    """.split()  # noqa: SIM905 - easier to compare with a list of models
)

# The arena.ai image-to-video board of 16 April 2026: Elo and 95 % half-width.
ARENA = {
    "wan2.2-i2v-a14b": (1169, 9),
    "wan2.5-i2v": (1334, 12),
    "wan2.6-i2v": (1308, 13),
    "kling-v2.1": (1227, 8),
    "kling-v2.6": (1290, 9),
    "kling-v3-video": (1357, 10),
    "hailuo-2.3": (1255, 6),
    "luma-ray-2": (1106, 16),
    "runway-gen4-turbo": (1051, 13),
    "pika-2.2": (995, 13),
}
# Rows of that board whose cards may come: HunyuanVideo 1.5 and LTX-2 19B.
ALSO_ON_IT = {(1195, 15), (1139, 6)}
# VBench-I2V leaderboard, August 2026, Dynamic Degree in percent.
DYNAMIC_DEGREE = {"wan2.2-i2v-a14b": 52.9, "wan2.2-ti2v-5b": 52.9, "svd-xt": 52.4, "i2vgen-xl": 26.1}


def _blocks(model: BaseModel) -> Iterator[BaseModel]:
    yield model
    for name in type(model).model_fields:
        value = getattr(model, name)
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, BaseModel):
                yield from _blocks(part)


def _largest(mode: Mode) -> ClipPlan:
    """The dearest clip of a mode: its whole area, square on the lattice, at full length."""
    assert isinstance(mode.length, LatticeFrames)
    if isinstance(mode.sizes, AreaSizes):
        width = height = int(mode.sizes.pixels**0.5) // mode.sizes.multiple * mode.sizes.multiple
    else:
        width, height = max(mode.sizes.sizes, key=lambda size: size[0] * size[1])
    shape = Geometry(width, height, mode.length.max, mode.rates[0])
    return ClipPlan(effective=shape, native=shape, framing=Framing(Fit.EXACT, 1.0, 1.0))


def test_every_named_model_has_its_card(catalog: Catalog) -> None:
    assert set(catalog.cards) >= NAMED
    assert set(CATALOG.cards) - set(catalog.cards) == {"tiny-wan-i2v"}


@each_card
def test_sources_are_public_and_dated(card: Card) -> None:
    for block in _blocks(card):
        if isinstance(block, Sourced):
            assert date(2026, 1, 1) <= block.checked_at <= date(2026, 11, 21)
            assert not re.search(
                r"/work|/tmp|shared/|reference/|\bseeds\b|issue|session", block.source, re.I
            ), block
            if re.search(r"our choice|\btaken |a guess|third.party", block.source):
                assert block.inferred, f"{type(block).__name__}: {block.source}"


@each_card
def test_quality_is_measured_or_wide(card: Card) -> None:
    quality = card.quality
    elo, sd = quality.rating
    if card.id in ARENA:
        assert not quality.inferred
    if quality.inferred:
        assert sd >= 60
    else:
        rows = {ARENA[card.id]} if card.id in ARENA else ALSO_ON_IT
        assert any(elo == rated and sd == pytest.approx(half / 1.96, abs=0.05) for rated, half in rows)
    if card.id in DYNAMIC_DEGREE:
        assert quality.dynamic_degree == pytest.approx(DYNAMIC_DEGREE[card.id] / 100)


@each_card
def test_strengths_are_weak_and_said_once(card: Card) -> None:
    tags = [strength.tag for strength in card.strengths]
    assert len(set(tags)) == len(tags)
    for strength in card.strengths:
        assert strength.inferred or card.makes == "rendered"


@each_card
def test_weights_are_never_pinned_to_an_invented_commit(card: Card) -> None:
    assert card.weights.revision is None
    if card.weights.pipeline is not None:
        assert issubclass(getattr(diffusers, card.weights.pipeline), diffusers.DiffusionPipeline)


@each_local_offer
def test_what_runs_here_says_what_it_is_made_of(card: Card, offer: Offer) -> None:
    assert offer.runner in {"diffusers", "parallax"}
    assert (offer.runner == "parallax") == (card.makes == "rendered")
    if card.makes == "rendered" or card.id == "tiny-wan-i2v":
        return
    assert card.weights.hub_id is not None
    assert card.weights.bytes is not None
    assert card.cost is not None
    assert card.cost.transformer is not None
    shape = card.cost.transformer
    # All components at two bytes or more, so never less than the denoiser alone.
    assert card.weights.bytes > 2 * shape.params * shape.experts


@each_local_offer
def test_degrees_are_those_that_the_network_can_be_shared_by(card: Card, offer: Offer) -> None:
    assert card.cost is not None
    shape = card.cost.transformer
    if shape is None or offer.sampling is None:
        assert offer.degrees == (1,)
        return
    assert offer.degrees == degrees(shape, offer.sampling.passes_per_step)


@each_local_mode
def test_lattices_are_those_of_the_network(card: Card, offer: Offer, mode: Mode) -> None:
    assert card.cost is not None
    shape = card.cost.transformer
    sides = mode.sizes
    if isinstance(sides, AreaSizes):
        assert sides.multiple % 2 == 0, "H.264 in 4:2:0 needs even sides"
    if shape is None:
        return
    cell = shape.spatial_compression * (1 if shape.kind == "unet" else shape.patch)
    if isinstance(sides, AreaSizes):
        assert sides.multiple % cell == 0
    else:
        assert all(side % cell == 0 for size in sides.sizes for side in size)
    if isinstance(mode.length, LatticeFrames) and shape.kind in {"wan", "ltx"}:
        assert (mode.length.step, mode.length.offset) == (shape.temporal_compression, 1)


@pytest.mark.parametrize(
    ("card", "offer", "mode"),
    [row for row in LOCAL_MODES if isinstance(row[2].length, LatticeFrames)],
    ids=_name,
)
def test_the_largest_clip_fits_its_default_gpu(card: Card, offer: Offer, mode: Mode) -> None:
    assert offer.default_gpu is not None
    gpu = load_gpus()[offer.default_gpu]
    plan = _largest(mode)
    made = estimate(card, offer, plan, gpu, 1)
    assert made.fits, f"{made.memory_bytes / 1e9:.1f} GB on {gpu.key}"
    price = usd(price_of(offer, mode), plan, made, gpu)
    assert isinstance(offer.price, PricePerGpuSecond)
    assert price is not None
    assert price > 0


@each_hosted_offer
def test_what_runs_elsewhere_says_how_it_is_called(card: Card, offer: Offer) -> None:
    assert offer.ref
    assert isinstance(offer.latency, ApiLatency)
    # Nobody has published more than single runs.
    assert offer.latency.inferred
    assert offer.latency.p95 >= 1.5 * offer.latency.p50
    if offer.backend == "replicate":
        assert re.fullmatch(r"[a-z0-9-]+/[a-z0-9._-]+", offer.ref)
    if offer.backend == "fal":
        assert re.match(r"(fal-ai|wan|luma)/", offer.ref)
    for mode in offer.modes:
        if isinstance(mode.sizes, AreaSizes) and card.family in {"wan", "kling", "hailuo"}:
            # A tier is one area in many shapes, not a range of areas.
            assert mode.sizes.min_pixels >= 0.9 * mode.sizes.pixels


def _modes(card_id: str, backend: str) -> dict[str, Mode]:
    offers = CATALOG.get(card_id).offers
    return {mode.name: mode for offer in offers if offer.backend == backend for mode in offer.modes}


@pytest.mark.parametrize(
    ("card_id", "backend", "tier", "silent", "sounding"),
    [
        ("wan2.1-i2v-480p", "fal", "480p", 0.20, None),
        ("wan2.1-i2v-720p", "fal", "720p-long", 0.50, None),
        ("wan2.2-i2v-a14b", "fal", "580p", 0.06, None),
        ("wan2.2-i2v-fast", "replicate", "480p", 0.05, None),
        ("wan2.2-animate", "fal", "720p", 0.08, None),
        ("wan2.5-i2v", "fal", "1080p", 0.15, None),
        ("wan2.6-i2v", "replicate", "720p", 0.10, None),
        ("wan2.6-i2v-flash", "fal", "1080p", 0.075, None),
        ("wan2.7-i2v", "replicate", "1080p", 0.15, None),
        ("kling-v2.6", "replicate", "1080p", 0.07, 0.14),
        ("kling-v2.6-motion-control", "fal", "1080p-as-photo", 0.112, None),
        ("kling-v3-video", "fal", "720p", 0.084, 0.126),
        ("kling-v3-video", "replicate", "1080p", 0.224, 0.336),
        ("kling-v3-video", "vendor", "4k", 0.42, None),
        ("kling-v3-motion-control", "fal", "720p-as-video", 0.126, None),
        ("kling-v3-omni", "fal", "1080p", 0.112, 0.14),
        ("kling-avatar-v2", "fal", "720p", 0.0562, None),
    ],
)
def test_prices_by_tier(card_id: str, backend: str, tier: str, silent: float, sounding: float | None) -> None:
    card = CATALOG.get(card_id)
    offer = next(o for o in card.offers if o.backend == backend and tier in {m.name for m in o.modes})
    price = price_of(offer, _modes(card_id, backend)[tier])
    assert price is not None
    assert not isinstance(price, PricePerGpuSecond)
    assert (price.usd, price.usd_with_audio) == (silent, sounding)


@pytest.mark.parametrize(
    ("card_id", "backend", "offer"),
    [
        ("wan2.2-i2v-a14b", "replicate", "replicate"),
        ("wan2.2-animate", "replicate", "replicate"),
        ("wan2.5-i2v-fast", "replicate", "replicate"),
        ("kling-v2.6-motion-control", "replicate", "replicate"),
        ("kling-v3-omni", "replicate", "replicate"),
    ],
)
def test_prices_that_nobody_published_are_unknown(card_id: str, backend: str, offer: str) -> None:
    found = CATALOG.get(card_id).offer(offer)
    assert found.backend == backend
    assert {price_of(found, mode) for mode in found.modes} == {None}


def test_lengths_by_generation() -> None:
    def values(card_id: str, tier: str = "720p") -> object:
        length = _modes(card_id, "fal")[tier].length
        if isinstance(length, RangeSeconds):
            return (length.min, length.max, length.step)
        return getattr(length, "values", length)

    assert values("wan2.5-i2v") == (5, 10)
    assert values("wan2.6-i2v") == values("wan2.6-i2v-flash") == (5, 10, 15)
    assert values("wan2.7-i2v") == (2, 15, 1)
    assert values("kling-v2.6", "1080p") == (5, 10)
    assert values("kling-v3-video") == values("kling-v3-omni") == (3, 15, 1)


def test_motion_control_takes_a_video_and_a_body_and_no_trajectory() -> None:
    for card_id in ("kling-v2.6-motion-control", "kling-v3-motion-control", "wan2.2-animate"):
        controls = CATALOG.get(card_id).controls
        assert (controls.driving_video, controls.camera.kind) == ("required", "video")
        assert not controls.camera.explicit
        assert not controls.region_mask
        assert "human_body" in controls.preconditions
    most = {m.name: m.length.max for m in _modes("kling-v3-motion-control", "replicate").values()}  # type: ignore[union-attr]
    assert most == {"720p-as-photo": 10, "720p-as-video": 30, "1080p-as-photo": 10, "1080p-as-video": 30}


def test_only_some_offers_take_a_last_image() -> None:
    taking = {
        f"{card.id}/{offer.id}"
        for card, offer in API
        if card.family in {"wan", "kling"}
        and card.controls.last_image != "none"
        and any("last_image" not in mode.excludes for mode in offer.modes)
    }
    assert taking == {
        "wan2.2-i2v-a14b/fal",
        "wan2.2-i2v-fast/fal",
        "wan2.2-i2v-fast/replicate",
        "wan2.7-i2v/fal",
        "wan2.7-i2v/replicate",
        "kling-v2.1/replicate",
        "kling-v2.6/fal",
        *(
            f"kling-v3-{which}/{offer}"
            for which in ("video", "omni")
            for offer in ("fal-standard", "fal-pro", "replicate", "vendor")
        ),
    }


def test_what_is_retired_names_its_successor() -> None:
    gone = {card.id: card.replacement for card in CARDS if card.status == "retired"}
    assert gone == {
        "kling-v2.1": "kling-v2.6",
        "runway-gen3a-turbo": "runway-gen4-turbo",
        "luma-ray-2": "luma-ray-3.2",
    }
    assert CATALOG.get("runway-gen3").id == "runway-gen3a-turbo"


def test_areas_are_the_trained_ones() -> None:
    assert {
        (card.id, mode.name): mode.sizes.pixels
        for card, _, mode in LOCAL_MODES
        if card.family == "wan" and isinstance(mode.sizes, AreaSizes)
    }.items() >= {
        ("tiny-wan-i2v", "tiny"): 320 * 320,
        ("wan2.1-i2v-480p", "480p"): 832 * 480,
        ("wan2.1-i2v-720p", "720p"): 1280 * 720,
        ("wan2.2-i2v-a14b", "480p"): 832 * 480,
        ("wan2.2-i2v-a14b", "720p"): 1280 * 720,
        ("wan2.2-ti2v-5b", "720p"): 1280 * 704,
    }.items()


def test_parallax_is_honest() -> None:
    card = CATALOG.get("parallax")
    assert card.makes == "rendered"
    assert "Nothing is generated" in card.offers[0].label
    assert "Nothing is generated" in card.summary
    assert card.controls.camera.explicit
    assert set(card.controls.camera.moves) == set(CameraMove)
    assert (card.controls.prompt, card.controls.prompt_scope) == (True, "camera")
    others = [other for other in CATALOG if other.makes == "generated" and other.id != "tiny-wan-i2v"]
    assert card.quality.rating[0] < min(other.quality.rating[0] for other in others)
    assert {24, 60} <= set(card.offers[0].modes[0].rates)


def test_random_weights_are_labelled() -> None:
    card = CATALOG.get("tiny-wan-i2v")
    assert card.offers[0].label == "Random weights: proves the path, not beauty."
    assert card.offers[0].default_gpu == "cpu"
    assert card.weights.pipeline == "WanImageToVideoPipeline"
    elo, sd = card.quality.rating
    assert elo + 3 * sd < CATALOG.get("parallax").quality.rating[0]


def test_svd_reads_no_words() -> None:
    for card_id in ("svd", "svd-xt"):
        card = CATALOG.get(card_id)
        assert not card.controls.prompt
        assert card.tasks == (TaskType.I2V,)
        assert card.status == "legacy"
        assert card.licence.commercial == "no"


def test_no_file_of_the_overlay_is_left_out() -> None:
    assert {card.id for card in CATALOG} >= {"tiny-wan-i2v"}
    assert sorted(file.name for file in OVERLAY.iterdir() if file.is_file()) == ["tiny-wan.yaml"]
