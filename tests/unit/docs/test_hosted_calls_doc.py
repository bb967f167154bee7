"""What docs/hosted-calls.md and the README say of hosted calls is what the code and the catalog say."""

from __future__ import annotations

import re
from pathlib import Path

from deployments.account_health import AUTH_S, CAP_S, FLAGGED_S, QUOTA_S
from deployments.call_desk import CallPace
from deployments.polling import GROWTH, LONGEST_S, WEBHOOK_S
from deployments.provider_worker import RECONNECT_S, RENEW_S
from models.card import HOSTED
from models.catalog import load_catalog
from models.providers.limits import GROW_AFTER, LONGEST_PAUSE_S, PAUSE_S
from models.providers.webhooks import TOLERANCE_S
from policies.breaker import COOLDOWN_S, FAULTS_IN_A_ROW, LONGEST_COOLDOWN_S, WATCHED
from router.follow_up import ABSENT_S
from router.jobs.call_store import CallOutcome, CallState

ROOT = Path(__file__).resolve().parents[3]
PAGE = " ".join((ROOT / "docs" / "hosted-calls.md").read_text(encoding="utf-8").split())
API = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
README = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
NUMBERS = {
    **{"half an": 0.5, "a": 1, "an": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "ten": 10},
    "twenty": 20,
}
UNITS = {"s": 1, "second": 1, "seconds": 1, "minute": 60, "minutes": 60, "hour": 3600, "hours": 3600}


def seconds(before: str, after: str = "") -> float:
    """The duration that stands in the page behind these words, and before those."""
    number = "|".join(sorted(NUMBERS, key=len, reverse=True))
    pattern = f"{re.escape(before)} ?({number}|[0-9]+) ({'|'.join(UNITS)})\\b{re.escape(after)}"
    found = re.findall(pattern, PAGE)
    assert len(found) == 1, (before, after, found)
    count, unit = found[0]
    return float(NUMBERS.get(count, 0) or count) * UNITS[unit]


def test_times_of_calls_are_those_of_the_code() -> None:
    pace = CallPace()
    assert GROWTH == 0.1
    assert seconds("a tenth of the time that has passed,") == LONGEST_S
    assert seconds("every", " where webhooks come") == WEBHOOK_S
    assert seconds("renews their leases, every") == RENEW_S
    assert seconds("Writes wait") == pace.outcome_s
    assert seconds("two looks in a row,", " after the intent") == pace.settle_s
    assert seconds("The search ends after") == pace.find_s
    assert seconds("Without one for") == ABSENT_S
    assert pace.lives == 4
    assert seconds("no end after four times the predicted time (") == pace.least_life_s
    assert seconds("finds the account full for") == pace.submit_s
    assert seconds("After", " without confirmation") == pace.cancel_s
    assert seconds("[call_orphans.py](../deployments/call_orphans.py), every") == pace.orphans_s


def test_times_of_accounts_are_those_of_the_code() -> None:
    assert seconds("| no key | `broken` | every") == RECONNECT_S
    assert "| key refused | `away` | every minute" in PAGE
    assert AUTH_S == 60
    assert seconds("| account empty | `away` | after") == QUOTA_S
    assert seconds("| cap reached | `away` | after") == CAP_S
    assert seconds("that one offer is flagged | after") == FLAGGED_S
    assert seconds("the circuit is open | after") == COOLDOWN_S
    assert seconds("the circuit is open | after 30 s, doubling to") == LONGEST_COOLDOWN_S
    assert (
        f"{word(FAULTS_IN_A_ROW)} jobs in a row, or more than half of the last {word(WATCHED)} requests"
        in PAGE
    )
    assert seconds("(else", ", doubling") == PAUSE_S
    assert seconds("(else 5 s, doubling to") == LONGEST_PAUSE_S
    assert f"{word(GROW_AFTER)} good ones raise them by one" in PAGE
    assert seconds("signed these bytes within the last") == TOLERANCE_S


def word(number: int) -> str:
    return next(name for name, value in NUMBERS.items() if value == number)


def test_every_state_and_outcome_of_a_call_is_told() -> None:
    row = next(line for line in API.splitlines() if line.startswith("| `attempts` |"))
    assert {f"`{name}`" for name in (*CallState, *CallOutcome)} <= set(re.findall(r"`\w+`", row))


def test_the_readme_counts_the_hosted_offers() -> None:
    told = re.search(r"(\d+) of the models join from Replicate and fal \((\d+) offers", README)
    assert told is not None
    offers = [
        (card.id, offer.id)
        for card in load_catalog()
        if card.status != "retired"
        for offer in card.offers
        if offer.backend in HOSTED - {"vendor"}
    ]
    assert (int(told[1]), int(told[2])) == (len({model for model, _ in offers}), len(offers))
