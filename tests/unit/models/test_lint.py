"""Contradictions that a card's schema cannot see are found, and named with card and field."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from models.card import Card
from models.catalog import Catalog, load_catalog
from models.lint import MAX_AGE_DAYS, Finding, lint

Sheet = dict[str, Any]
Change = Callable[[Sheet], Any]
TODAY = date(2026, 11, 21)
SOURCE: Sheet = {"source": "a test", "checked_at": "2026-11-21"}
MODE = "offers.api.modes.only"


@pytest.fixture
def hosted(sheet: Sheet) -> Sheet:
    """A clean hosted card with every kind of input."""
    mode: Sheet = {
        "name": "only",
        "sizes": {"kind": "list", "sizes": [[1280, 720]]},
        "length": {"kind": "seconds", "values": [5, 10]},
        "fps": [24],
        **SOURCE,
    }
    price: Sheet = {"kind": "per_second", "usd": 0.1, **SOURCE}
    latency: Sheet = {"p50": 60, "p95": 120, **SOURCE}
    return sheet | {
        "status": "live",
        "weights": {"kind": "api", **SOURCE},
        "tasks": ["i2v", "ti2v", "flf2v"],
        "controls": {
            "camera": {"kind": "prompt", **SOURCE},
            "last_image": "optional",
            "audio_out": "native",
            **SOURCE,
        },
        "offers": [
            {
                "id": "api",
                "backend": "fal",
                "ref": "fal-ai/small",
                "request": {
                    "image": "image_url",
                    "last_image": "end_image_url",
                    "prompt": "prompt",
                    "seed": "seed",
                    "seconds": {"name": "duration", "type": "string"},
                    "sound": {"name": "generate_audio"},
                    **SOURCE,
                },
                "latency": latency,
                "price": price,
                "modes": [mode],
            }
        ],
        "cost": None,
    }


def _found(sheet: Sheet, *others: Sheet) -> list[Finding]:
    cards = [Card.model_validate(one) for one in (sheet, *others)]
    return [finding for finding in lint(Catalog.of(cards), TODAY) if finding.card == sheet["id"]]


def _offer(**over: Any) -> Change:
    return lambda sheet: sheet["offers"][0].update(over)


def _mode(**over: Any) -> Change:
    return lambda sheet: sheet["offers"][0]["modes"][0].update(over)


def _controls(**over: Any) -> Change:
    return lambda sheet: sheet["controls"].update(over)


def _camera(**over: Any) -> Change:
    return lambda sheet: sheet["controls"]["camera"].update(over)


def _card(**over: Any) -> Change:
    return lambda sheet: sheet.update(over)


CLAIM: Sheet = {"tag": "portrait", "weight": 0.2, **SOURCE}
SHUFFLED = {"kind": "seconds", "values": [10, 5]}
BROKEN = {"kind": "seconds", "values": [5.02]}
FOLLOWS = {"kind": "follows", "of": "audio", "min": 1, "max": 9}
NO_SOURCE = {"source": "TODO", "checked_at": "2026-11-21"}

Row = tuple[str, Change, str, str]

ERRORS: list[Row] = [
    ("hosted without a ref", _offer(ref=None), "offers.api.ref", "what the provider calls it"),
    ("hosted without a latency", _offer(latency=None), "offers.api.latency", "or unknown"),
    ("no price anywhere", _offer(price=None), f"{MODE}.price", "or unknown"),
    ("hosted on a GPU", _offer(default_gpu="h100"), "offers.api", "has no runner"),
    ("GPU-seconds of a host", _mode(price={"kind": "gpu", **SOURCE}), f"{MODE}.price", "GPU-seconds"),
    (
        "sound that is not made has a price",
        lambda s: (
            _controls(audio_out="none")(s),
            _mode(price={"kind": "per_clip", "usd": 1, "usd_with_audio": 2, **SOURCE})(s),
        ),
        f"{MODE}.price",
        "sound is not made",
    ),
    ("over but live", _card(retires_on="2026-09-15"), "retires_on", "the status is still live"),
    ("retired too soon", _card(status="retired", retires_on="2027-01-01"), "retires_on", "has not come"),
    ("checked tomorrow", _card(checked_at="2026-11-22"), "checked_at", "has not come"),
    (
        "no real source",
        _mode(price={"kind": "per_clip", "usd": 1, **NO_SOURCE}),
        f"{MODE}.price.source",
        "no source",
    ),
    (
        "task without its input",
        _card(tasks=["i2v", "flf2v", "animate"]),
        "tasks",
        "which the controls refuse",
    ),
    ("input without its task", _card(tasks=["i2v"]), "tasks", "flf2v is not among the tasks"),
    ("one task left", _controls(last_image="required"), "tasks", "flf2v is the only task"),
    ("words for a deaf model", _controls(prompt=False), "tasks", "reads none"),
    ("an interface without moves", _camera(kind="parameter"), "controls.camera.moves", "lists no moves"),
    (
        "moves without a camera",
        _camera(kind="none", moves=["static"]),
        "controls.camera.moves",
        "takes no moves",
    ),
    ("camera from no video", _camera(kind="video"), "controls.camera.kind", "driving video"),
    ("nobody takes it", _mode(excludes=["last_image"]), "controls.last_image", "every mode excludes it"),
    (
        "a mode that never runs",
        lambda s: (
            _controls(last_image="required")(s),
            _card(tasks=["flf2v"])(s),
            _mode(excludes=["last_image"])(s),
        ),
        f"{MODE}.excludes",
        "can never run",
    ),
    (
        "follows what may be missing",
        lambda s: (
            _controls(audio_in="optional")(s),
            _card(tasks=["i2v", "ti2v", "flf2v", "a2v"])(s),
            _mode(length=FOLLOWS)(s),
        ),
        f"{MODE}.needs",
        "may be missing",
    ),
    (
        "lengths out of order",
        _mode(length={"kind": "seconds", "values": [10, 5]}),
        f"{MODE}.length.values",
        "order",
    ),
    (
        "a range that misses its end",
        _mode(length={"kind": "range", "min": 6, "max": 15, "step": 2}),
        f"{MODE}.length.max",
        "whole steps of 2",
    ),
    (
        "a claim of nothing",
        _card(strengths=[{**CLAIM, "weight": 0}]),
        "strengths.portrait.weight",
        "no claim",
    ),
    ("a claim twice", _card(strengths=[CLAIM, CLAIM]), "strengths.portrait", "more than once"),
    (
        "an odd lattice",
        _mode(sizes={"kind": "area", "pixels": 9000, "min_pixels": 900, "multiple": 3}),
        f"{MODE}.sizes.multiple",
        "even sides",
    ),
]


@pytest.mark.parametrize(
    ("change", "field", "told"), [row[1:] for row in ERRORS], ids=[row[0] for row in ERRORS]
)
def test_an_error_is_named_with_its_field(hosted: Sheet, change: Change, field: str, told: str) -> None:
    assert _found(hosted) == []
    change(hosted)
    errors = [finding for finding in _found(hosted) if finding.level == "error"]
    assert any(finding.field == field and told in finding.message for finding in errors), errors


WARNINGS: list[Row] = [
    ("ends soon", _card(retires_on="2026-12-01"), "retires_on", "name a replacement"),
    ("nobody follows", _card(status="retired", retires_on="2026-09-15"), "replacement", "no successor"),
    (
        "excludes what is refused",
        _mode(excludes=["audio"]),
        f"{MODE}.excludes",
        "refused by the controls already",
    ),
    (
        "half a frame",
        _mode(length=BROKEN),
        f"{MODE}.length.values",
        "whole number",
    ),
    ("open but where", _card(weights={"kind": "open", **SOURCE}), "weights.hub_id", "where they are"),
]


@pytest.mark.parametrize(
    ("change", "field", "told"), [row[1:] for row in WARNINGS], ids=[row[0] for row in WARNINGS]
)
def test_a_warning_is_no_error(hosted: Sheet, change: Change, field: str, told: str) -> None:
    change(hosted)
    (finding,) = _found(hosted)
    assert (finding.level, finding.field) == ("warning", field)
    assert told in finding.message


def test_the_oldest_figure_speaks_for_the_stale_ones(hosted: Sheet) -> None:
    offer = hosted["offers"][0]
    offer["price"]["checked_at"] = "2026-05-25"
    assert _found(hosted) == []
    offer["price"]["checked_at"] = "2026-05-05"
    offer["latency"]["checked_at"] = "2026-05-20"
    (finding,) = _found(hosted)
    assert (finding.level, finding.field) == ("warning", "offers.api.price.checked_at")
    assert f"200 days ago, more than {MAX_AGE_DAYS}, and 1 more" in finding.message
    cards = Catalog.of([Card.model_validate(hosted)])
    assert lint(cards, TODAY, max_age_days=200) == ()


def test_a_chain_of_successors_ends_in_a_card_that_lives(hosted: Sheet) -> None:
    gone = {**hosted, "id": "gone", "status": "retired", "retires_on": "2026-01-01"}
    heir = {**hosted, "replacement": "gone"}
    (finding,) = _found(heir, gone)
    assert (finding.level, finding.message) == ("error", "ends in a retired card: small -> gone")
    assert _found(heir, {**gone, "replacement": "next"}, {**hosted, "id": "next"}) == []
    (circle,) = [f for f in _found(heir, {**gone, "replacement": "small"}) if f.level == "error"]
    assert circle.message == "goes round in a circle: small -> gone -> small"


def test_what_could_not_be_loaded_is_an_error(tmp_path: Path, sheet: Sheet) -> None:
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(sheet | {"vendor": 3}))
    findings = [finding for finding in lint(load_catalog(tmp_path), TODAY) if finding.level == "error"]
    (finding,) = findings
    assert (finding.card, finding.field) == ("", "vendor")
    assert "mine.yaml (small): line " in finding.message


def test_shipped_cards_hold_no_contradiction(catalog: Catalog) -> None:
    assert [finding for finding in lint(catalog, TODAY) if finding.level == "error"] == []
    # Figures of hosts age; nothing else is to be looked at again.
    assert {f.field.rsplit(".", 1)[-1] for f in lint(catalog, TODAY)} <= {"checked_at"}


@pytest.mark.parametrize(
    ("degrees", "transformer", "told"),
    [
        ([1, 2, 4], {}, None),
        ([1, 8], {}, "8 GPUs cannot share a wan network of 4 heads and 1 passes"),
        ([1, 3], {}, "3 GPUs cannot share"),
        ([1, 2], {"kind": "joint"}, "2 GPUs cannot share a joint network"),
        ([2, 1], {}, "repeat or are out of order"),
        ([1, 2, 2], {}, "repeat or are out of order"),
        ([1, 4], {"spatial_compression": 32}, "mode only may have 2 tokens, fewer than the GPUs"),
    ],
)
def test_degrees_are_held_against_the_network(
    sheet: Sheet, degrees: list[int], transformer: Sheet, told: str | None
) -> None:
    sheet["offers"][0]["degrees"] = degrees
    sheet["cost"]["transformer"].update(transformer)
    found = [f.message for f in _found(sheet) if f.field == "offers.local.degrees"]
    if told is None:
        assert found == []
    else:
        assert any(told in message for message in found), found


def test_a_renderer_has_no_degrees(sheet: Sheet) -> None:
    sheet["cost"] = {"rendering": {"seconds_per_megapixel": 1.0, "fixed_seconds": 0.0, **SOURCE}}
    sheet["offers"][0] |= {"degrees": [1, 2], "sampling": None}
    assert any("no denoiser of ours" in finding.message for finding in _found(sheet))
