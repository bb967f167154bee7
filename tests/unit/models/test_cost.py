"""Wall time, memory and money: against published runs, and the properties that any estimate must have."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.card import Card, Offer, PricePerClip
from models.catalog import load_catalog
from models.cost import Estimate, estimate, flops_per_forward, price_of, tokens, usd
from models.errors import ConfigError
from models.flops import KINDS
from models.gpus import GpuType, load_gpus
from models.types import ClipPlan, Fit, Framing, Geometry

PlanMaker = Callable[..., ClipPlan]

# Seconds of Wan2.2 I2V-A14B, 81 frames, 40 steps, by GPU count: Wan-Video/Wan2.2 README, comp_effic table.
PUBLISHED: dict[tuple[str, tuple[int, int]], dict[int, float]] = {
    ("h100", (832, 480)): {1: 327.8, 4: 92.4, 8: 52.9},
    ("h100", (1280, 720)): {1: 1055.9, 4: 290.4, 8: 159.0},
    ("a100", (832, 480)): {1: 810.0, 4: 215.4, 8: 121.6},
    ("a100", (1280, 720)): {1: 2810.9, 4: 730.5, 8: 393.4},
    ("h20", (832, 480)): {1: 1117.4, 4: 305.4, 8: 173.4},
    ("h20", (1280, 720)): {1: 4054.7, 4: 1076.9, 8: 577.0},
}

CATALOG = load_catalog()
GPUS = load_gpus()
NVLINK = ("h100", "h200", "a100", "h20")
GENERATED = sorted(
    card.id
    for card in CATALOG
    if card.makes == "generated" and any(offer.id == "local" for offer in card.offers)
)
WAN = ["wan2.1-i2v-480p", "wan2.1-i2v-720p", "wan2.2-i2v-a14b", "wan2.2-ti2v-5b"]


def _plan(width: int, height: int, frames: int, fps: float = 16.0, *, segments: int = 1) -> ClipPlan:
    made = segments * (frames - 1) + 1
    return ClipPlan(
        effective=Geometry(width, height, made, fps),
        native=Geometry(width, height, frames, fps),
        framing=Framing(Fit.EXACT, 1.0, 1.0),
        segments=segments,
    )


def _local(card_id: str) -> tuple[Card, Offer]:
    card = CATALOG.get(card_id)
    return card, card.offer("local")


def _stage(made: Estimate, name: str) -> float:
    return dict(made.stages)[name]


def test_published_wan_times() -> None:
    card, offer = _local("wan2.2-i2v-a14b")
    errors: dict[str, list[float]] = {}
    for (gpu, (width, height)), times in PUBLISHED.items():
        for count, seconds in times.items():
            made = estimate(card, offer, _plan(width, height, 81), GPUS[gpu], count)
            # The published runs end with the frames, before any MP4 is written.
            predicted = made.seconds - _stage(made, "muxing")
            errors.setdefault(gpu, []).append(abs(predicted / seconds - 1))
    for gpu, found in errors.items():
        assert sum(found) / len(found) < 0.03, (gpu, found)
        assert max(found) < 0.05, (gpu, found)


def test_ti2v_5b_on_consumer_cards() -> None:
    """Wan-Video/Wan2.2 README: 524.8, 227.3 and 160.1 s on 1, 4 and 8 RTX 4090, 1280x704, 121 frames."""
    card, offer = _local("wan2.2-ti2v-5b")
    for count, seconds in {1: 524.8, 4: 227.3, 8: 160.1}.items():
        made = estimate(card, offer, _plan(1280, 704, 121, 24.0), GPUS["rtx4090"], count)
        assert made.seconds - _stage(made, "muxing") == pytest.approx(seconds, rel=0.08)


def test_a_pixel_budget_would_be_wrong() -> None:
    """Attention makes cost grow faster than tokens: 720p over 480p is 3.2 in time, 2.3 in pixels."""
    card, offer = _local("wan2.2-i2v-a14b")
    small = estimate(card, offer, _plan(832, 480, 81), GPUS["h100"], 1).seconds
    large = estimate(card, offer, _plan(1280, 720, 81), GPUS["h100"], 1).seconds
    assert large / small == pytest.approx(1055.9 / 327.8, rel=0.03)


@pytest.mark.parametrize("card_id", GENERATED)
@pytest.mark.parametrize("count", [1, 4])
def test_stages_sum_and_match_the_closed_form(card_id: str, count: int) -> None:
    card, offer = _local(card_id)
    assert card.cost is not None
    assert card.cost.transformer is not None
    assert offer.sampling is not None
    transformer, sampling, gpu = card.cost.transformer, offer.sampling, GPUS["h100"]
    plan = _plan(832, 480, 49, segments=2)
    made = estimate(card, offer, plan, gpu, count)
    assert sum(seconds for _, seconds in made.stages) == pytest.approx(made.seconds)
    frames, runs = 49, 1
    if transformer.run_frames is not None:
        frames, runs = transformer.run_frames, math.ceil(48 / (transformer.run_frames - 1))
    assert made.steps == 2 * runs * sampling.steps
    assert _stage(made, "denoising") == pytest.approx(made.steps * made.step_seconds)
    # Only the denoising holds every GPU; the others of the gang serve other clips while one decodes.
    alone = made.seconds - _stage(made, "denoising")
    assert made.gpu_seconds == pytest.approx(alone + count * _stage(made, "denoising"))

    flops = flops_per_forward(transformer, 832, 480, frames)
    forward = flops.linear / gpu.linear_flops + flops.attention / gpu.attention_flops
    passes = sampling.passes_per_step
    if count > 1 and KINDS[transformer.kind].parallel:
        halves = 2 if passes > 1 else 1
        layers, width = transformer.layers or 0, transformer.width or 0
        among, passes = count // halves, math.ceil(passes / halves)
        whole = tokens(transformer, 832, 480, frames)
        held = math.ceil(whole / among)
        linear = flops.whole + (flops.linear - flops.whole) * held / whole
        sent = 4 * layers * 2 * held * width * (among - 1) / among
        forward = linear / gpu.linear_flops + flops.attention / among / gpu.attention_flops
        forward += sent / gpu.interconnect_bytes_per_s
    expected = passes * (forward + gpu.fixed_seconds_per_forward)
    assert made.step_seconds == pytest.approx(expected)


def test_two_gpus_take_one_pass_each_and_send_nothing_through_the_layers() -> None:
    """The first factor of two is free of communication, so that even a slow bus halves the step."""
    card, offer = _local("wan2.2-i2v-a14b")
    plan = _plan(832, 480, 81)
    for gpu in ("h200", "l40s"):
        one, two, four = (estimate(card, offer, plan, GPUS[gpu], n).step_seconds for n in (1, 2, 4))
        assert two == pytest.approx(one / 2)
        assert two / 2 < four < two
    slow, fast = (
        estimate(card, offer, plan, GPUS[gpu], 4).step_seconds
        / estimate(card, offer, plan, GPUS[gpu], 1).step_seconds
        for gpu in ("l40s", "h200")
    )
    assert slow > 1.1 * fast


def test_uneven_tokens_pay_for_their_padding() -> None:
    """Without guidance eight GPUs share each forward: 5 x 23 x 27 tokens are 388.1 each, so 389 are held."""
    card = CATALOG.get("wan2.2-i2v-a14b")
    offer = card.offer("local-4step")
    transformer = card.cost.transformer if card.cost else None
    assert transformer is not None
    even_plan, odd_plan = _plan(432, 384, 17), _plan(432, 368, 17)
    assert tokens(transformer, 432, 368, 17) == 3105
    free = replace(GPUS["h100"], interconnect_bytes_per_s=1e30, attention_flops=1e30)
    for plan, padding in ((even_plan, 1.0), (odd_plan, 389 * 8 / 3105)):
        one, eight = (estimate(card, offer, plan, free, n).step_seconds for n in (1, 8))
        assert 8 * eight / one == pytest.approx(padding)


def test_what_every_gpu_does_anew_gains_nothing_from_more_of_them() -> None:
    card, offer = _local("wan2.2-animate")
    assert card.cost is not None
    assert card.cost.transformer is not None
    flops = flops_per_forward(card.cost.transformer, 832, 480, 77)
    assert 0.01 < flops.whole / flops.total < 0.1
    free = replace(GPUS["h200"], interconnect_bytes_per_s=1e30)
    floor = flops.whole / free.linear_flops
    one, eight = (estimate(card, offer, _plan(832, 480, 77), free, n).step_seconds for n in (1, 8))
    assert eight - floor == pytest.approx((one - floor) / 8, rel=1e-3)


def test_memory_follows_the_live_bytes() -> None:
    card, offer = _local("wan2.2-i2v-a14b")
    weights = card.weights.bytes
    assert weights is not None
    plan = _plan(1280, 720, 81)
    alone = estimate(card, offer, plan, GPUS["h200"], 1)
    # 75 600 tokens x 5120 x 22.3 = 8.6 GB of activations, below the codec's 18.7 GB while it decodes.
    assert alone.memory_bytes == pytest.approx(weights + 20_250 * 1280 * 720, rel=1e-6)
    assert alone.fits
    assert not estimate(card, offer, plan, GPUS["h100"], 8).fits
    assert estimate(card, offer, _plan(832, 480, 81), GPUS["h100"], 1).fits
    assert not estimate(card, offer, plan, GPUS["rtx4090"], 8).fits


def test_activations_are_shared_by_a_gang() -> None:
    card, offer = _local("wan2.2-ti2v-5b")
    weights = card.weights.bytes
    assert weights is not None
    plan = _plan(640, 352, 12_001, 24.0)
    one, two, four = (estimate(card, offer, plan, GPUS["h100"], n).memory_bytes - weights for n in (1, 2, 4))
    # Two GPUs take a pass each, of all tokens; only from four on do they share the tokens of a pass.
    assert two == one
    assert four == pytest.approx(one / 2, rel=1e-6)


def test_one_gpu_serves_what_cannot_be_split() -> None:
    for card_id, frames in (("svd-xt", 25), ("parallax", 48)):
        card, offer = _local(card_id)
        plan = _plan(1024, 576, frames, 7.0)
        one, four = (estimate(card, offer, plan, GPUS["l40s"], n) for n in (1, 4))
        assert four.seconds == one.seconds
        held = dict(one.stages).get("denoising", 0.0 if one.steps else one.seconds)
        assert four.gpu_seconds == pytest.approx(one.seconds + 3 * held)


def test_rendering_needs_no_steps(plan: PlanMaker) -> None:
    card, offer = _local("parallax")
    made = estimate(card, offer, plan(768, 512, 72, 24.0), GPUS["cpu"], 1)
    assert [name for name, _ in made.stages] == ["rendering", "muxing"]
    assert (made.steps, made.step_seconds) == (0, 0.0)
    assert made.fits
    # The renderer's own promise: a 768x512, 3 s, 24 fps clip in at most 6 s on one core.
    assert made.seconds < 6.0


def test_interpolation_and_chaining_cost(plan: PlanMaker) -> None:
    card, offer = _local("wan2.2-i2v-a14b")

    def made(**how: int) -> Estimate:
        return estimate(card, offer, plan(832, 480, 81, **how), GPUS["h100"], 4)

    plain, smooth, chained = made(), made(factor=2), made(segments=3)
    assert _stage(smooth, "denoising") == _stage(plain, "denoising")
    assert _stage(smooth, "muxing") > 2 * _stage(plain, "muxing")
    assert _stage(chained, "denoising") == pytest.approx(3 * _stage(plain, "denoising"))
    assert _stage(chained, "decoding") == pytest.approx(3 * _stage(plain, "decoding"))
    assert chained.memory_bytes == plain.memory_bytes


# --- hosted offers and money ---------------------------------------------------------------------


@pytest.fixture
def hosted(sheet: dict[str, Any]) -> Card:
    source = {"source": "a test", "checked_at": "2026-11-21"}
    offer = sheet["offers"][0]
    offer |= {"id": "api", "backend": "fal", "latency": {"p50": 40.0, "p95": 90.0, **source}}
    offer["price"] = {"kind": "per_second", "usd": 0.05, **source}
    for name in ("sampling", "runner", "default_gpu"):
        del offer[name]
    del sheet["cost"]
    return Card.model_validate(sheet)


def test_hosted_offer(hosted: Card, plan: PlanMaker) -> None:
    offer = hosted.offer("api")
    asked = plan(832, 480, 81)
    made = estimate(hosted, offer, asked, None, 1)
    assert (made.seconds, made.gpu_seconds, made.fits) == (40.0, 0.0, True)
    assert usd(price_of(offer, offer.modes[0]), asked, made, None) == pytest.approx(0.05 * 81 / 16)
    assert estimate(hosted, offer, plan(832, 480, 81, segments=2), None, 1).seconds == 80.0


def test_prices(small_card: Card, hosted: Card, plan: PlanMaker) -> None:
    local, gpu = small_card.offer("local"), GPUS["h100"]
    asked = plan(64, 64, 17, segments=2)
    by_gpu = price_of(local, local.modes[0])
    made = estimate(small_card, local, asked, gpu, 2)
    assert usd(by_gpu, asked, made, gpu) == pytest.approx(made.gpu_seconds * gpu.usd_per_hour / 3600)
    assert usd(by_gpu, asked, made, None) is None
    assert usd(None, asked, made, gpu) is None
    price = PricePerClip(kind="per_clip", usd=0.2, source="a test", checked_at=date(2026, 11, 21))
    assert usd(price, asked, made, None) == pytest.approx(0.4)
    loud = price.model_copy(update={"usd_with_audio": 0.5})
    assert usd(loud, asked, made, None) == pytest.approx(0.4)
    assert usd(loud, asked, made, None, with_audio=True) == pytest.approx(1.0)
    own = hosted.offer("api").modes[0].model_copy(update={"price": price})
    assert price_of(hosted.offer("api"), own) is price
    assert (
        price_of(hosted.offer("api").model_copy(update={"price": "unknown"}), hosted.offer("api").modes[0])
        is None
    )


def test_what_cannot_be_estimated(small_card: Card, hosted: Card, plan: PlanMaker) -> None:
    asked = plan(64, 64, 17)
    with pytest.raises(ConfigError, match="small/local runs on our own machines") as caught:
        estimate(small_card, small_card.offer("local"), asked, None, 1)
    assert caught.value.param == "gpu"
    with pytest.raises(ConfigError, match="at least 1 GPU, got 0"):
        estimate(small_card, small_card.offer("local"), asked, GPUS["h100"], 0)
    silent = hosted.model_copy(update={"offers": (hosted.offer("api").model_copy(update={"latency": None}),)})
    with pytest.raises(ConfigError, match="small/api is hosted and names no latency"):
        estimate(silent, silent.offer("api"), asked, None, 1)


def test_equal_ids_are_not_confused(sheet: dict[str, Any], plan: PlanMaker) -> None:
    """Constants are kept by identity: a card of the same id with other figures is another card."""
    asked = plan(64, 64, 17)

    def steps_of(steps: int) -> int:
        sheet["offers"][0]["sampling"]["steps"] = steps
        card = Card.model_validate(sheet)
        return estimate(card, card.offer("local"), asked, GPUS["h100"], 1).steps

    # Far more cards than are kept, each dropped at once, so that addresses are used again.
    assert [steps_of(steps) for steps in range(1, 5000)] == list(range(1, 5000))


# --- properties ----------------------------------------------------------------------------------

sizes = st.tuples(st.integers(4, 40), st.integers(4, 40)).map(lambda s: (s[0] * 64, s[1] * 64))
lengths = st.integers(1, 20).map(lambda k: 8 * k + 1)


@given(card_id=st.sampled_from(GENERATED), size=sizes, frames=lengths, gpu=st.sampled_from(sorted(GPUS)))
def test_more_is_never_cheaper(card_id: str, size: tuple[int, int], frames: int, gpu: str) -> None:
    card, offer = _local(card_id)
    width, height = size

    def made(width: int, height: int, frames: int, **how: int) -> Estimate:
        return estimate(card, offer, _plan(width, height, frames, **how), GPUS[gpu], 1)

    base = made(width, height, frames)
    for other in (
        made(width, height, frames + 8),
        made(width + 64, height, frames),
        made(width, height + 64, frames),
    ):
        assert other.seconds > base.seconds
        assert other.step_seconds >= base.step_seconds  # runs of one length are made in full
        assert other.memory_bytes >= base.memory_bytes
    assert made(width, height, frames, segments=2).seconds > base.seconds


@given(card_id=st.sampled_from(GENERATED), extra=st.integers(1, 50), size=sizes)
def test_more_steps_are_never_cheaper(card_id: str, extra: int, size: tuple[int, int]) -> None:
    card, offer = _local(card_id)
    assert offer.sampling is not None
    longer = offer.model_copy(
        update={"sampling": offer.sampling.model_copy(update={"steps": offer.sampling.steps + extra})}
    )
    plan = _plan(*size, 33)
    base, more = (estimate(card, o, plan, GPUS["h100"], 1) for o in (offer, longer))
    assert more.seconds > base.seconds
    assert more.step_seconds == base.step_seconds


@given(card_id=st.sampled_from(WAN), size=sizes, frames=lengths, gpu=st.sampled_from(NVLINK))
def test_more_gpus_are_never_slower_on_nvlink(
    card_id: str, size: tuple[int, int], frames: int, gpu: str
) -> None:
    card, offer = _local(card_id)
    made = [estimate(card, offer, _plan(*size, frames), GPUS[gpu], count) for count in (1, 2, 4, 8)]
    for fewer, more in pairwise(made):
        assert more.seconds < fewer.seconds
        # One pass each costs two GPUs nothing; what they send each other is left out.
        assert more.gpu_seconds >= fewer.gpu_seconds * (1 - 1e-9)
        assert more.memory_bytes <= fewer.memory_bytes


@given(factor=st.floats(1.0, 10.0), size=sizes)
def test_a_faster_type_is_never_slower(factor: float, size: tuple[int, int]) -> None:
    card, offer = _local("wan2.2-i2v-a14b")
    slow = GPUS["a100"]
    fast: GpuType = replace(
        slow, linear_flops=slow.linear_flops * factor, attention_flops=slow.attention_flops * factor
    )
    plan = _plan(*size, 33)
    assert estimate(card, offer, plan, fast, 4).seconds <= estimate(card, offer, plan, slow, 4).seconds
