"""Replicas of a provider by calls in flight, with the context as Ray Serve fills it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ray.serve._private.autoscaling_state import DeploymentAutoscalingState, _resolve_policy_callable
from ray.serve._private.common import DeploymentID, ReplicaID, ReplicaMetricReport, TimeStampedValue
from ray.serve.config import AutoscalingConfig, AutoscalingContext

from deployments.autoscaling import IN_FLIGHT, CallsInFlight
from deployments.config import load_serve_config

ROOT = Path(__file__).resolve().parents[3]
DEPLOYMENT = DeploymentID("Provider", "replicate")


def replica(number: int) -> ReplicaID:
    return ReplicaID(f"r{number}", DEPLOYMENT)


def told(*newest: float) -> dict[ReplicaID, list[TimeStampedValue]]:
    """Each replica's series; only its last point counts."""
    return {
        replica(number): [TimeStampedValue(100.0, 9999.0), TimeStampedValue(101.0, value)]
        for number, value in enumerate(newest)
    }


def context(raw: Any, target: int = 2) -> AutoscalingContext:
    return AutoscalingContext(
        deployment_id=DEPLOYMENT,
        deployment_name="Provider",
        app_name="replicate",
        current_num_replicas=target,
        target_num_replicas=target,
        running_replicas=[replica(number) for number in range(target)],
        total_num_requests=0.0,
        total_queued_requests=0.0,
        aggregated_metrics=None,
        raw_metrics=raw,
        capacity_adjusted_min_replicas=1,
        capacity_adjusted_max_replicas=4,
        policy_state={},
        last_scale_up_time=None,
        last_scale_down_time=None,
        current_time=102.0,
        config=None,
    )


@pytest.mark.parametrize(
    ("calls", "wanted"),
    [((0.0,), 1), ((1.0,), 1), ((500.0,), 1), ((501.0,), 2), ((500.0, 500.0), 2), ((999.0, 502.0), 4)],
)
def test_none_has_more_calls_than_it_should(calls: tuple[float, ...], wanted: int) -> None:
    policy = CallsInFlight(500)
    assert policy(context({IN_FLIGHT: told(*calls)})) == (wanted, {})
    assert policy(context(lambda: {IN_FLIGHT: told(*calls)})) == (wanted, {}), "Serve hands it lazily"


@pytest.mark.parametrize(
    "raw",
    [
        None,
        {},
        {"another metric": told(900.0)},
        {IN_FLIGHT: {}},
        {IN_FLIGHT: None},
        {IN_FLIGHT: {replica(0): []}},
        {IN_FLIGHT: {replica(0): None}},
    ],
)
@pytest.mark.parametrize("target", [1, 3])
def test_while_nobody_tells_it_stays_as_it_is(raw: Mapping[str, Any] | None, target: int) -> None:
    assert CallsInFlight(500)(context(raw, target)) == (target, {})


def test_one_replica_that_has_not_told_yet_is_no_reason_to_stop_counting() -> None:
    raw = {IN_FLIGHT: {replica(0): told(700.0)[replica(0)], replica(1): []}}
    assert CallsInFlight(500)(context(raw)) == (2, {})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -5.0])
def test_numbers_that_count_nothing_are_left_out(value: float) -> None:
    wanted, state = CallsInFlight(500)(context({IN_FLIGHT: told(600.0, value)}))
    assert (wanted, state) == (2, {})


def test_the_shapes_are_those_that_serve_itself_makes() -> None:
    """Through Serve's own bookkeeping: a replica's report in, the policy's context out."""
    state = DeploymentAutoscalingState(DEPLOYMENT)
    state._running_replicas = [replica(0), replica(1)]
    for number, calls in enumerate((480.0, 30.0)):
        series = [TimeStampedValue(99.0, 0.0), TimeStampedValue(100.0, calls)]
        state._replica_metrics[replica(number)] = ReplicaMetricReport(
            replica_id=replica(number), timestamp=100.0, metrics={IN_FLIGHT: series}
        )
    raw = state._get_raw_custom_metrics()
    assert CallsInFlight(500)(context(raw)) == (2, {})


def test_the_shipped_configuration_scales_accounts_by_it() -> None:
    config = load_serve_config(ROOT / "serve_config.yaml")
    for name in ("replicate", "fal"):
        (application,) = [each for each in config.applications if each.name == name]
        (deployment,) = application.deployments
        given = deployment.autoscaling_config
        assert isinstance(given, dict)
        policy = _resolve_policy_callable(AutoscalingConfig(**given).policy)
        assert isinstance(policy, CallsInFlight)
        assert policy(context({IN_FLIGHT: told(501.0)})) == (2, {})


@pytest.mark.parametrize("limit", [0.0, -3.0, 0.5])
def test_a_limit_below_one_call_counts_as_one(limit: float) -> None:
    assert CallsInFlight(limit)(context({IN_FLIGHT: told(3.0)})) == (3, {})
