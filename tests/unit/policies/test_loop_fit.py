"""A wished loop goes to a model and mode that closes it."""

from __future__ import annotations

from typing import Any

import pytest

from policies.scorers.loop_fit import LoopFit


@pytest.mark.parametrize(
    ("controls", "mode", "asked", "value", "said"),
    [
        ({}, {}, {"wants_loop": False}, 1.0, "no loop asked"),
        ({"loop": True}, {}, {}, 1.0, "closes the loop itself"),
        ({"loop": True}, {"excludes": ["loop"]}, {}, 0.5, "not in this mode (5.06 s)"),
        ({"last_image": "optional"}, {}, {"has_last_image": True}, 0.9, "the given last image"),
        ({"last_image": "optional"}, {}, {}, 0.6, "0 were given"),
        ({}, {}, {}, 0.5, "will not meet its start"),
    ],
)
def test_who_closes_a_loop(
    build: Any, controls: dict[str, Any], mode: dict[str, Any], asked: dict[str, Any], value: float, said: str
) -> None:
    row = build.mode(**mode)
    candidate = build.candidate(build.card(controls=controls, modes=[row]), mode=row)
    scorer, request = LoopFit(), build.request(**({"wants_loop": True} | asked))
    assert scorer.score(request, [candidate]) == [value]
    assert said in scorer.explain(request, candidate)
