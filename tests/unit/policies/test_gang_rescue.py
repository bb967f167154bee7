"""As many promises as possible are kept, against every subset tried out."""

from __future__ import annotations

from itertools import combinations
from random import Random

from policies.gang_rescue import Claim, kept


def on_time(claims: list[Claim], gpus: int, busy: float) -> bool:
    at = busy / gpus
    for claim in sorted(claims, key=lambda c: c.by):
        at += claim.work / gpus
        if at > claim.by:
            return False
    return True


def most(claims: list[Claim], gpus: int, busy: float) -> int:
    for size in range(len(claims), 0, -1):
        if any(on_time(list(chosen), gpus, busy) for chosen in combinations(claims, size)):
            return size
    return 0


def test_no_choice_keeps_more():
    rng = Random(7)
    for _ in range(200):
        claims = []
        for number in range(rng.randrange(1, 8)):
            work = rng.uniform(1, 20)
            claims.append(Claim(str(number), rng.uniform(1, 40) / 4, work, work))
        claims.sort(key=lambda claim: claim.by)
        busy = rng.choice((0.0, 3.0))
        chosen = kept(claims, 0.0, 4, busy, 1.0)
        assert on_time([claim for claim in claims if claim.clip in chosen], 4, busy)
        assert len(chosen) == most(claims, 4, busy)


def test_what_is_worth_more_is_kept():
    small = Claim("small", 10.0, 8.0, 8.0)
    large = Claim("large", 10.0, 9.0, 9.0)
    assert kept([large, small], 0.0, 1, 0.0, 1.0) == {"small"}
    dear = Claim("large", 10.0, 9.0, 9.0 / 1.5)
    assert kept([dear, small], 0.0, 1, 0.0, 1.0) == {"large"}


def test_the_margin_and_the_clock_count():
    claim = Claim("a", 10.0, 9.8, 9.8)
    assert kept([claim], 0.0, 1, 0.0, 1.0) == {"a"}
    assert kept([claim], 0.0, 1, 0.0, 1.03) == set()
    assert kept([claim], 0.5, 1, 0.0, 1.0) == set()
