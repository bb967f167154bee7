from __future__ import annotations

import io

import pytest
from rich.console import Console

from router.cli_tables import SHOWN, decision_view, flags_text
from router.cli_words import progress_text, seconds_text, usd_text
from router.client import Video


def candidate(model: str, utility: float = 0.5) -> dict[str, object]:
    return {
        **{"model": model, "offer": "local", "backend": "local", "gpus": 2, "utility": utility},
        "geometry": {"width": 832, "height": 480, "num_frames": 81, "fps": 16.0, "seconds": 5.0625},
        "predicted": {
            **{"seconds": 95.0, "wait_seconds": 5.0, "usd": None, "gpu_seconds": 190.0},
            **{"quality": 0.4, "on_time": 0.93},
        },
        "scores": {"quality": {"value": 0.4, "weight": 2.0, "reason": "rated [bold]1100[/bold]"}},
    }


def decision(candidates: int, rejected: int) -> dict[str, object]:
    ranked = [candidate(f"model-{index}") for index in range(candidates)]
    return {
        "profile": "balanced",
        "features": {
            "image": {
                **{"width": 600, "height": 900, "orientation": "portrait", "faces": [[0, 0, 1, 1]]},
                **{"subject": "portrait", "subject_confidence": 0.9},
            },
            "prompt": {
                "camera": [],
                "subject_motion": ["smile"],
                "environment_motion": [],
                "intensity": None,
            },
        },
        "chosen": ranked[0] if ranked else None,
        "fallbacks": ranked[1:3],
        "candidates": ranked,
        "rejected": [
            {"model": f"other-{index}", "offer": "api", "filter": "budget", "reason": f"costs ${index}"}
            for index in range(rejected)
        ]
        + [{"model": "last-one", "offer": "api", "filter": "health", "reason": "down"}],
        "counter_offers": [],
        "advice": ["[not markup]"],
    }


def rendered(document: dict[str, object], width: int = 140) -> str:
    console = Console(width=width, file=io.StringIO(), highlight=False)
    console.print(decision_view(document))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_decision_shows_every_figure_of_the_chosen() -> None:
    text = rendered(decision(1, 0))
    for shown in (
        *(
            "model-0/local",
            "832x480, 5.062 s at 16 fps",
            "0.500",
            "95 s",
            "5.0 s",
            "unknown cost",
            "0.40",
            "93%",
        ),
        *("portrait (90% sure)", "1 face", "motion: smile"),
    ):
        assert shown in text


def test_reasons_are_text_and_not_markup() -> None:
    text = rendered(decision(1, 0))
    assert "rated [bold]1100[/bold]" in text
    assert "[not markup]" in text


def test_long_lists_are_cut_and_say_so_but_keep_each_kind_of_reason() -> None:
    text = rendered(decision(SHOWN + 5, SHOWN + 7))
    assert f"({SHOWN} of {SHOWN + 5}; --json shows all)" in text
    assert f"({SHOWN} of {SHOWN + 8}; --json shows all)" in text
    assert "last-one" in text
    assert f"model-{SHOWN}/" not in text


def test_gpu_counts_of_one_clip_share_a_row() -> None:
    document = decision(1, 0)
    document["candidates"] = [{**candidate("model-0"), "gpus": gpus} for gpus in (4, 8, 1)]
    rows = [line.split() for line in rendered(document).splitlines() if line.startswith("model-0/local")]
    assert len(rows) == 1
    assert rows[0][7:10] == ["4", "1,", "8"]


def test_tables_stay_inside_a_narrow_terminal() -> None:
    assert max(map(len, rendered(decision(3, 3), width=80).splitlines())) <= 80


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.42, "0.4 s"), (12.4, "12 s"), (119.6, "2 min 0 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")],
)
def test_seconds(seconds: float, text: str) -> None:
    assert seconds_text(seconds) == text


@pytest.mark.parametrize(
    ("usd", "text"),
    [
        (None, "unknown cost"),
        (0, "free"),
        (0.0000004, "<$0.001"),
        (0.0042, "$0.0042"),
        (0.25, "$0.25"),
        (0.5, "$0.50"),
        (12.5, "$12.50"),
    ],
)
def test_usd(usd: float | None, text: str) -> None:
    assert usd_text(usd) == text


def test_progress_tells_place_attempt_and_rest() -> None:
    detail = {"stage": "queued", "queue_position": 3, "eta_seconds": 130.0, "attempt": 2}
    video = Video.model_validate(
        {"id": "vid_1", "status": "queued", "created_at": 1, "model": "auto", "progress_detail": detail}
    )
    assert progress_text(video) == "queued, place 3, attempt 2, 2 min 10 s left"


@pytest.mark.parametrize(
    ("patch", "flags"),
    [
        ({"seconds": 8.0}, "--seconds 8"),
        ({"size": "1280x720", "model": "ltx-2.3-pro"}, "--size 1280x720 --model ltx-2.3-pro"),
        ({"deadline_s": 120.0, "max_cost_usd": 0.033}, "--deadline 120 --max-cost 0.033"),
        ({"camera": ["push_in", "roll:required"]}, "--camera push_in --camera roll:required"),
        ({"generate_audio": False}, "no --generate-audio"),
        ({"driving_video": None}, "no --driving-video"),
        ({"allow": None, "deny": ["a", "b"]}, "no --allow --deny a,b"),
        ({}, ""),
    ],
)
def test_a_patch_as_options(patch: dict[str, object], flags: str) -> None:
    assert flags_text(patch) == flags


def test_what_would_fit_is_shown_with_options_savings_and_the_clash() -> None:
    document = decision(0, 1) | {
        "clashes": [{"fields": ["size", "max_cost_usd"], "reason": "4K and $0.05 cannot be had together"}],
        "notes": ["explored: a is tried"],
        "counter_offers": [
            {
                "change": "shorten the clip to 8 s",
                "patch": {"seconds": 8.0},
                "saves": {"seconds": 95.0, "usd": -0.1},
                "chosen": candidate("small"),
            },
            {"change": "as an older server tells it", "chosen": candidate("old")},
        ],
    }
    text = rendered(document, 180)
    for shown in (
        "clash   4K and $0.05 cannot be had together",
        "note    explored: a is tried",
        "shorten the clip to 8 s",
        "--seconds 8",
        "95 s",
        "as an older server tells it",
    ):
        assert shown in text
    # What costs more is no saving.
    assert "-0.1" not in text
