"""Loading cards: overlays, duplicates, and errors that name file and field."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import yaml

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
    with pytest.raises(ConfigError, match=r"b\.yaml: card id small is already in .*a\.yaml"):
        load_catalog(tmp_path)


def test_replacement_must_exist(tmp_path: Path, sheet: dict[str, Any]) -> None:
    _write(tmp_path, "a.yaml", {**sheet, "replacement": "nothing"})
    with pytest.raises(ConfigError, match="card small: replacement 'nothing' names no card") as caught:
        load_catalog(tmp_path)
    assert caught.value.param == "replacement"
    _write(tmp_path, "a.yaml", {**sheet, "replacement": "small"})
    with pytest.raises(ConfigError, match="its own replacement"):
        load_catalog(tmp_path)
    _write(tmp_path, "a.yaml", {**sheet, "replacement": "svd-xt"})
    assert load_catalog(tmp_path).get("small").replacement == "svd-xt"


def test_schema_error_names_file_field_and_value(tmp_path: Path, sheet: dict[str, Any]) -> None:
    sheet["offers"][0]["sampling"]["steps"] = -3
    sheet["surprise"] = 1
    _write(tmp_path, "mine.yaml", {"cards": [sheet]})
    with pytest.raises(ConfigError) as caught:
        load_catalog(tmp_path)
    message = caught.value.message
    assert message.startswith(f"{tmp_path}/mine.yaml: cards[0] (small): ")
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
        load_catalog(tmp_path)
    assert f"{tmp_path}/bad.yaml" in caught.value.message


def test_nan_is_refused_from_yaml(tmp_path: Path, sheet: dict[str, Any]) -> None:
    sheet["quality"]["elo"] = float("nan")
    _write(tmp_path, "nan.yaml", sheet)
    assert ".nan" in (tmp_path / "nan.yaml").read_text()
    with pytest.raises(ConfigError, match=r"quality\.elo: Input should be a finite number"):
        load_catalog(tmp_path)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_bytes(b"id: \xff\xfe")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_catalog(tmp_path)


def test_overlay_that_is_no_directory(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not a directory"):
        load_catalog(tmp_path / "missing")


def test_default_gpu_must_be_known(tmp_path: Path, sheet: dict[str, Any]) -> None:
    sheet["offers"][0]["default_gpu"] = "h1000"
    _write(tmp_path, "a.yaml", sheet)
    with pytest.raises(ConfigError, match="default_gpu 'h1000' is no GPU type") as caught:
        load_catalog(tmp_path)
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
