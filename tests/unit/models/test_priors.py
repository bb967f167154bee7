"""Unknown figures take the family's prior, and the card says so."""

from __future__ import annotations

from typing import Any

import pytest

from models.card import ApiLatency, Card
from models.errors import ConfigError
from models.priors import Family, load_families, with_priors

SOURCE = {"source": "a test", "checked_at": "2026-11-21", "inferred": True}
FAMILY = Family.model_validate(
    {
        "id": "fam",
        "title": "A family",
        "rating": {"elo": 1200, "sd": 80, **SOURCE},
        "latency": {"p50": 60, "p95": 120, **SOURCE},
        "rate": {"fps": 24, **SOURCE},
    }
)


@pytest.fixture
def hosted(sheet: dict[str, Any]) -> dict[str, Any]:
    """A hosted card of which nothing but the limits is known."""
    offer = sheet["offers"][0]
    offer |= {"id": "api", "backend": "fal", "ref": "fal-ai/x", "latency": "unknown", "price": "unknown"}
    for name in ("sampling", "runner", "default_gpu", "degrees"):
        offer.pop(name, None)
    for mode in offer["modes"]:
        mode |= {"fps": "unknown", "length": {"kind": "seconds", "values": [5, 10]}}
        mode.pop("interpolate_to", None)
        mode.pop("max_segments", None)
    sheet.pop("cost", None)
    sheet["family"] = "fam"
    sheet["quality"] = {"elo": "unknown", "board": "none", **SOURCE}
    return sheet


def test_unknowns_take_the_prior_and_are_named(hosted: dict[str, Any]) -> None:
    card = with_priors(Card.model_validate(hosted), {"fam": FAMILY})
    assert card.quality.rating == (1200.0, 80.0)
    assert card.quality.inferred
    assert isinstance(card.offer("api").latency, ApiLatency)
    assert card.offer("api").modes[0].rates == (24,)
    assert card.offer("api").price == "unknown"
    mode = card.offer("api").modes[0].name
    assert set(card.assumed) >= {"quality.elo", "offers.api.latency", f"offers.api.modes.{mode}.fps"}


def test_before_that_they_cannot_be_read_by_accident(hosted: dict[str, Any]) -> None:
    card = Card.model_validate(hosted)
    with pytest.raises(ValueError, match="elo is unknown"):
        _ = card.quality.rating
    with pytest.raises(ValueError, match="fps is unknown"):
        _ = card.offer("api").modes[0].rates


@pytest.mark.parametrize("gap", ["latency", "rate"])
def test_a_family_without_the_prior_is_an_error(hosted: dict[str, Any], gap: str) -> None:
    lacking = FAMILY.model_copy(update={gap: None})
    with pytest.raises(ConfigError, match=f"no prior `{gap}`"):
        with_priors(Card.model_validate(hosted), {"fam": lacking})


def test_an_unknown_family_is_an_error(hosted: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="family 'fam' has no priors"):
        with_priors(Card.model_validate(hosted), {})


def test_a_known_card_is_left_alone(small_card: Card) -> None:
    assert with_priors(small_card, {}) is small_card


def test_shipped_priors_are_wide_and_marked() -> None:
    families = load_families()
    assert families
    assert all(family.rating.sd >= 60 and family.rating.inferred for family in families.values())


def test_the_longest_line_of_a_family_speaks() -> None:
    wan = load_families()["wan"]
    rating, fast, newest = (wan.of(f"wan{rest}").rating for rest in ("2.5-i2v", "2.5-i2v-fast", "9.9-i2v"))
    assert rating is not None
    assert fast is not None
    assert newest is not None
    assert (rating.elo, fast.elo, newest.elo) == (1334, 1304, wan.rating.elo)
    assert wan.of("wan2.5-i2v-fast").latency == wan.latency


def test_a_line_overlays_only_what_it_knows() -> None:
    line = {"prefix": "fam-2", "rate": {"fps": 16, **SOURCE}}
    family = Family.model_validate({**FAMILY.model_dump(), "lines": [line]})
    found = family.of("fam-2-i2v")
    assert found.rate is not None
    assert found.rate.fps == 16
    assert found.rating == FAMILY.rating
    with pytest.raises(ValueError, match="inferred: true"):
        Family.model_validate(
            {**FAMILY.model_dump(), "lines": [{**line, "rate": {"fps": 16, **SOURCE, "inferred": False}}]}
        )
