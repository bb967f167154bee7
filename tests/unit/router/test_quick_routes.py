"""The advised models from photographs and words themselves, as `i2v route --fleet all` decides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from models.catalog import load_catalog
from router.cli_offline import decide_offline

PHOTOGRAPHS = Path(__file__).parents[3] / "examples" / "photographs"
LANDSCAPE, PORTRAIT, PRODUCT = (PHOTOGRAPHS / f"{name}.jpg" for name in ("landscape", "portrait", "product"))


def route(image: Path, prompt: str, **options: Any) -> dict[str, Any]:
    return decide_offline(image, prompt, options, last_image=None, driving_video=False, audio=False)  # type: ignore[arg-type]


def models(decision: dict[str, Any], top: int) -> list[str]:
    """The first models, best first."""
    return list(dict.fromkeys(candidate["model"] for candidate in decision["candidates"]))[:top]


@pytest.mark.parametrize(
    ("image", "prompt", "options", "intended", "top"),
    [
        (
            LANDSCAPE,
            "Clouds drift over the peaks, grass sways gently in the wind",
            {},
            {"wan2.6-i2v", "wan2.6-i2v-flash", "wan2.7-i2v"},
            1,
        ),
        (
            LANDSCAPE,
            "Slow push in while clouds drift",
            {"camera": "push_in:required"},
            {"ltx-2.3-pro", "ltx-2.3-fast", "video-01-director"},
            1,
        ),
        (
            PORTRAIT,
            "She blinks and smiles softly, hair gently moving",
            {},
            {"hailuo-2.3", "video-01-live", "wan2.7-i2v", "kling-v3-video", "kling-v3-omni", "kling-v2.6"},
            3,
        ),
        (
            LANDSCAPE,
            "Clouds drift over the peaks",
            {"objective": "preview"},
            {"wan2.2-i2v-fast", "hailuo-2.3-fast", "wan2.6-i2v-flash", "ltx-2.3-fast", "wan2.2-i2v-a14b"},
            1,
        ),
        (
            LANDSCAPE,
            "Waves crash on the rocks",
            {"size": "3840x2160"},
            {"ltx-2.3-pro", "ltx-2.3-fast", "kling-v3-video", "kling-v3-omni"},
            1,
        ),
    ],
)
def test_photographs_and_words_go_to_the_advised_models(
    image: Path, prompt: str, options: dict[str, Any], intended: set[str], top: int
) -> None:
    decision = route(image, prompt, **options)
    assert set(models(decision, top)) & intended, models(decision, 6)
    for score in decision["chosen"]["scores"].values():
        assert len(score["reason"]) > 10


def test_sound_is_made_where_it_is_asked_for() -> None:
    chosen = route(PRODUCT, "Steam rises from the bowl", generate_audio=True)["chosen"]
    assert load_catalog().get(chosen["model"]).controls.audio_out != "none"


@pytest.mark.parametrize(
    ("name", "successor"), [("runway-gen3", "runway-gen4-turbo"), ("luma-dream-machine", "luma-ray-3.2")]
)
def test_retired_names_answer_with_their_successors(name: str, successor: str) -> None:
    decision = route(LANDSCAPE, "Clouds drift over the peaks", model=name)
    answers = [decision["chosen"]] if decision["chosen"] else []
    answers += [offer["chosen"] for offer in decision["counter_offers"]]
    assert successor in {answer["model"] for answer in answers}
