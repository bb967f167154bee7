"""One long shot or a chain of segments: which was taken where a model can do both, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from policies.words import seconds_word, usd_word

if TYPE_CHECKING:
    from collections.abc import Sequence

    from policies.base import Candidate, Scored


def long_clip_note(ordered: Sequence[Scored]) -> str | None:
    """How the chosen clip comes to its length, beside the best other way of the same offer; None without one.

    Args:
        ordered: All candidates, the chosen one first.
    """
    if not ordered:
        return None
    chosen = ordered[0].candidate
    if not any(mode.stretch is not None or mode.min_segments > 1 for mode in chosen.offer.modes):
        return None
    for scored in ordered:
        other = scored.candidate
        if _other_way(chosen, other):
            return (
                f"{chosen.card.id} makes {chosen.plan.effective.seconds:.3g} s as {_way(chosen)} "
                f"({_price(chosen)}) and not as {_way(other)} ({_price(other)}), which is valued "
                f"{max(0.0, ordered[0].utility - scored.utility):.3f} lower"
            )
    return None


def _other_way(chosen: Candidate, other: Candidate) -> bool:
    same = (
        other.card is chosen.card
        and other.offer is chosen.offer
        and other.plan.effective == chosen.plan.effective
    )
    return same and (other.plan.segments, other.plan.beyond) != (chosen.plan.segments, chosen.plan.beyond)


def _way(candidate: Candidate) -> str:
    plan = candidate.plan
    if plan.segments > 1:
        return f"{plan.segments} segments of {plan.native.num_frames} frames"
    beyond = f", {plan.beyond} more than it was trained on" if plan.beyond else ""
    return f"one shot of {plan.native.num_frames} frames{beyond}"


def _price(candidate: Candidate) -> str:
    predicted = candidate.prediction
    cost = f", {usd_word(predicted.usd)}" if predicted.usd is not None else ""
    gpus = f" on {candidate.gpus} GPUs" if candidate.gpus > 1 else ""
    return f"{seconds_word(predicted.seconds)}{gpus}{cost}"
