"""Profiles: strict YAML, named errors, and five that ship."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml

from models.errors import ConfigError
from models.types import Objective
from policies import registry
from policies.geometry import Tolerance
from policies.profile import load_profiles, parse_profile
from policies.registry import discover, gather


def sheet(**over: Any) -> dict[str, Any]:
    return {
        "name": "mine",
        "summary": "A profile for tests.",
        "filters": ["lifecycle", {"use": "deadline", "with": {"hopeless": 0.2}}],
        "scorers": [
            {"use": "quality", "weight": 1.0},
            {"use": "speed", "weight": 0.5, "with": {"half_at_s": 9}},
        ],
        "picker": {"use": "expected_utility", "with": {"cost_weight": 0.3}},
        "geometry": {
            "min_resolution": 0.5,
            "min_seconds": 0.5,
            "min_fps": 0.5,
            "min_aspect": 0.5,
            "crop_at_least": 0.5,
        },
        "reference_elo": 1100,
        "fallbacks": 2,
    } | over


def test_shipped_profiles_answer_every_objective() -> None:
    profiles = load_profiles()
    assert set(profiles) == {objective.value for objective in Objective}
    for name, profile in profiles.items():
        assert profile.name == name
        assert {"lifecycle", "model_choice", "task"} <= {f for f, _, _ in profile.offer_filters}
        assert {"memory", "budget", "deadline", "health"} <= {f for f, _, _ in profile.candidate_filters}
        assert {"quality", "on_time", "makes"} <= {scorer.name for scorer, _ in profile.scorers}


def test_parameters_and_weights_come_from_the_file() -> None:
    profile = parse_profile(sheet(), "mine.yaml")
    assert [(s.name, w) for s, w in profile.scorers] == [("quality", 1.0), ("speed", 0.5)]
    assert profile.scorers[1][0].half_at_s == 9  # type: ignore[attr-defined]
    assert profile.picker.cost_weight == 0.3  # type: ignore[attr-defined]
    assert profile.tolerance == Tolerance(0.5, 0.5, 0.5, 0.5, 0.5)
    assert (profile.reference_elo, profile.fallbacks) == (1100, 2)
    assert [name for name, _, _ in profile.offer_filters] == ["lifecycle"]
    assert [name for name, _, _ in profile.candidate_filters] == ["deadline"]


@pytest.mark.parametrize(
    ("over", "told"),
    [
        ({"filters": ["lifecycl"]}, "no filter is called 'lifecycl'; known: budget, camera_control,"),
        ({"scorers": [{"use": "beauty", "weight": 1}]}, "no scorer is called 'beauty'; known: affinity,"),
        ({"picker": "random"}, "no picker is called 'random'; known: expected_utility, max_score"),
        ({"picker": "quality"}, "no picker is called 'quality'"),
        (
            {"filters": [{"use": "deadline", "with": {"hopless": 0.1}}]},
            "has no parameter hopless; it has hopeless",
        ),
        ({"filters": [{"use": "lifecycle", "with": {"x": 1}}]}, "has no parameter x; it has none"),
        ({"filters": [{"use": "deadline", "with": {"hopeless": 2}}]}, "hopeless: Input should be less than"),
        (
            {"filters": [{"use": "deadline", "with": {"hopeless": "often"}}]},
            "hopeless: Input should be a valid number",
        ),
        ({"filters": ["lifecycle", "lifecycle"]}, "filters repeat"),
        ({"scorers": [{"use": "quality", "weight": 0}]}, "scorers.0.weight: Input should be greater than 0"),
        ({"scorers": []}, "scorers: Tuple should have at least 1 item"),
        ({"extra": 1}, "extra: Extra inputs are not permitted"),
        ({"geometry": {"min_resolution": 0.5}}, "geometry.min_seconds: Field required"),
        ({"name": "My Profile"}, "name: String should match pattern"),
    ],
)
def test_mistakes_are_named(over: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse_profile(sheet(**over), "mine.yaml")
    assert told in raised.value.message
    assert "mine.yaml" in raised.value.message


def test_overlay_replaces_whole_profiles_and_adds_new_ones(tmp_path: Path) -> None:
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "a.yaml").write_text(yaml.safe_dump(sheet(name="balanced")))
    (tmp_path / "profiles" / "b.yaml").write_text(yaml.safe_dump(sheet(name="nightly")))
    profiles = load_profiles(tmp_path)
    assert profiles["balanced"].summary == "A profile for tests."
    assert profiles["nightly"].fallbacks == 2
    assert profiles["quality"].summary == load_profiles()["quality"].summary


def test_overlay_without_profiles_is_the_shipped_set(tmp_path: Path) -> None:
    assert set(load_profiles(tmp_path)) == set(load_profiles())


def overlay(tmp_path: Path, **files: str) -> Path:
    (tmp_path / "profiles").mkdir()
    for name, text in files.items():
        (tmp_path / "profiles" / f"{name}.yaml").write_text(text)
    return tmp_path


def test_of_two_files_with_one_name_neither_is_taken(tmp_path: Path) -> None:
    text = yaml.safe_dump(sheet(name="balanced"))
    profiles = load_profiles(overlay(tmp_path, a=text, b=text))
    assert profiles["balanced"].summary == load_profiles()["balanced"].summary
    (problem,) = profiles.problems
    assert "b.yaml: line " in problem.message
    assert "profile balanced is in another file already" in problem.message


@pytest.mark.parametrize(
    ("over", "told"),
    [
        ({"fallbacks": -1}, "fallbacks: Input should be greater"),
        ({"scorers": [{"use": "beauty", "weight": 1}]}, "scorers: no scorer is called 'beauty'"),
        ({"filters": ["lifecycle", "lifecycle"]}, "filters repeat"),
    ],
)
def test_a_broken_profile_is_told_with_its_line_and_the_shipped_one_answers(
    tmp_path: Path, over: dict[str, Any], told: str
) -> None:
    text = yaml.safe_dump(sheet(**{"name": "balanced", **over}), sort_keys=False)
    good = yaml.safe_dump(sheet(name="nightly"))
    profiles = load_profiles(overlay(tmp_path, broken=text, good=good))
    assert profiles["balanced"].summary == load_profiles()["balanced"].summary
    assert profiles["nightly"].summary == "A profile for tests."
    (problem,) = profiles.problems
    field = next(iter(over))
    at = next(n for n, line in enumerate(text.splitlines(), 1) if line.startswith(f"{field}:"))
    assert re.search(rf"/profiles/broken\.yaml: line ({at}|{at + 1}): ", problem.message)
    assert told in problem.message
    with pytest.raises(ConfigError, match=r"broken\.yaml"):
        load_profiles(tmp_path, strict=True)


def test_a_profile_that_is_no_yaml_is_told(tmp_path: Path) -> None:
    profiles = load_profiles(overlay(tmp_path, broken="name: [balanced"))
    assert set(profiles) == set(load_profiles())
    assert "broken.yaml: line 1: not valid YAML" in profiles.problems[0].message


# --- registry -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Lucky:
    """A scorer of a third party."""

    name: ClassVar[str] = "lucky"

    def score(self, request: object, candidates: list[object]) -> list[object]:
        del request
        return candidates


@dataclass(frozen=True, slots=True)
class Confused:
    """Two kinds at once."""

    name: ClassVar[str] = "confused"

    def score(self, request: object, candidates: object) -> None: ...

    def order(self, request: object, scored: object) -> None: ...


class Plain:
    name = "plain"

    def score(self, request: object, candidates: object) -> None: ...


def test_entry_points_join(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("lucky", f"{__name__}:Lucky", registry.ENTRY_POINTS)
    monkeypatch.setattr(EntryPoint, "load", lambda _: Lucky)
    monkeypatch.setattr(
        registry, "entry_points", lambda group: [point] if group == registry.ENTRY_POINTS else []
    )
    found = discover.__wrapped__()
    assert found.build("scorer", "lucky", {}, "test") == Lucky()
    assert set(discover().classes) < set(found.classes)


def test_a_broken_entry_point_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("lucky", "no_such_module_of_ours:Lucky", registry.ENTRY_POINTS)
    monkeypatch.setattr(registry, "entry_points", lambda group: [point])
    with pytest.raises(
        ConfigError, match="entry point lucky = no_such_module_of_ours:Lucky: No module named"
    ):
        discover.__wrapped__()


@pytest.mark.parametrize("cls", [Confused, Plain])
def test_what_is_no_policy_is_refused(cls: type) -> None:
    with pytest.raises(ConfigError, match="is no policy"):
        gather([cls])


def test_two_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="two scorers are called 'lucky'"):
        gather([Lucky, Lucky])
