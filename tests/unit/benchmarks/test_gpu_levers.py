"""Levers go on and come off, on the tiny models of a dry run."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from benchmarks.gpu.building import build
from benchmarks.gpu.caching import caches, schedule
from benchmarks.gpu.closeness import error_of
from benchmarks.gpu.codec import CODEC_EAGER, CODEC_LEVERS, codec, decoded, random_latents
from benchmarks.gpu.float8 import Float8Linear
from benchmarks.gpu.inputs import NOISY, Inputs, converted, forward, random_inputs
from benchmarks.gpu.levers import EAGER, LEVERS, Lever, Unavailable, lay, missing, self_attentions
from benchmarks.gpu.subjects import TINY, Subject

CPU = torch.device("cpu")
BY_KEY = {lever.key: lever for lever in LEVERS}
each_subject = pytest.mark.parametrize("subject", TINY, ids=lambda subject: subject.key)


def made(subject: Subject) -> tuple[Any, Inputs]:
    model = build(subject.transformer, subject.config, CPU, torch.bfloat16)
    return model, random_inputs(subject, subject.short, CPU, torch.bfloat16)


def step(model: Any, inputs: Inputs) -> list[torch.Tensor]:
    return forward(model, inputs.calls(inputs.noise, NOISY))


@each_subject
def test_the_same_model_is_built_every_time(subject: Subject) -> None:
    (one, inputs), (other, again) = made(subject), made(subject)
    outputs = step(one, inputs)
    assert all(torch.equal(a, b) for a, b in zip(outputs, step(other, again), strict=True))
    # Neither dead nor exploding, and guidance has something to work on.
    for output in outputs:
        assert 0.05 < float(output.float().std()) < 20.0
    first, second = outputs if len(outputs) == 2 else outputs[0].chunk(2)
    assert float((first.float() - second.float()).abs().mean()) > 1e-3


def test_modules_that_the_class_keeps_in_float32_stay_so() -> None:
    model, _ = made(TINY[0])
    assert model.condition_embedder.time_embedder.linear_1.weight.dtype == torch.float32
    assert model.blocks[0].scale_shift_table.dtype == torch.float32
    assert model.blocks[0].attn1.to_q.weight.dtype == torch.bfloat16


@each_subject
def test_bfloat16_rounds_by_less_than_the_limit_allows(subject: Subject) -> None:
    model, inputs = made(subject)
    outputs = step(model, inputs)
    truth = forward(model.float(), converted(inputs.calls(inputs.noise, NOISY), torch.float32))
    error = error_of(outputs, truth)
    assert error.mean > 0.0
    assert error.counts


def test_fused_projections_compute_the_same_and_come_apart_again() -> None:
    model, inputs = made(TINY[0])
    before = step(model, inputs)
    undo = lay(model, BY_KEY["fused-qkv"], CPU)
    assert model.blocks[0].attn1.fused_projections
    assert error_of(step(model, inputs), before).counts
    undo()
    assert not model.blocks[0].attn1.fused_projections
    assert error_of(step(model, inputs), before).largest == 0.0


def test_a_model_that_would_ignore_fused_projections_says_so() -> None:
    model, _ = made(TINY[2])
    with pytest.raises(Unavailable, match="never reads fused projections"):
        lay(model, BY_KEY["fused-qkv"], CPU)


@each_subject
def test_an_attention_backend_is_set_for_self_attention_and_taken_off(subject: Subject) -> None:
    model, inputs = made(subject)
    before = step(model, inputs)
    undo = lay(model, BY_KEY["attention-flash"], CPU)
    layers = list(self_attentions(model))
    assert {layer.processor._attention_backend for layer in layers} == {"_native_flash"}
    assert error_of(step(model, inputs), before).counts
    undo()
    assert {layer.processor._attention_backend for layer in layers} == {None}


def test_float8_replaces_the_layers_of_the_blocks() -> None:
    model, inputs = made(TINY[0])
    before = step(model, inputs)
    lever = BY_KEY["float8-linear"]
    assert lever.spoils
    lay(model, lever, CPU)
    assert isinstance(model.blocks[0].attn1.to_q, Float8Linear)
    assert not isinstance(model.proj_out, Float8Linear)
    error = error_of(step(model, inputs), before)
    assert 1e-3 < error.mean < 0.2


def test_parts_are_laid_in_their_order() -> None:
    model, inputs = made(TINY[0])
    lay(model, Lever("both", "", ("float8-linear", "fused-qkv")), CPU)
    # Fused first: the fused product is the one in float8.
    assert isinstance(model.blocks[0].attn1.to_qkv, Float8Linear)
    step(model, inputs)


def test_what_a_machine_lacks_is_told_not_raised() -> None:
    assert missing(EAGER, CPU, torch.bfloat16) is None
    assert missing(BY_KEY["attention-flash"], CPU, torch.bfloat16) is None
    reason = missing(BY_KEY["attention-cudnn"], CPU, torch.bfloat16)
    assert reason is not None
    assert "\n" not in reason


@each_subject
def test_caches_skip_steps_and_leave_the_model_as_it_was(subject: Subject) -> None:
    model, inputs = made(subject)
    before = step(model, inputs)
    found = caches(model, inputs, CPU, steps=6)
    assert set(found) == {"magcache", "taylorseer"}
    for cached in found.values():
        assert 0 < cached.skipped < cached.steps
        assert cached.error.mean > 0.0
    assert error_of(step(model, inputs), before).largest == 0.0


def test_the_schedule_falls_from_noise_to_nothing() -> None:
    levels = schedule(8)
    assert (len(levels), levels[0], levels[-1]) == (9, 1.0, 0.0)
    assert list(levels) == sorted(levels, reverse=True)
    assert levels[4] == pytest.approx(5 / 6)  # halfway, shifted by 5


@each_subject
def test_codec_levers_decode_the_same_clip(subject: Subject) -> None:
    shape = subject.short
    truth = decoded(codec(subject, CODEC_EAGER, CPU), random_latents(subject, shape, CODEC_EAGER, CPU))
    assert truth.shape == (1, 3, shape.frames, shape.height, shape.width)
    for lever in CODEC_LEVERS:
        found = decoded(codec(subject, lever, CPU), random_latents(subject, shape, lever, CPU))
        error = error_of([found], [truth])
        assert error.counts or lever.dtype == torch.bfloat16
        assert error.mean < 0.5
