"""Loading cards: overlays, duplicates, and errors that name file, line and field and spare the rest."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from models.card import Card
from models.catalog import Catalog, load_catalog
from models.errors import ConfigError, UnknownModel


def _write(directory: Path, name: str, content: Any) -> Path:
    directory.mkdir(exist_ok=True)
    text = content if isinstance(content, str) else yaml.safe_dump(content)
    (directory / name).write_text(text, encoding="utf-8")
    return directory


def test_iteration_is_in_id_order(catalog: Catalog) -> None:
    ids = [card.id for card in catalog]
    assert ids == sorted(ids)
    assert len(catalog) == len(ids) > 5
    assert all(card_id in catalog for card_id in ids)
    assert "sora" not in catalog


def test_unknown_model_names_close_matches(catalog: Catalog) -> None:
    with pytest.raises(UnknownModel) as caught:
        catalog.get("Wan2.2-I2V-A14")
    assert "did you mean wan2.2-i2v-a14b" in caught.value.message
    assert caught.value.param == "model"
    assert caught.value.allowed == [card.id for card in catalog]
    with pytest.raises(UnknownModel, match=r"no model is called 'zzzz'$"):
        catalog.get("zzzz")


def test_overlay_replaces_and_joins(tmp_path: Path, sheet: dict[str, Any], catalog: Catalog) -> None:
    replaced = {**sheet, "id": "svd", "title": "Mine"}
    _write(tmp_path / "cards", "two.yaml", {"cards": [replaced, sheet]})
    loaded = load_catalog(tmp_path / "cards")
    assert loaded.get("svd").title == "Mine"
    assert loaded.get("small").title == "Small"
    assert len(loaded) == len(catalog) + 1
    assert catalog.get("svd").title != "Mine"


def test_only_yaml_files_of_the_directory_itself_are_read(tmp_path: Path, sheet: dict[str, Any]) -> None:
    _write(tmp_path, "one.yml", sheet)
    _write(tmp_path, "readme.txt", "not: [a card")
    _write(tmp_path / "profiles", "fast.yaml", {"name": "fast"})
    assert "small" in load_catalog(tmp_path)


def test_same_id_twice_in_one_directory(tmp_path: Path, sheet: dict[str, Any]) -> None:
    _write(tmp_path, "a.yaml", sheet)
    _write(tmp_path, "b.yaml", sheet)
    with pytest.raises(ConfigError, match=r"b\.yaml: line 1: card id small is already in .*a\.yaml"):
        load_catalog(tmp_path, strict=True)


def test_replacement_must_exist(tmp_path: Path, sheet: dict[str, Any]) -> None:
    _write(tmp_path, "a.yaml", {**sheet, "replacement": "nothing"})
    with pytest.raises(ConfigError, match="card small: replacement 'nothing' names no card") as caught:
        load_catalog(tmp_path, strict=True)
    assert caught.value.param == "replacement"
    _write(tmp_path, "a.yaml", {**sheet, "replacement": "small"})
    with pytest.raises(ConfigError, match="its own replacement"):
        load_catalog(tmp_path, strict=True)
    _write(tmp_path, "a.yaml", {**sheet, "replacement": "svd-xt"})
    assert load_catalog(tmp_path).get("small").replacement == "svd-xt"


def test_schema_error_names_file_field_and_value(tmp_path: Path, sheet: dict[str, Any]) -> None:
    sheet["offers"][0]["sampling"]["steps"] = -3
    sheet["surprise"] = 1
    _write(tmp_path, "mine.yaml", {"cards": [sheet]})
    with pytest.raises(ConfigError) as caught:
        load_catalog(tmp_path, strict=True)
    message = caught.value.message
    assert message.startswith(f"{tmp_path}/mine.yaml: cards[0] (small): ")
    assert re.search(r"line \d+: surprise", message)
    assert "offers.0.sampling.steps: Input should be greater than or equal to 1 (given -3)" in message
    assert "surprise: Extra inputs are not permitted" in message
    assert caught.value.param == "offers.0.sampling.steps"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("id: [unclosed", "not valid YAML"),
        ("id: a\nid: b\n", "key 'id' repeats"),
        ("1: a\n", "key 1 is not a word"),
        ("- a\n- b\n", "must hold one card, or a list"),
        ("", "must hold one card, or a list"),
        ("cards: []\n", "must be the only key and hold a list"),
        ("cards: [x]\nid: y\n", "must be the only key and hold a list"),
        ("cards: [5]\n", r"cards\[0\]"),
        ("!!python/object/apply:os.getcwd []\n", "could not determine a constructor"),
    ],
)
def test_unreadable_files(tmp_path: Path, text: str, named: str) -> None:
    _write(tmp_path, "bad.yaml", text)
    with pytest.raises(ConfigError, match=named) as caught:
        load_catalog(tmp_path, strict=True)
    assert f"{tmp_path}/bad.yaml" in caught.value.message


def test_nan_is_refused_from_yaml(tmp_path: Path, sheet: dict[str, Any]) -> None:
    sheet["quality"]["elo"] = float("nan")
    _write(tmp_path, "nan.yaml", sheet)
    assert ".nan" in (tmp_path / "nan.yaml").read_text()
    with pytest.raises(ConfigError, match=r"quality\.elo: Input should be a finite number"):
        load_catalog(tmp_path, strict=True)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_bytes(b"id: \xff\xfe")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_catalog(tmp_path, strict=True)


def test_overlay_that_is_no_directory(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not a directory"):
        load_catalog(tmp_path / "missing")


def test_default_gpu_must_be_known(tmp_path: Path, sheet: dict[str, Any]) -> None:
    sheet["offers"][0]["default_gpu"] = "h1000"
    _write(tmp_path, "a.yaml", sheet)
    with pytest.raises(ConfigError, match="default_gpu 'h1000' is no GPU type") as caught:
        load_catalog(tmp_path, strict=True)
    assert isinstance(caught.value.allowed, list)
    assert "h100" in caught.value.allowed
    own_types = {"h1000", "h100", "h200", "l40s", "cpu"}
    assert "small" in load_catalog(tmp_path, gpu_types=own_types)


def test_catalog_travels_to_actors(catalog: Catalog) -> None:
    copy = pickle.loads(pickle.dumps(catalog))
    assert [card.id for card in copy] == [card.id for card in catalog]
    assert copy.get("svd") == catalog.get("svd")


def test_duplicate_cards_are_refused_in_code(catalog: Catalog) -> None:
    card = catalog.get("svd")
    with pytest.raises(ConfigError, match="card id svd repeats"):
        Catalog.of([card, card])


# --- what is broken is told, and the rest serves ---------------------------------------------------


def _lines(tmp_path: Path, sheet: dict[str, Any], **over: Any) -> str:
    """A file of two cards of which the second is broken."""
    good = {**sheet, "id": "good"}
    return yaml.safe_dump({"cards": [good, {**sheet, **over}]}, sort_keys=False)


def test_a_broken_card_is_told_with_its_line_and_the_rest_serves(
    tmp_path: Path, sheet: dict[str, Any], catalog: Catalog
) -> None:
    text = _lines(tmp_path, sheet, id="bad", vendor=7)
    _write(tmp_path, "mine.yaml", text)
    loaded = load_catalog(tmp_path)
    assert set(loaded.cards) == {*catalog.cards, "good"}
    (problem,) = loaded.problems
    at = next(n for n, line in enumerate(text.splitlines(), 1) if line.strip() == "vendor: 7")
    assert problem.message.startswith(f"{tmp_path}/mine.yaml: cards[1] (bad): line {at}: vendor: ")
    assert problem.param == "vendor"


def test_a_missing_field_is_told_with_the_line_of_its_block(tmp_path: Path, sheet: dict[str, Any]) -> None:
    del sheet["offers"][0]["sampling"]["steps"]
    text = yaml.safe_dump(sheet, sort_keys=False)
    _write(tmp_path, "mine.yaml", text)
    (problem,) = load_catalog(tmp_path).problems
    at = next(n for n, line in enumerate(text.splitlines(), 1) if "sampling:" in line)
    assert f"line {at}: offers.0.sampling.steps: Field required" in problem.message


def test_lines_are_found_through_anchors_and_merges(tmp_path: Path, sheet: dict[str, Any]) -> None:
    text = yaml.safe_dump(sheet, sort_keys=False)
    licence = "licence:\n  id: MIT\n  commercial: 'yes'\n  source: a test\n  checked_at: '2026-11-21'\n"
    assert licence in text
    merged = "anchor: &it\n  commercial: perhaps\n  source: a test\n  checked_at: 2026-11-21\n"
    _write(tmp_path, "mine.yaml", merged + text.replace(licence, "licence:\n  <<: *it\n  id: MIT\n"))
    (problem,) = load_catalog(tmp_path).problems
    assert "line 2: licence.commercial: Input should be 'yes'" in problem.message


@pytest.mark.parametrize(
    "text",
    [
        "id: svd\n  title: [unclosed",
        "cards:\n- id: svd\n  offers:\n  - id: local\n  title: {",
        "id: svd\nid: svd\n",
    ],
)
def test_a_file_without_readable_yaml_takes_out_what_it_seems_to_replace(
    tmp_path: Path, catalog: Catalog, text: str
) -> None:
    _write(tmp_path, "mine.yaml", text)
    loaded = load_catalog(tmp_path)
    assert set(catalog.cards) - set(loaded.cards) == {"svd"}
    told = [problem.message for problem in loaded.problems]
    assert re.match(rf"{tmp_path}/mine.yaml: line \d+: not valid YAML", told[0])
    assert told[1].startswith("the shipped card svd is out of the catalog until the overlay's is mended")


def test_a_broken_overlay_card_takes_the_shipped_one_out(
    tmp_path: Path, sheet: dict[str, Any], catalog: Catalog
) -> None:
    _write(tmp_path, "mine.yaml", {**sheet, "id": "svd", "status": "alive"})
    loaded = load_catalog(tmp_path)
    assert set(catalog.cards) - set(loaded.cards) == {"svd"}
    with pytest.raises(UnknownModel):
        loaded.get("svd")
    assert len(loaded.problems) == 2
    assert set(pickle.loads(pickle.dumps(loaded)).cards) == set(loaded.cards)
    assert [p.message for p in pickle.loads(pickle.dumps(loaded)).problems] == [
        p.message for p in loaded.problems
    ]


def test_what_only_shows_when_cards_meet_is_told_and_mended(tmp_path: Path, sheet: dict[str, Any]) -> None:
    offer = {**sheet["offers"][0], "default_gpu": "h1000"}
    unrated = {**sheet["quality"], "elo": "unknown", "sd": None}
    cards = [
        {**sheet, "id": "no-gpu", "offers": [offer]},
        {**sheet, "id": "no-heir", "replacement": "nothing"},
        {
            **sheet,
            "id": "no-prior",
            "family": "nobody",
            "quality": unrated,
        },
        {**sheet, "id": "one", "aliases": ["svd", "both"]},
        {**sheet, "id": "two", "aliases": ["both", "own"]},
    ]
    _write(tmp_path, "mine.yaml", {"cards": cards})
    loaded = load_catalog(tmp_path)
    assert {"no-gpu", "no-prior"}.isdisjoint(loaded.cards)
    assert loaded.get("no-heir").replacement is None
    assert (loaded.get("both").id, loaded.get("own").id, loaded.get("svd").id) == ("one", "two", "svd")
    told = " | ".join(problem.message for problem in loaded.problems)
    for words in ("is no GPU type", "names no card", "has no priors", "alias 'svd'", "alias 'both'"):
        assert words in told
    assert all(re.match(rf"{tmp_path}/mine.yaml: line \d+: ", p.message) for p in loaded.problems)
    with pytest.raises(ConfigError):
        load_catalog(tmp_path, strict=True)


def test_aliases_find_their_card_and_are_suggested_by_id(tmp_path: Path, sheet: dict[str, Any]) -> None:
    _write(tmp_path, "mine.yaml", {**sheet, "aliases": ["little-one"]})
    loaded = load_catalog(tmp_path)
    assert loaded.get("little-one").id == "small"
    with pytest.raises(UnknownModel, match="did you mean small"):
        loaded.get("litle-one")
    assert pickle.loads(pickle.dumps(loaded)).get("little-one").id == "small"


def test_aliases_that_clash_are_refused_in_code(small_card: Card) -> None:
    other = small_card.model_copy(update={"id": "other", "aliases": ("small",)})
    with pytest.raises(ConfigError, match="alias 'small' already names small"):
        Catalog.of([small_card, other])


def test_a_character_that_no_yaml_holds_is_a_problem_of_that_file(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("\0")
    catalog = load_catalog(tmp_path)
    assert "wan2.2-i2v-a14b" in catalog
    assert [str(problem) for problem in catalog.problems if "x.yaml: not valid YAML" in str(problem)]
