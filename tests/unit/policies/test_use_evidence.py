"""Which use cases a request is evidence of, and how sure."""

from __future__ import annotations

from typing import Any

import pytest

from models.types import CameraMove, CameraWish
from policies.quality import evidence

STATIC, PUSH_IN = CameraMove.STATIC, CameraMove.PUSH_IN


@pytest.mark.parametrize(
    ("asked", "seen"),
    [
        ({}, {}),
        ({"subject": "portrait", "subject_confidence": 0.7}, {"portrait": 0.7}),
        ({"subject": "other", "subject_confidence": 0.7}, {}),
        ({"environment_motion": ("water",)}, {"ambient_motion": 1.0}),
        ({"said": (PUSH_IN,)}, {"cinematic_camera": 1.0}),
        ({"said": (STATIC,)}, {}),
        ({"said": (PUSH_IN,), "camera": (CameraWish(STATIC),)}, {}),
        ({"subject_motion": ("billow",)}, {"fashion": 0.5}),
        ({"subject_motion": ("billow",), "fabric": True}, {"fashion": 1.0}),
        ({"subject_motion": ("walk",)}, {}),
        ({"historic": True}, {"historic": 1.0}),
        ({"aged": 0.6, "monochrome": True}, {"historic": 0.6}),
        ({"aged": 0.6, "historic": True}, {"historic": 1.0}),
        ({"width": 400, "height": 700}, {"historic": 1.0}),
        ({"width": 512, "height": 512}, {}),
    ],
)
def test_evidence(build: Any, asked: dict[str, Any], seen: dict[str, float]) -> None:
    assert evidence(build.request(**asked)) == seen
