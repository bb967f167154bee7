"""Arithmetic of a step, and what the cost model says that it takes. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import cache

from benchmarks.gpu.subjects import Shape, Subject
from models.card import Card, Transformer
from models.catalog import load_catalog
from models.cost import estimate, flops_per_forward
from models.flops import Flops
from models.gpus import load_gpus
from models.types import ClipPlan, Fit, Framing, Geometry

FPS = 16.0
"""Of the predicted clip; time does not depend on it."""


@dataclass(frozen=True, slots=True)
class Predicted:
    """Seconds by the cost model with one GPU.

    Attributes:
        step_s: One step with guidance.
        decode_s: The codec, from latents to frames.
    """

    step_s: float
    decode_s: float


def arithmetic(subject: Subject, parameters: int = 1) -> Transformer:
    """A card's figures, derived from the configuration that is built.

    Args:
        subject: The model.
        parameters: Of its transformer; FLOPs do not depend on them.
    """
    config = subject.config
    heads = config.get("num_attention_heads", 32)  # LTXVideoTransformer3DModel's default, as the next two
    width = heads * config.get("attention_head_dim", 64)
    return Transformer(
        kind="ltx" if subject.inputs == "ltx" else "wan",
        params=parameters,
        width=width,
        mlp=config.get("ffn_dim", 4 * width),
        layers=config.get("num_layers", 28),
        heads=heads,
        text_tokens=subject.text_tokens,
        image_tokens=subject.image_tokens,
        temporal_compression=subject.temporal,
        spatial_compression=subject.spatial,
        patch=subject.patch,
        source="the configuration",
        checked_at=date(2026, 11, 21),
    )


def step_flops(subject: Subject, shape: Shape) -> Flops:
    """FLOPs of one step: both passes of guidance."""
    one = flops_per_forward(arithmetic(subject), shape.width, shape.height, shape.frames)
    return Flops(subject.passes * one.linear, subject.passes * one.attention)


def decode_flops(subject: Subject, shape: Shape) -> float | None:
    """FLOPs of the codec's way back; None where no card counts them."""
    cost = _card(subject.card).cost if subject.card is not None else None
    if cost is None or cost.vae is None:
        return None
    return 1e3 * cost.vae.decode_kflop * shape.width * shape.height * shape.frames


def predicted(subject: Subject, shape: Shape, gpu_type: str | None) -> Predicted | None:
    """The cost model's seconds; None where no card ships the model or no GPU type is known.

    Args:
        subject: The model.
        shape: The clip.
        gpu_type: A key of `models/gpus.yaml`.
    """
    if subject.card is None or gpu_type is None:
        return None
    card = _card(subject.card)
    offer = next(offer for offer in card.offers if offer.id == "local")
    geometry = Geometry(shape.width, shape.height, shape.frames, FPS)
    plan = ClipPlan(geometry, geometry, Framing(Fit.CROP, 1.0, 1.0))
    told = estimate(card, offer, plan, load_gpus()[gpu_type], 1)
    passes = offer.sampling.passes_per_step if offer.sampling else subject.passes
    return Predicted(told.step_seconds * subject.passes / passes, dict(told.stages)["decoding"])


@cache
def _card(name: str) -> Card:
    return load_catalog().get(name)


def fitted_rates(samples: list[tuple[Flops, float]]) -> tuple[float, float] | None:
    """Linear and attention FLOP/s that explain measured seconds best (least relative squares).

    Args:
        samples: FLOPs of a step and its seconds, at two or more shapes.

    Returns:
        None where the samples do not tell the two apart, or say that one takes no time.
    """
    # Each row divided by its seconds: a x + b y = 1, so that small shapes count as much as large ones.
    rows = [(flops.linear / seconds, flops.attention / seconds) for flops, seconds in samples]
    if len(rows) < 2:
        return None
    aa = sum(a * a for a, _ in rows)
    bb = sum(b * b for _, b in rows)
    ab = sum(a * b for a, b in rows)
    determinant = aa * bb - ab * ab
    if determinant <= 1e-6 * aa * bb:
        return None
    a, b = sum(row[0] for row in rows), sum(row[1] for row in rows)
    slow_linear, slow_attention = (a * bb - b * ab) / determinant, (b * aa - a * ab) / determinant
    if slow_linear <= 0 or slow_attention <= 0:
        return None
    return 1 / slow_linear, 1 / slow_attention
