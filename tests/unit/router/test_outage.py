"""When leases that ran out are not held against their workers."""

from __future__ import annotations

import pytest

from router.outage import Outage


@pytest.mark.parametrize(
    ("away_s", "later_s", "grace"),
    [
        pytest.param(4.0, 0.0, False, id="short: every worker had time to renew"),
        pytest.param(6.0, 0.0, True, id="long: workers must be heard first"),
        pytest.param(6.0, 9.9, True, id="for one lease"),
        pytest.param(6.0, 10.1, False, id="and no longer"),
        pytest.param(600.0, 9.9, True, id="very long"),
    ],
)
def test_grace_after_an_outage_of_a_store_with_leases_of_ten_seconds(
    away_s: float, later_s: float, grace: bool
) -> None:
    now = 100.0
    outage = Outage(10.0, clock=lambda: now)
    outage.ended()
    assert not outage.grace
    outage.began()
    now += away_s / 2
    outage.began()  # still away: it counts from the first
    now += away_s / 2
    assert outage.grace, "nothing is judged while the store is away"
    outage.ended()
    now += later_s
    outage.ended()
    assert outage.grace is grace
