"""What the parts of one clip should take on this replica's GPUs, at each degree it can run at. Pure."""

from __future__ import annotations

from deployments.clip_run import ClipTimes
from models.card import Card, Offer
from models.cost import estimate
from models.gpus import GpuType
from models.sharding import degrees
from models.types import ClipPlan
from policies.render import plan_from_json
from router.jobs.records import Attempt


def times_of(card: Card, gpu: GpuType, gang_size: int, attempt: Attempt) -> ClipTimes:
    """`clip_times` of what an attempt was decided for."""
    plan = plan_from_json(attempt.decision["plan"])
    return clip_times(card, card.offer(attempt.offer), plan, gpu, gang_size)


def clip_times(card: Card, offer: Offer, plan: ClipPlan, gpu: GpuType, gang_size: int) -> ClipTimes:
    """Predicted by the card's cost model.

    Args:
        card: The model.
        offer: The offer that the clip is for; its `degrees` say on how many GPUs it can run.
        plan: The clip's shape.
        gpu: GPU type of the ranks.
        gang_size: Ranks there are.

    Raises:
        ConfigError: the card cannot be priced.
    """
    alone = estimate(card, offer, plan, gpu, 1)
    stages = dict(alone.stages)
    steps = 1 if offer.sampling is None else offer.sampling.steps
    segments = max(1, round(alone.steps / steps)) if alone.steps else 1
    head = stages.get("encoding_input", 0.0)
    tail = stages.get("decoding", 0.0) + stages.get("muxing", 0.0)
    return ClipTimes(
        encode_s=head,
        step_s={
            degree: estimate(card, offer, plan, gpu, degree).step_seconds
            for degree in _degrees(card, offer, gang_size)
        },
        decode_s=tail / segments,
        steps=steps,
        segments=segments,
        whole_s=alone.seconds,
    )


def _degrees(card: Card, offer: Offer, gang_size: int) -> tuple[int, ...]:
    """Degrees that the offer names, the model can be split into, and this gang has."""
    transformer = None if card.cost is None else card.cost.transformer
    if transformer is None or offer.sampling is None:
        return (1,)
    possible = degrees(transformer, offer.sampling.passes_per_step)
    return tuple(d for d in possible if d <= gang_size and d in offer.degrees) or (1,)
