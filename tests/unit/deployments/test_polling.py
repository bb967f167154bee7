"""When a call is looked at again."""

from __future__ import annotations

import pytest

from deployments import polling
from deployments.polling import next_look


@pytest.mark.parametrize(
    ("elapsed", "expected", "pause"),
    [
        (0.0, 120.0, 1.0),
        (30.0, 120.0, 3.0),
        (80.0, 120.0, 8.0),
        (100.0, 120.0, 4.0),  # near its expected end: a thirtieth of 120 s
        (120.0, 120.0, 4.0),
        (200.0, 120.0, 10.0),
        (50.0, 0.0, 5.0),
        (10.0, 10.0, 1.0),
    ],
)
def test_looks_come_after_a_tenth_of_the_time_and_denser_near_the_end(
    elapsed: float, expected: float, pause: float
) -> None:
    assert next_look(elapsed, expected, called_back=False) == pytest.approx(pause)


def test_a_provider_that_calls_back_is_looked_at_seldom() -> None:
    assert next_look(5.0, 120.0, called_back=True) == polling.WEBHOOK_S
