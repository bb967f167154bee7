"""What drives a clip goes to models made to follow it; those that take it on the side come after."""

from __future__ import annotations

from typing import Any

import pytest

from models.types import TaskType
from policies.scorers.input_fit import InputFit

HEARD: dict[str, Any] = {"task": TaskType.A2V, "has_audio": True, "audio_seconds": 12.5}
DRIVEN: dict[str, Any] = {"task": TaskType.ANIMATE, "has_driving_video": True}


@pytest.mark.parametrize(
    ("controls", "asked", "value", "said"),
    [
        ({}, {}, 1.0, "no driving video"),
        ({"audio_in": "required"}, HEARD, 1.0, "made to follow the audio file of 12.5 s"),
        ({"audio_in": "optional"}, HEARD, 0.4, "audio file of 12.5 s on the side"),
        ({"driving_video": "required"}, DRIVEN, 1.0, "driving video of unread length"),
        ({"driving_video": "optional"}, DRIVEN, 0.4, "on the side"),
        # The motion follows the video; the sound is laid under it.
        ({"driving_video": "required", "audio_in": "optional"}, DRIVEN | HEARD, 1.0, "made to follow"),
    ],
)
def test_made_to_follow_or_on_the_side(
    build: Any, controls: dict[str, str], asked: dict[str, Any], value: float, said: str
) -> None:
    scorer, request = InputFit(), build.request(**asked)
    candidate = build.candidate(build.card(controls=controls))
    assert scorer.score(request, [candidate]) == [value]
    assert said in scorer.explain(request, candidate)
