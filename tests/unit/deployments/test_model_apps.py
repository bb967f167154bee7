"""What the configuration of a gang, of a hosted account and of an engine must look like."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deployments.args import ModelArgs, ProviderArgs
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


# --- accounts and engines ----------------------------------------------------------------------------

ENGINE = {
    "provider": "vllm-omni",
    "url": "http://engine:8091",
    "model": "wan2.2-i2v-a14b",
    "offer": "engine",
    "gpu": "h100",
}


def provider(**args: Any) -> dict[str, Any]:
    application = {
        "name": "acme",
        "route_prefix": None,
        "import_path": "deployments.app:build_provider",
        "args": args,
    }
    return {"applications": [application]}


def without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in ENGINE.items() if name not in names}


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        (provider(), r"args\.provider: Field required"),
        (provider(provider="acme-video"), r"args\.provider: .*acme-video.*; there are .*replicate"),
        (provider(provider="replicate", token="x"), r"args\.token: Extra inputs"),
        (provider(provider="replicate", gpu="h100"), r"args: .*for engines"),
        (provider(provider="replicate", gpus=2), r"args: .*for engines"),
        (provider(**ENGINE | {"provider": "replicate"}), r"provider replicate takes no model, offer or gpu"),
        (provider(provider="sglang"), r"provider sglang needs url, model, offer and gpu"),
        (provider(**without("url", "gpu")), r"args: .*missing: url, gpu"),
        (provider(**ENGINE, gpus=3), r"args\.gpus: Input should be 1, 2, 4 or 8"),
        (provider(provider="fal", url="fal.run"), r"args\.url"),
        (provider(provider="fal", url="https://me:secret@fal.run"), r"args\.url"),
        (provider(provider="fal", account="Main"), r"args\.account"),
        (provider(provider="fal", account="a" * 64), r"args\.account"),
        (provider(provider="fal", spend_cap_usd=0), r"args\.spend_cap_usd"),
        (provider(provider="fal", spend_window_s=0), r"args\.spend_window_s"),
        (provider(provider="fal", concurrency=0), r"args\.concurrency"),
        (provider(provider="fal", submits_per_s=0), r"args\.submits_per_s"),
    ],
)
def test_what_could_reach_no_provider_is_refused_and_told(given: dict[str, Any], fault: str) -> None:
    with pytest.raises(ConfigError, match=fault) as refused:
        validate(given)
    assert str(refused.value.param).startswith("applications[acme].args")
    assert "secret" not in refused.value.message


def test_faults_of_models_and_of_providers_are_told_together() -> None:
    given = document(ranks=2)
    given["applications"] += provider(provider="nobody")["applications"]
    with pytest.raises(ConfigError, match=r"applications\[wan\].*applications\[acme\]"):
        validate(given)


@pytest.mark.parametrize(
    ("given", "calls"),
    [
        (provider(provider="replicate"), 1000),
        (provider(provider="fal", account="a" * 63, spend_cap_usd=5, concurrency=20), 20),
        (provider(**ENGINE), 1),
        (provider(**ENGINE, gpus=4, concurrency=2), 2),
    ],
)
def test_what_reaches_a_provider_is_taken(given: dict[str, Any], calls: int) -> None:
    (application,) = validate(given).applications
    assert ProviderArgs.model_validate(application.args).most_calls == calls
