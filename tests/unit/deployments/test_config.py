from pathlib import Path

import pytest
from ray.serve.schema import ServeDeploySchema

from deployments.args import ModelArgs
from deployments.config import load_serve_config, merge, overlay, unknown_keys, validate
from models.errors import ConfigError

ROOT = Path(__file__).resolve().parents[3]
CONFIG = ROOT / "serve_config.yaml"
LOCAL = ROOT / "deployments" / "overlays" / "local.yaml"


def app(**over: object) -> dict[str, object]:
    return {"name": "a", "import_path": "deployments.app:build_model", "args": {"anything": 1}, **over}


@pytest.mark.parametrize(
    ("document", "unknown"),
    [
        ({"applications": [app()]}, []),
        ({"aplications": []}, ["aplications"]),
        ({"applications": [app(route_prefx="/")]}, ["applications[a].route_prefx"]),
        ({"http_options": {"prt": 1}}, ["http_options.prt"]),
        (
            {"applications": [app(deployments=[{"name": "M", "max_ongoing": 1}])]},
            ["applications[a].deployments[M].max_ongoing"],
        ),
        (
            {
                "applications": [
                    app(deployments=[{"name": "M", "autoscaling_config": {"target_ongoing_request": 1}}])
                ]
            },
            ["applications[a].deployments[M].autoscaling_config.target_ongoing_request"],
        ),
        (
            {"applications": [app(deployments=[{"name": "M", "ray_actor_options": {"num_cpu": 1}}])]},
            ["applications[a].deployments[M].ray_actor_options.num_cpu"],
        ),
        ({"applications": [app(args={"model": "x", "free": {"form": 1}})]}, []),
    ],
)
def test_unknown_keys_are_found_at_every_level(document: dict[str, object], unknown: list[str]) -> None:
    assert unknown_keys(document, ServeDeploySchema) == unknown


def test_a_typo_is_refused_and_named() -> None:
    with pytest.raises(ConfigError, match=r"applications\[a\]\.route_prefx"):
        validate({"applications": [app(route_prefx="/")]})


def test_a_wrong_value_is_refused_and_named() -> None:
    with pytest.raises(ConfigError, match="num_replicas"):
        validate({"applications": [app(deployments=[{"name": "M", "num_replicas": -1}])]})


def test_merge_is_by_name_and_keeps_the_rest() -> None:
    base = {"applications": [{"name": "a", "x": 1, "deep": {"p": 1, "q": 2}}, {"name": "b"}]}
    over = {"applications": [{"name": "a", "deep": {"q": 3}}, {"name": "c"}]}
    assert merge(base, over) == {
        "applications": [{"name": "a", "x": 1, "deep": {"p": 1, "q": 3}}, {"name": "b"}, {"name": "c"}]
    }


def test_keep_drops_applications_and_refuses_unknown_names() -> None:
    base = {"applications": [{"name": "a"}, {"name": "b"}]}
    assert overlay(base, {"keep": ["b"]}) == {"applications": [{"name": "b"}]}
    with pytest.raises(ConfigError, match="unknown applications"):
        overlay(base, {"keep": ["z"]})


def test_the_shipped_configuration_is_valid_and_complete() -> None:
    config = load_serve_config(CONFIG)
    names = [application.name for application in config.applications]
    assert names[0] == "gateway"
    assert len(names) == len(set(names))


def test_every_model_application_drains_longer_than_its_clips_and_takes_a_call_for_each_it_holds() -> None:
    for application in load_serve_config(CONFIG).applications:
        if application.import_path != "deployments.app:build_model":
            continue
        (deployment,) = application.deployments
        args = ModelArgs.model_validate(application.args)
        assert deployment.max_ongoing_requests == args.held, application.name
        assert deployment.graceful_shutdown_timeout_s >= 300, application.name
        assert len(deployment.placement_group_bundles) == args.gang_size + 1


def test_the_local_overlay_keeps_the_same_code_and_needs_no_gpu() -> None:
    whole = {a.name: a for a in load_serve_config(CONFIG).applications}
    local = load_serve_config(CONFIG, LOCAL)
    assert {"gateway", "parallax", "tiny-wan"} == {a.name for a in local.applications}
    for application in local.applications:
        if application.name in whole:
            assert application.import_path == whole[application.name].import_path
        for deployment in application.deployments:
            given = deployment.model_dump(exclude_unset=True)
            assert not any("GPU" in bundle for bundle in given.get("placement_group_bundles", []))


@pytest.mark.parametrize("text", ["[1, 2]", "a: [", ""])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"c\.yaml"):
        load_serve_config(path)
