"""What an attempt is bound to: the chosen candidate, and all that its worker and its later judges need."""

from __future__ import annotations

import hashlib
from typing import Any

from models.types import Objective
from policies.base import Decision, Scored
from policies.calibration import slice_of
from policies.render import candidate_json, plan_json
from router.jobs.records import Job

LEARNING = "learning"
"""Member of an attempt's decision: in which slice of `policies.calibration` it was made."""


def draw_of(job_id: str) -> float:
    """A number in [0, 1) that belongs to the job: the same at each decision, evenly spread over jobs."""
    return int.from_bytes(hashlib.sha256(job_id.encode()).digest()[:6]) / 2**48


def binding(job: Job, decision: Decision, chosen: Scored, *, rolled_back: bool) -> dict[str, Any]:
    """The decision that an attempt keeps: the candidate (C of the Decision JSON), its plan and controls.

    `speed` is the calibrated factor in the predicted seconds: without it they are the formula's own word.
    While beliefs are rolled back every job is decided without them, so that all are held out.
    """
    candidate = chosen.candidate
    request = job.request
    part = slice_of(draw_of(job.id), Objective(request["objective"]))
    return {
        **candidate_json(chosen),
        "plan": plan_json(candidate.plan),
        "camera": [wish["move"] for wish in request.get("camera", ())]
        or [move.value for move in decision.features.prompt.camera],
        "speed": candidate.pool.speed,
        LEARNING: "hold_out" if rolled_back else part,
    }
