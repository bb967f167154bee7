"""How good a model's clip will look for this use: its rating, moved by weak claims and votes, as a chance.

    R = R_card + sum over use cases c of w_c * strength_c * OFFSET_SD + learned offset
    q = E[sigma(theta)],  theta ~ N(k (R - R_0), (k s)^2),  k = ln 10 / 400

The logistic curve of Elo and Bradley-Terry turns ratings into the chance to be preferred over a model rated
R_0. What is said of models (portraits, ambient motion, camera work) is practitioners' prose: nobody has
published figures that subjects change the order of models. So a full claim moves a rating by no more than
`OFFSET_SD` (40 Elo), votes correct it, and a rating that is not known counts by its expectation, which is
nearer to a draw the wider it is spread.
"""

from __future__ import annotations

from math import pi, sqrt
from typing import TYPE_CHECKING, NamedTuple

from models.types import CameraMove
from policies.calibration import ELO_LOGIT, OFFSET_SD

if TYPE_CHECKING:
    from collections.abc import Mapping

    from models.card import Card, Offer
    from policies.base import RouteRequest
    from policies.calibration import Belief

SURE_OF_SUBJECT = 0.5
"""Confidence from which a subject counts, and names the cell that a vote is booked in."""
FABRIC_MOTIONS = frozenset({"billow", "flutter"})
"""What clothes do when they move; hair does it too, so they are half an evidence of fashion."""
LOW_RESOLUTION = 512
"""Pixels of the shorter side below which a photograph counts as an old or low-resolution one. Makers of photo
animations (2026) warn of anything narrower."""

_new = tuple.__new__

CAMERA = "cinematic_camera"
AMBIENT = "ambient_motion"
OTHER = "other"


class Rating(NamedTuple):
    """What is held of one model in one use."""

    elo: float
    """With claims and what was learned."""
    sd: float
    learned: float = 0.0
    """Elo that votes have added; already in `elo`."""
    votes: int = 0


def preference(elo: float, reference_elo: float, sd: float = 0.0) -> float:
    """Chance that a clip of a model rated `elo` is preferred over one rated `reference_elo`.

    400 points are odds of 10 to 1. With an uncertain rating (`sd` in Elo) the expected chance, by the probit
    approximation of MacKay (1992, "The evidence framework applied to classification networks"):
    E[sigma(theta)] = sigma(mean / sqrt(1 + pi var / 8)).
    """
    return float(1.0 / (1.0 + 10.0 ** ((reference_elo - elo) / _drawn(sd) / 400.0)))


def _drawn(sd: float) -> float:
    """By how much doubt of `sd` Elo draws a lead towards nothing."""
    return sqrt(1.0 + pi / 8.0 * (sd * ELO_LOGIT) ** 2)


def evidence(request: RouteRequest) -> dict[str, float]:
    """Use cases that photograph and words speak of, each with how sure that is, 0-1.

    Strengths in `speed` and `batch` are never evidence of quality: predicted time and price say that already.
    """
    image, prompt = request.features.image, request.features.prompt
    seen: dict[str, float] = {}
    if image.subject != OTHER and image.subject_confidence > 0:
        seen[image.subject] = image.subject_confidence
    if prompt.historic or image.width < LOW_RESOLUTION or image.height < LOW_RESOLUTION:
        seen["historic"] = 1.0
    elif image.aged > 0:
        seen["historic"] = image.aged
    if prompt.environment_motion:
        seen[AMBIENT] = 1.0
    if _moves_camera(request):
        seen[CAMERA] = 1.0
    if prompt.fabric:
        seen["fashion"] = 1.0
    elif prompt.subject_motion and not FABRIC_MOTIONS.isdisjoint(prompt.subject_motion):
        seen["fashion"] = 0.5
    return seen


def use_case(request: RouteRequest) -> str:
    """The one cell that a vote on this request's clip is booked in.

    A camera move that is asked for, else what the photograph shows when that is rather sure than not, else
    surroundings that should move, else `other`.
    """
    image = request.features.image
    if _moves_camera(request):
        return CAMERA
    if image.subject != OTHER and image.subject_confidence >= SURE_OF_SUBJECT:
        return image.subject
    return AMBIENT if request.features.prompt.environment_motion else OTHER


def _moves_camera(request: RouteRequest) -> bool:
    """A still camera is no camera work."""
    if request.camera:
        return any(wish.move is not CameraMove.STATIC for wish in request.camera)
    return any(move is not CameraMove.STATIC for move in request.features.prompt.camera)


class Standing(NamedTuple):
    """What a card says of its quality, compiled."""

    elo: float
    variance: float
    """Of the rating, in Elo squared."""
    claims: Mapping[str, float]
    """By use case, the Elo that a sure claim is worth there."""
    spread: float
    """Standard deviation in a use case in which nobody has voted."""
    drawn: float
    """By how much that draws a lead towards nothing."""


def adapted(offer: Offer) -> float:
    """Elo that an offer's adapter takes from (0 or below) the rating of the model it is laid over."""
    return offer.adapter.rating_offset if offer.adapter is not None else 0.0


def standing(card: Card, offset: float = 0.0) -> Standing:
    """The card's rating, moved by `offset` Elo, and its claims; its prior must have been filled in."""
    elo, sd = card.quality.rating
    elo += offset
    claims: dict[str, float] = {}
    for strength in card.strengths:
        claims[strength.tag] = claims.get(strength.tag, 0.0) + OFFSET_SD * strength.weight
    spread = sqrt(sd * sd + OFFSET_SD * OFFSET_SD)
    return Standing(elo, sd * sd, claims, spread, _drawn(spread))


def rated(card: Card, seen: Mapping[str, float], belief: Belief | None = None) -> Rating:
    """The card's rating in a use with this evidence, moved by what was learned there.

    Args:
        card: With its prior filled in.
        seen: From `evidence`.
        belief: Of this card in the request's `use_case`; None before the first vote.
    """
    return expected(standing(card), seen, belief, 0.0)[1]


def expected(
    card: Standing, seen: Mapping[str, float], belief: Belief | None, reference_elo: float
) -> tuple[float, Rating]:
    """Chance that a card's clip is preferred in a use with this evidence, and the rating it follows from."""
    elo, variance, claims, spread, drawn = card
    for tag, sure in seen.items():
        if tag in claims:
            elo += claims[tag] * sure
    # Votes narrow the offset of this use case; the rating's own spread stays.
    learned, votes = 0.0, 0
    if belief is not None:
        learned, votes = belief.offset, belief.votes
        elo += learned
        spread = sqrt(variance + 1.0 / (belief.precision * ELO_LOGIT * ELO_LOGIT))
        drawn = _drawn(spread)
    chance = 1.0 / (1.0 + 10.0 ** ((reference_elo - elo) / drawn / 400.0))
    return chance, _new(Rating, (elo, spread, learned, votes))
