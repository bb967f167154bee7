from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.runners.base import Stage
from router.jobs.progress import percent, raised
from router.jobs.records import Progress

IN_ORDER = [
    Progress("queued"),
    Progress("loading"),
    Progress("encoding_input"),
    Progress("denoising", 0, 50),
    Progress("denoising", 25, 50),
    Progress("denoising", 50, 50),
    Progress("decoding"),
    Progress("muxing"),
    Progress("storing"),
]


AT_A_PROVIDER = [
    Progress("uploading"),
    Progress("submitting"),
    Progress("waiting"),
    Progress("generating"),
    Progress("generating", 50, 100),
    Progress("generating", 100, 100),
    Progress("downloading"),
    Progress("storing"),
]


def test_the_bar_rises_through_the_stages():
    assert [percent(progress) for progress in IN_ORDER] == [0, 1, 3, 5, 45, 85, 85, 93, 97]


def test_the_bar_rises_through_the_stages_of_a_call():
    assert [percent(progress) for progress in AT_A_PROVIDER] == [1, 3, 4, 5, 45, 85, 85, 97]


@pytest.mark.parametrize("stage", list(Stage))
def test_every_stage_of_a_runner_has_a_place(stage):
    assert stage is Stage.QUEUED or percent(Progress(stage)) > 0


@given(
    current=st.integers(0, 99),
    stage=st.sampled_from([*(str(stage) for stage in Stage), "unknown"]),
    step=st.integers(-5, 200),
    steps=st.integers(-1, 100),
)
def test_it_never_falls_and_never_says_done(current, stage, step, steps):
    assert current <= raised(current, Progress(stage, step, steps)) <= 99
