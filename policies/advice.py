"""What a person should know about a decision beside the choice itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from policies.durations import suited

if TYPE_CHECKING:
    from policies.base import RouteRequest, Scored


def advise(request: RouteRequest, chosen: Scored | None) -> tuple[str, ...]:
    """Advice read from photograph and words, then what the plan adds to it."""
    told = list(request.features.advice)
    asked, span = request.wish.seconds, suited(request)
    if asked is not None and span is not None and not span.low <= asked <= span.high:
        way = "fewer" if asked > span.high else "more"
        told.append(
            f"{asked:.4g} s asked; {span.what} hold best for {span.low:.0f}-{span.high:.0f} s: "
            f"try {way} seconds."
        )
    if chosen is None:
        return _once(told)
    candidate = chosen.candidate
    card = candidate.card
    told += [f"{card.id}: {line}." for line in candidate.plan.gave_way]
    if candidate.offer.label:
        told.append(f"{card.id}: {candidate.offer.label.rstrip('.')}.")
    if not card.controls.prompt and request.features.prompt.words:
        told.append(f"{card.id} reads no words; the prompt has no effect.")
    if card.status in {"deprecated", "legacy"}:
        when = f" and ends on {card.retires_on}" if card.retires_on else ""
        instead = f"; {card.replacement} replaces it" if card.replacement else ""
        told.append(f"{card.id} is {card.status}{when}{instead}.")
    return _once(told)


def _once(lines: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(lines))
