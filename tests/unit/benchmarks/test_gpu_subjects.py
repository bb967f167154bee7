"""What is built for the GPU is what the cards describe."""

from __future__ import annotations

from dataclasses import replace

import diffusers
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from benchmarks.gpu.building import build
from benchmarks.gpu.codec import CODEC_EAGER, codec, decoded, random_latents
from benchmarks.gpu.costing import arithmetic, decode_flops, fitted_rates, predicted, step_flops
from benchmarks.gpu.inputs import NOISY, forward, random_inputs
from benchmarks.gpu.subjects import LTX_2B, LTX_13B, SUBJECTS, TINY, WAN21_14B, WAN22_5B, Shape, Subject
from models.catalog import load_catalog
from models.flops import Flops

CPU = torch.device("cpu")
SHIPPED = [subject for subject in SUBJECTS if subject.card is not None]
COUNTED = ("kind", "width", "mlp", "layers", "heads", "text_tokens", "image_tokens",
           "temporal_compression", "spatial_compression", "patch")  # fmt: skip


@pytest.mark.parametrize("subject", SHIPPED, ids=lambda subject: subject.key)
def test_the_configuration_is_that_of_the_card(subject: Subject) -> None:
    cost = load_catalog().get(str(subject.card)).cost
    assert cost is not None
    assert cost.transformer is not None
    ours = arithmetic(subject)
    assert {name: getattr(ours, name) for name in COUNTED} == {
        name: getattr(cost.transformer, name) for name in COUNTED
    }
    with torch.device("meta"):
        model = getattr(diffusers, subject.transformer)(**subject.config)
    size = sum(parameter.numel() for parameter in model.parameters())
    assert size == pytest.approx(cost.transformer.params, rel=0.01)


def test_the_unshipped_model_has_its_published_size() -> None:
    with torch.device("meta"):
        model = getattr(diffusers, LTX_13B.transformer)(**LTX_13B.config)
    assert sum(parameter.numel() for parameter in model.parameters()) == pytest.approx(13.04e9, rel=0.01)


@pytest.mark.parametrize(
    ("subject", "shape", "tokens"),
    [
        (WAN21_14B, Shape(832, 480, 81), 32_760),
        (WAN21_14B, Shape(1280, 720, 81), 75_600),
        (WAN22_5B, Shape(1280, 704, 121), 27_280),
        (LTX_2B, Shape(704, 512, 161), 7_392),
    ],
)
def test_tokens_are_those_of_the_reference(subject: Subject, shape: Shape, tokens: int) -> None:
    assert subject.tokens(shape) == tokens


@pytest.mark.parametrize("subject", [*SUBJECTS, *TINY], ids=lambda subject: subject.key)
def test_every_shape_lies_on_the_lattice(subject: Subject) -> None:
    for shape in (subject.short, *subject.shapes):
        assert subject.tokens(shape) > 0


@pytest.mark.parametrize("shape", [Shape(1280, 720, 81), Shape(832, 480, 80)])
def test_a_shape_off_the_lattice_is_refused(shape: Shape) -> None:
    with pytest.raises(ValueError, match="multiples of 32 and 4k"):
        WAN22_5B.latent(shape)


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.key)
def test_the_real_architecture_takes_these_inputs(subject: Subject) -> None:
    one_layer = replace(subject, config={**subject.config, "num_layers": 1})
    with FakeTensorMode():  # shapes without numbers or memory
        model = build(one_layer.transformer, one_layer.config, CPU, torch.bfloat16)
        for shape in (subject.short, *subject.shapes):
            inputs = random_inputs(one_layer, shape, CPU, torch.bfloat16)
            velocity = inputs.guided(forward(model, inputs.calls(inputs.noise, NOISY)))
            assert velocity.shape == inputs.noise.shape
        frames = decoded(
            codec(subject, CODEC_EAGER, CPU), random_latents(subject, subject.short, CODEC_EAGER, CPU)
        )
    assert frames.shape == (1, 3, subject.short.frames, subject.short.height, subject.short.width)


def test_a_step_is_two_forwards() -> None:
    flops = step_flops(WAN21_14B, Shape(832, 480, 81))
    assert flops.total == pytest.approx(2 * 1_686e12, rel=0.01)


def test_the_prediction_is_that_of_published_h100_runs() -> None:
    told = predicted(WAN21_14B, Shape(832, 480, 81), "h100")
    assert told is not None
    assert 5.0 < told.step_s < 10.0  # engines of 2025 take 5.2 to 9.8 s there
    assert 1.0 < told.decode_s < 20.0
    assert predicted(WAN21_14B, Shape(832, 480, 81), None) is None
    assert predicted(LTX_13B, Shape(832, 480, 81), "h100") is None


def test_decoding_is_priced_by_the_card() -> None:
    assert decode_flops(WAN21_14B, Shape(832, 480, 81)) == pytest.approx(8510e3 * 832 * 480 * 81)
    assert decode_flops(LTX_13B, Shape(832, 480, 81)) is None


def test_rates_are_found_again() -> None:
    shapes = [Flops(1e14, 2e13), Flops(4e14, 3e14), Flops(9e14, 2e15)]
    samples = [(flops, flops.linear / 300e12 + flops.attention / 600e12) for flops in shapes]
    fit = fitted_rates(samples)
    assert fit is not None
    assert fit == pytest.approx((300e12, 600e12))


@pytest.mark.parametrize(
    "samples",
    [
        [],
        [(Flops(1e14, 2e13), 1.0)],
        [(Flops(1e14, 2e13), 1.0), (Flops(2e14, 4e13), 2.0)],  # the same mixture twice
        [(Flops(1e14, 1e14), 1.0), (Flops(1e14, 4e14), 0.9)],  # more work in less time
    ],
)
def test_rates_are_not_made_up(samples: list[tuple[Flops, float]]) -> None:
    assert fitted_rates(samples) is None
