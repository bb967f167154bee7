"""Which ends of attempts speak against an offer."""

from __future__ import annotations

import pytest

from policies.breaker import FAULTS_IN_A_ROW, Circuit
from router.health import verdicts
from router.jobs.records import AttemptStatus, Ended

NOW = 1_000.0


def ended(status: AttemptStatus, code: str | None, offer: str = "local") -> list[Ended]:
    return [Ended(f"vid_{n}", "m", offer, NOW - 20.0 + 2 * n, status, code) for n in range(FAULTS_IN_A_ROW)]


@pytest.mark.parametrize(
    ("status", "code", "circuit"),
    [
        (AttemptStatus.FAILED, "rank_lost", Circuit.OPEN),
        (AttemptStatus.FAILED, "stalled", Circuit.OPEN),
        (AttemptStatus.FAILED, "runner_error", Circuit.OPEN),
        (AttemptStatus.FAILED, "encode_failed", Circuit.OPEN),
        (AttemptStatus.FAILED, "provider_unavailable", Circuit.OPEN),
        (AttemptStatus.FAILED, "provider_fault", Circuit.OPEN),
        (AttemptStatus.FAILED, "result_unusable", Circuit.OPEN),
        (AttemptStatus.FAILED, "outcome_unknown", Circuit.OPEN),
        (AttemptStatus.FAILED, "rate_limited", None),
        (AttemptStatus.FAILED, "provider_auth", None),
        (AttemptStatus.FAILED, "quota_exhausted", None),
        (AttemptStatus.FAILED, "spend_cap_reached", None),
        (AttemptStatus.FAILED, "content_refused", None),
        (AttemptStatus.FAILED, "schema_changed", None),
        (AttemptStatus.LOST, "lost", Circuit.OPEN),
        (AttemptStatus.LOST, None, Circuit.OPEN),
        (AttemptStatus.FAILED, "input_refused", None),
        (AttemptStatus.FAILED, "out_of_memory", None),
        (AttemptStatus.FAILED, "checkpoint_missing", None),
        (AttemptStatus.FAILED, "media_unavailable", None),
        (AttemptStatus.FAILED, "internal_error", None),
        (AttemptStatus.FAILED, None, None),
        (AttemptStatus.CANCELLED, "cancelled", None),
        (AttemptStatus.CANCELLED, "released", None),
        (AttemptStatus.COMPLETED, None, Circuit.CLOSED),
    ],
)
def test_only_what_the_offer_is_to_blame_for_counts(
    status: AttemptStatus, code: str | None, circuit: Circuit | None
) -> None:
    found = verdicts(ended(status, code), NOW).get(("m", "local"))
    assert (None if found is None else found.circuit) is circuit


def test_offers_are_judged_apart() -> None:
    both = ended(AttemptStatus.LOST, "lost") + ended(AttemptStatus.COMPLETED, None, "turbo")
    found = verdicts(both, NOW)
    assert {offer: verdict.circuit for (_, offer), verdict in found.items()} == {
        "local": Circuit.OPEN,
        "turbo": Circuit.CLOSED,
    }
