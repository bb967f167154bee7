"""Readings against labelled prompts and pictures: floors a little below what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import pytest

from benchmarks.feature_accuracy import SPLITS, keyword_tallies, picture_tallies, prompt_tallies, targets_of
from benchmarks.labelled import half_of, load_prompts
from benchmarks.labelled.classes import CAMERA_GROUPS, Tally, labelled_classes, tally
from benchmarks.labelled.pictures import VARIANTS, load_pictures
from models.types import CameraMove

PER_CLASS = 60
"""Labelled prompts that each class of intent must have, over all sets."""
INTENTS = [
    *dict.fromkeys(CAMERA_GROUPS.values()),
    "no camera", "camera required", "camera wished", "a move refused",
    "subject motion", "ambient motion", "caption, no motion",
    "intensity low", "intensity medium", "intensity high", "audio", "loop",
]  # fmt: skip


@cache
def prompts(split: str) -> Mapping[str, Tally]:
    return prompt_tallies(split)  # type: ignore[arg-type]


@cache
def pictures(variants: tuple[str, ...]) -> Mapping[str, Mapping[str, Tally]]:
    return picture_tallies("held_out", variants)


# --- the labelled set ---------------------------------------------------------------------------------------


def test_every_class_of_intent_has_its_prompts() -> None:
    counted = {name: sum(name in labelled_classes(row.labels) for row in load_prompts()) for name in INTENTS}
    assert {name: count for name, count in counted.items() if count < PER_CLASS} == {}


def test_labels_are_known() -> None:
    moves = {move.value for move in CameraMove}
    for row in load_prompts():
        camera = row.labels.get("camera", [])
        assert set(camera) <= moves, row.text
        assert set(row.labels.get("required", [])) <= set(camera), row.text
        assert not (row.labels.get("caption") and (camera or row.labels.get("subject"))), row.text


def test_the_split_follows_the_text_alone() -> None:
    rows = [row for row in load_prompts() if row.split in ("tune", "held_out")]
    assert all(row.split == half_of(row.text) for row in rows)
    held_out = sum(row.split == "held_out" for row in rows)
    assert 0.4 < held_out / len(rows) < 0.6


def test_pictures_are_the_same_each_time() -> None:
    variants = ("sepia", "noisy")
    once, again = (
        [picture.image.tobytes() for picture in load_pictures("tune", variants)][:6] for _ in range(2)
    )
    assert once == again


def test_a_tally_counts_misses_and_inventions() -> None:
    counted = tally([("a", {"x"}, {"x", "y"}), ("b", {"x"}, set())])
    assert (counted["x"].precision, counted["x"].recall) == (1.0, 0.5)
    assert (counted["y"].precision, counted["y"].labelled) == (0.0, 0)
    assert counted["x"].missed == ["b  [x]"]


# --- prompts ------------------------------------------------------------------------------------------------

HELD_OUT = [
    ("push/pull/zoom", 0.97, 0.97),
    ("pan/tilt", 0.97, 0.97),
    ("truck/pedestal/orbit/roll", 0.97, 0.97),
    ("static", 0.97, 0.97),
    ("follow/shake", 0.97, 0.97),
    ("exact move", 0.98, 0.98),
    ("camera required", 0.97, 0.93),
    ("camera wished", 0.98, 0.98),
    ("a move refused", 0.97, 0.97),
    ("subject motion", 0.97, 0.95),
    ("ambient motion", 0.96, 0.97),
    ("caption, no motion", 0.95, 0.97),
    ("intensity low", 0.95, 0.95),
    ("intensity medium", 0.95, 0.95),
    ("intensity high", 0.95, 0.95),
    ("audio", 0.97, 0.94),
    ("loop", 0.97, 0.95),
]
FRESH = [
    ("exact move", 0.95, 0.97),
    ("camera required", 0.95, 0.9),
    ("camera wished", 0.95, 0.95),
    ("a move refused", 0.95, 0.95),
    ("subject motion", 0.92, 0.88),
    ("ambient motion", 0.9, 0.85),
    ("audio", 0.85, 0.95),
    ("loop", 0.95, 0.95),
]


@pytest.mark.parametrize(("name", "precision", "recall"), HELD_OUT, ids=[row[0] for row in HELD_OUT])
def test_held_out_prompts(name: str, precision: float, recall: float) -> None:
    read = prompts("held_out")[name]
    assert read.precision >= precision, read.invented
    assert read.recall >= recall, read.missed


@pytest.mark.parametrize(("name", "precision", "recall"), FRESH, ids=[row[0] for row in FRESH])
def test_fresh_prompts(name: str, precision: float, recall: float) -> None:
    read = prompts("fresh")[name]
    assert read.precision >= precision, read.invented
    assert read.recall >= recall, read.missed


@pytest.mark.parametrize("split", SPLITS)
def test_no_set_invents_camera_moves(split: str) -> None:
    assert prompts(split)["exact move"].precision >= 0.97


def test_grammar_beats_keywords() -> None:
    peer = keyword_tallies("held_out")
    for name in ("push/pull/zoom", "pan/tilt", "camera required", "subject motion", "ambient motion", "loop"):
        ours, theirs = prompts("held_out")[name], peer[name]
        assert ours.precision > theirs.precision, name
        assert ours.recall > theirs.recall, name


# --- pictures -----------------------------------------------------------------------------------------------

PLAIN = ("as it is", "grey")


def test_subjects_that_are_claimed_for_sure() -> None:
    read = pictures(PLAIN)["sure subject"]
    floors = {
        "group": (0.97, 0.9),
        "portrait": (0.93, 0.75),
        "landscape": (0.88, 0.4),
        "product": (0.95, 0.75),
    }
    for name, (precision, recall) in floors.items():
        assert read[name].precision >= precision, read[name].invented
        assert read[name].recall >= recall, read[name].missed


@pytest.mark.parametrize(
    ("variant", "name", "precision", "recall"),
    [
        ("sepia", "aged", 0.97, 0.97),
        ("sepia", "monochrome", 0.97, 0.97),
        ("noisy", "noisy", 0.97, 0.9),
        ("blurred", "blurred", 0.95, 0.9),
        ("dark", "dark", 0.97, 0.97),
    ],
)
def test_quality(variant: str, name: str, precision: float, recall: float) -> None:
    """Each defect in the variant that has it, beside the pictures as they are."""
    read = picture_tallies("held_out", (variant,))["quality"][name]
    assert read.precision >= precision, read.invented
    assert read.recall >= recall, read.missed


def test_targets_name_what_they_promise() -> None:
    promised = targets_of(prompts("held_out"), prompts("fresh"), pictures(PLAIN)["sure subject"])
    assert all(target.limit is not None and target.sense == ">=" for target in promised)
    assert len({target.what for target in promised}) == len(promised)
    assert set(PLAIN) < set(VARIANTS)
