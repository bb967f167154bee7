"""What the configuration of a gang must look like."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deployments.args import ModelArgs
from deployments.config import load_serve_config, validate
from models.errors import ConfigError

ROOT = Path(__file__).resolve().parents[3]
GANG = ROOT / "deployments" / "overlays" / "gang.yaml"


def document(args: dict[str, Any] | None = None, ranks: int = 1, **over: Any) -> dict[str, Any]:
    deployment = {
        "name": "Model",
        "placement_group_bundles": [{"CPU": 0.1}] * (ranks + 1),
        "placement_group_strategy": "STRICT_PACK",
        **over,
    }
    application = {
        "name": "wan",
        "import_path": "deployments.app:build_model",
        "args": {"model": "wan", **(args or {})},
        "deployments": [deployment],
    }
    return {"applications": [application]}


@pytest.mark.parametrize(
    ("args", "held"),
    [
        ({}, 1),
        ({"slots": 3}, 3),
        ({"gang_size": 2}, 4),
        ({"gang_size": 8}, 16),
        ({"gang_size": 8, "slots": 5}, 5),
    ],
)
def test_a_gang_holds_two_clips_for_each_rank_unless_told(args: dict[str, Any], held: int) -> None:
    assert ModelArgs.model_validate({"model": "m", **args}).held == held


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        (document({"gang_size": 4}, ranks=1, max_ongoing_requests=8), "holds 2 bundles; gang_size 4 needs 5"),
        (document(ranks=2), "holds 3 bundles; gang_size 1 needs 2"),
        (document({"gang_size": 2}, ranks=2), r"max_ongoing_requests: is 1; .* set 4 or more"),
        (document({"slots": 2}), r"max_ongoing_requests: is 1; .* set 2 or more"),
        (
            document({"gang_size": 2}, 2, max_ongoing_requests=4, placement_group_strategy="PACK"),
            "placement_group_strategy: is PACK; .* set STRICT_PACK",
        ),
        (document({"gang_size": 3}), r"args\.gang_size: Input should be 1, 2, 4 or 8"),
        (document({"gangsize": 2}), r"args\.gangsize: Extra inputs"),
        (document({"slots": 0}), r"args\.slots"),
    ],
)
def test_what_could_not_work_is_refused_and_told(given: dict[str, Any], fault: str) -> None:
    with pytest.raises(ConfigError, match=fault) as refused:
        validate(given)
    assert str(refused.value.param).startswith("applications[wan].")


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(ConfigError, match=r"placement_group_bundles.*max_ongoing_requests"):
        validate(document({"gang_size": 2}, ranks=1))


@pytest.mark.parametrize(
    "given",
    [
        document(),
        document({"gang_size": 4}, ranks=4, max_ongoing_requests=8),
        document({"gang_size": 4, "slots": 1}, ranks=4),
        {"applications": [{"name": "other", "import_path": "elsewhere:build", "args": {"gang_size": 3}}]},
    ],
)
def test_what_works_is_taken(given: dict[str, Any]) -> None:
    assert len(validate(given).applications) == 1


def test_the_gang_overlay_runs_four_ranks_on_processors_alone() -> None:
    config = load_serve_config(ROOT / "serve_config.yaml", GANG)
    assert [application.name for application in config.applications] == ["gateway", "tiny-wan"]
    args = ModelArgs.model_validate(config.applications[1].args)
    assert (args.model, args.gang_size, args.held) == ("tiny-wan-i2v", 4, 8)
    (deployment,) = config.applications[1].deployments
    assert not any("GPU" in bundle for bundle in deployment.placement_group_bundles)
