from __future__ import annotations

import itertools
import re

import pytest

from router.jobs.ids import new_job_id
from router.jobs.records import JobStatus
from router.jobs.states import FINAL, LEASED, STATUS_OF, TRANSITIONS, Move, Phase, allows, phase_of

ALLOWED = {
    (Move.CLAIM, Phase.WAITING),
    (Move.RENEW, Phase.DISPATCHED),
    (Move.RELEASE, Phase.DISPATCHED),
    (Move.START, Phase.DISPATCHED),
    (Move.BEAT, Phase.RUNNING),
    (Move.COMPLETE, Phase.RUNNING),
    (Move.REQUEUE, Phase.DISPATCHED),
    (Move.REQUEUE, Phase.RUNNING),
    (Move.FAIL, Phase.WAITING),
    (Move.FAIL, Phase.DISPATCHED),
    (Move.FAIL, Phase.RUNNING),
    (Move.CANCEL, Phase.WAITING),
    (Move.CANCEL, Phase.DISPATCHED),
    (Move.CANCEL, Phase.RUNNING),
    (Move.EXPIRE, Phase.WAITING),
}


@pytest.mark.parametrize(("move", "phase"), list(itertools.product(Move, Phase)))
def test_only_these_moves_are_allowed(move, phase):
    assert allows(move, phase) == ((move, phase) in ALLOWED)


def test_nothing_leaves_a_final_phase():
    assert not any(FINAL & rule.sources for rule in TRANSITIONS.values())
    assert {STATUS_OF[phase] for phase in FINAL} == {status for status in JobStatus if status.final}


def test_every_phase_is_reached_and_named():
    assert {rule.target for rule in TRANSITIONS.values()} == set(Phase)
    assert set(STATUS_OF) == set(Phase)
    assert set(TRANSITIONS) == set(Move)


@pytest.mark.parametrize("phase", list(Phase))
def test_phase_and_status_agree(phase):
    assert phase_of(STATUS_OF[phase], leased=phase in LEASED) is phase


def test_ids_are_ours_and_differ():
    ids = {new_job_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(re.fullmatch(r"vid_[a-z2-7]{26}", each) for each in ids)
