"""What a request map on a card may say."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from pydantic import ValidationError

from models.requests import MADE_ANYWAY, CameraText, Number, RequestMap, Table
from models.types import CameraMove

SOURCE: dict[str, Any] = {"source": "a test", "checked_at": "2026-11-21"}


def _map(**over: Any) -> RequestMap:
    return RequestMap.model_validate({"image": "image_url", **SOURCE} | over)


@pytest.mark.parametrize(
    ("over", "told"),
    [
        ({"seed_max": 9}, "seed_max limits a seed"),
        ({"prompt_needed": True}, "needs the name of the prompt parameter"),
        ({"version": "5821a338"}, "pattern"),
        ({"sound": "never"}, "always"),
        ({"camera_text": {"values": {"spin": "Spin"}}}, "camera_text"),
        ({"guidance": 5}, "Extra inputs"),
    ],
)
def test_a_map_that_makes_no_sense_is_refused(over: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        _map(**over)


def test_a_suffix_is_text() -> None:
    with pytest.raises(ValidationError, match="needs type string"):
        Number(name="duration", type="integer", suffix="s")


def test_names_are_all_that_the_map_can_send() -> None:
    request = _map(
        last_image="end",
        prompt="prompt",
        seconds={"name": "transitions.0.duration", "type": "integer"},
        sound={"name": "audio"},
        camera={"name": "motion", "values": {"static": "still"}},
        sends={"task": "i2v"},
    )
    assert request.names() == (
        "image_url",
        "end",
        "prompt",
        "transitions.0.duration",
        "audio",
        "motion",
        "task",
    )
    assert _map(sound=MADE_ANYWAY).names() == ("image_url",)


def test_maps_with_tables_have_a_hash_and_travel() -> None:
    one, other = (_map(sends={"a": 1, "b": "x"}) for _ in range(2))
    assert (hash(one), one) == (hash(other), other)
    assert pickle.loads(pickle.dumps(one)) == one
    assert hash(Table({"a": 1, "b": 2})) == hash(Table({"b": 2, "a": 1}))
    assert len({CameraText(values={CameraMove.STATIC: word}) for word in ("still", "calm", "still")}) == 2
