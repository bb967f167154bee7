"""A preview and its final: the same photograph, words, seed and shape, first cheap, then in earnest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from models.errors import InvalidRequest, NotReady
from models.types import Objective
from policies.base import Decision, Fleet, RouteRequest
from policies.engine import Engine
from policies.render import candidate_json
from router.engine import FINAL_ESTIMATE, ClipRequest, clip_from_json
from router.jobs.records import Job, JobStatus
from router.schemas import FinalizeVideo

SAME_LENGTH = 0.05
"""Share by which a draft may miss its wished playing time and still stand for it. Our choice: lattices of
four frames at 16 fps are 5 % of a clip of 5 s apart."""
SHOWN = ("model", "offer", "geometry", "gpus")
"""Members of a candidate that a final's estimate repeats beside what is predicted."""


def final_clip(preview: Job, wishes: FinalizeVideo) -> ClipRequest:
    """What the final of a completed preview asks.

    Words, seed, controls, asked size and asked playing time are the preview's (see `final_seconds`); a size
    that was not asked may rise, and a playing time that was not asked is the default again. Deadline and
    budget were the draft's: the final has those that `wishes` give.

    Raises:
        InvalidRequest: the job is no preview.
        NotReady: it is not completed.
    """
    clip = clip_from_json(preview.request)
    if clip.objective is not Objective.PREVIEW:
        raise InvalidRequest(
            f"{preview.id} is no preview (its objective is {clip.objective}); only previews are finalized, "
            "other clips can be remixed",
            param="video_id",
            allowed={"objective": Objective.PREVIEW.value},
        )
    if preview.status is not JobStatus.COMPLETED or preview.result is None:
        raise NotReady(
            f"{preview.id} can be finalized once it is completed; it is {preview.status}", param="video_id"
        )
    return replace(
        clip,
        objective=Objective.QUALITY,
        model=wishes.model or clip.model,
        wish=replace(
            clip.wish, seconds=final_seconds(clip.wish.seconds, float(preview.result["geometry"]["seconds"]))
        ),
        deadline_s=wishes.deadline_s,
        max_cost_usd=wishes.max_cost_usd,
        priority=wishes.priority or clip.priority,
        residency=wishes.residency or clip.residency,
        allow=clip.allow if wishes.allow is None else wishes.allow,
        deny=clip.deny if wishes.deny is None else wishes.deny,
    )


def final_seconds(wished: float | None, drafted: float) -> float | None:
    """Playing time to ask of the final: what the draft was asked for, if the draft came within `SAME_LENGTH`.

    Where the draft gave way by more, what it plays; where nothing was asked, nothing: the default. A draft of
    5.06 s (81 frames at 16 fps) that stands for 5 s must not make a model that is sold by 5 and 10 s bill 10.

    Args:
        wished: What the draft was asked for; None: nothing, and the final is asked for nothing too.
        drafted: What it plays.
    """
    if wished is None or abs(drafted - wished) <= SAME_LENGTH * wished:
        return wished
    return drafted


def final_estimate(
    engine: Engine, request: RouteRequest, decision: Decision, fleet: Fleet
) -> Mapping[str, Any] | None:
    """What the final of this preview would be and take; None when nothing would make it now.

    Args:
        engine: Decides the final as it decides everything.
        request: The preview's.
        decision: The preview's; how far its clip came sets the final's playing time (see `final_seconds`).
        fleet: As it is now.
    """
    if decision.chosen is None:
        return None
    seconds = decision.chosen.candidate.plan.effective.seconds
    final = replace(
        request,
        objective=Objective.QUALITY,
        wish=replace(request.wish, seconds=final_seconds(request.wish.seconds, seconds)),
        deadline_s=None,
        max_cost_usd=None,
    )
    chosen = engine.decide(final, fleet, counter_offers=False).chosen
    if chosen is None:
        return None
    made = candidate_json(chosen)
    return {**{name: made[name] for name in SHOWN}, "predicted": made["predicted"]}


def with_final_estimate(
    routing: Mapping[str, Any], engine: Engine, request: RouteRequest, decision: Decision, fleet: Fleet
) -> dict[str, Any]:
    """A Decision JSON that, for a preview, also says what its final would take."""
    if request.objective is not Objective.PREVIEW:
        return dict(routing)
    return {**routing, FINAL_ESTIMATE: final_estimate(engine, request, decision, fleet)}
