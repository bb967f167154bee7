"""The order of cases, and what is read off their records."""

from __future__ import annotations

from typing import Any

from benchmarks.gpu.cases import listed
from benchmarks.gpu.degrees import shared_cases, world_of
from benchmarks.gpu.subjects import LTX_2B, WAN21_14B, WAN22_5B
from benchmarks.gpu.summary import best, rates, speed_ups, table

SUBJECTS = [WAN21_14B, WAN22_5B]


def record(seconds: float, error: float = 0.0, **more: Any) -> dict[str, Any]:
    counts = error <= 1e-2
    return {
        "status": "measured", "seconds": seconds, "peak_gib": 1.0,
        "error": {"largest": error, "mean": error, "counts": counts}, **more,
    }  # fmt: skip


def test_the_reference_comes_first_and_large_shapes_last() -> None:
    keys = [case.key for case in listed(SUBJECTS, ["eager", "compile"], ["eager"])]
    assert len(keys) == len(set(keys))
    assert keys[:2] == [
        "wan2.1-i2v-14b/step/832x480x81/eager",
        "wan2.1-i2v-14b/step/832x480x81/compile",
    ]
    assert keys.index("wan2.2-ti2v-5b/caches/832x480x17") < keys.index(
        "wan2.1-i2v-14b/step/1280x720x81/eager"
    )


def test_no_models_no_cases() -> None:
    assert list(listed([], ["eager"], ["eager"])) == []


def test_the_best_lever_that_counts_is_told_beside_the_fastest() -> None:
    at = "wan2.1-i2v-14b/step/832x480x81"
    cases = {
        f"{at}/eager": record(8.0),
        f"{at}/compile": record(6.0, 5e-3),
        f"{at}/float8-linear": record(4.0, 5e-2),
        f"{at}/attention-flash3": {"status": "missing", "reason": "no package"},
    }
    told = best(cases, SUBJECTS)
    assert told["wan2.1-i2v-14b/832x480x81"] == {
        "unchanged": {"lever": "compile", "seconds": 6.0, "gain": 1.333},
        "any": {"lever": "float8-linear", "seconds": 4.0, "gain": 2.0},
    }
    text = table(cases)
    assert "over the limit" in text.splitlines()[3]
    assert "no package" in text


def test_nothing_is_told_without_a_reference() -> None:
    assert best({"wan2.1-i2v-14b/step/832x480x81/compile": record(6.0)}, SUBJECTS) == {}


def test_rates_need_two_shapes() -> None:
    at = "wan2.1-i2v-14b/step"
    one = {f"{at}/832x480x81/eager": record(8.0)}
    assert rates(one, SUBJECTS) == {}
    told = rates({**one, f"{at}/1280x720x81/eager": record(26.0)}, SUBJECTS)
    assert told["wan2.1-i2v-14b"]["shapes"] == 2
    assert 100 < told["wan2.1-i2v-14b"]["linear_tflops"] < 2000


def test_degrees_are_those_that_the_world_has() -> None:
    keys = [case.key for case in shared_cases([LTX_2B], 4, ["eager"])]
    first = [key for key in keys if "832x480x81" in key]
    assert [key.split("/")[3] for key in first] == ["1", "2", "2+halves", "4", "4+halves"]
    assert list(shared_cases([LTX_2B], 4, [])) == []
    assert (world_of({}), world_of({"WORLD_SIZE": "8"})) == (1, 8)


def test_a_shared_step_is_compared_with_one_gpu_and_the_same_lever() -> None:
    at = "ltx-video-2b/degree/832x480x81"
    cases = {
        f"{at}/1/eager": record(2.0, degree=1),
        f"{at}/2+halves/eager": record(1.0, degree=2),
        f"{at}/2+halves/attention-cudnn": record(0.5, degree=2),
    }
    assert speed_ups(cases) == {f"{at}/1/eager": 1.0, f"{at}/2+halves/eager": 2.0}
