"""What keeps an account, or one of its offers, out, and what lets it in again."""

from __future__ import annotations

import pytest

from deployments.account_health import AUTH_S, CAP_S, FLAGGED_S, QUOTA_S, AccountHealth
from models.errors import (
    ContentRefused,
    I2VError,
    InputRefused,
    ModelRetired,
    ProviderAuth,
    ProviderFault,
    ProviderUnavailable,
    QuotaExhausted,
    RateLimited,
    SchemaChanged,
    SpendCapReached,
)
from policies.breaker import COOLDOWN_S, FAULTS_IN_A_ROW

KEY = "kling-v2.6/replicate"


def failing(error: type[ProviderFault | ProviderUnavailable], start: float = 0.0) -> AccountHealth:
    health = AccountHealth()
    for index in range(FAULTS_IN_A_ROW):
        health.note(KEY, f"job {index}", error("503"), start + 2.0 * index)
    return health


@pytest.mark.parametrize("error", [ProviderUnavailable, ProviderFault])
def test_jobs_that_fail_in_a_row_open_the_circuit_and_a_success_closes_it(error: type[ProviderFault]) -> None:
    health = failing(error)
    now = 2.0 * FAULTS_IN_A_ROW
    assert "circuit open" in health.reason(now)
    assert not health.to_check(now)
    later = now + COOLDOWN_S
    assert health.to_check(later), "then a request that costs nothing finds out"
    assert health.reason(later), "nothing is sent on trial"
    health.note("", "check", None, later)
    assert health.reason(later) == ""


def test_one_job_that_fails_again_and_again_is_not_an_outage() -> None:
    health = AccountHealth()
    for second in range(20):
        health.note(KEY, "the same", ProviderFault("broken"), 2.0 * second)
    assert health.reason(50.0) == ""


@pytest.mark.parametrize(
    "error", [InputRefused("small"), ContentRefused("no"), RateLimited("slow down", retry_after_s=1.0)]
)
def test_what_is_the_jobs_fault_or_passes_says_nothing(error: I2VError) -> None:
    health = AccountHealth()
    for index in range(30):
        health.note(KEY, f"job {index}", error, 2.0 * index)
    assert health.reason(61.0) == ""
    assert health.flagged(61.0) == {}


def test_a_refused_key_keeps_everything_out_until_a_check_succeeds() -> None:
    health = AccountHealth()
    health.note(KEY, "j", ProviderAuth("the key is refused"), 0.0)
    assert health.reason(AUTH_S * 100) == "the key is refused"
    assert not health.to_check(AUTH_S - 1)
    assert health.to_check(AUTH_S)
    health.note("", "check", ProviderAuth("the key is refused"), AUTH_S)
    assert not health.to_check(AUTH_S + 1)
    health.note("", "check", None, 2 * AUTH_S)
    assert health.reason(2 * AUTH_S) == ""


@pytest.mark.parametrize(
    ("error", "seconds"), [(QuotaExhausted("no money"), QUOTA_S), (SpendCapReached("cap of $10"), CAP_S)]
)
def test_money_is_tried_again_by_the_next_job_after_a_while(error: I2VError, seconds: float) -> None:
    health = AccountHealth()
    health.note(KEY, "j", error, 0.0)
    assert health.reason(seconds - 1) == error.message
    assert not health.to_check(seconds - 1)
    health.note(KEY, "other", None, 1.0)
    assert health.reason(2.0) == error.message, "a look that succeeds is no money"
    assert health.reason(seconds + 1) == ""


@pytest.mark.parametrize("error", [SchemaChanged("no such field", param="mode"), ModelRetired("gone")])
def test_an_offer_is_flagged_by_itself(error: I2VError) -> None:
    health = AccountHealth()
    health.note(KEY, "j", error, 0.0)
    assert health.reason(1.0) == ""
    assert health.flagged(1.0) == {KEY: error.message}
    assert health.flagged(FLAGGED_S + 1) == {}
