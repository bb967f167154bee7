"""What an attempt at a provider needs to know of its job: small, since a replica holds a thousand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models.card import Card, Mode, Offer
from models.catalog import Catalog
from models.providers.base import Role, Wanted
from models.types import CameraMove, ClipPlan, Intensity
from policies.render import plan_from_json
from router.jobs.records import Attempt, Job


@dataclass(frozen=True, slots=True)
class CallTask:
    """One clip to have made, by reference."""

    job_id: str
    fence: int
    card: Card
    offer: Offer
    mode: Mode
    plan: ClipPlan
    prompt: str
    negative_prompt: str
    seed: int
    camera: tuple[CameraMove, ...]
    intensity: Intensity | None
    generate_audio: bool
    loop: bool
    media: Mapping[Role, str]
    """Media keys of the inputs."""
    faces: tuple[tuple[float, ...], ...]
    expected_s: float
    """Predicted seconds of the call."""
    formula_s: float
    """The same before calibration: what the fit is of."""
    usd: float | None
    """Predicted price; None: the offer's price is not known."""
    gpus: int
    open_call: str | None
    """A call of this job that is under way: it is followed, nothing is sent."""

    @property
    def key(self) -> str:
        """`model/offer`."""
        return f"{self.card.id}/{self.offer.id}"

    def wanted(self, reference: str, webhook: str | None) -> Wanted:
        """The clip in the words of the provider seam."""
        return Wanted(
            reference=reference,
            card=self.card,
            offer=self.offer,
            mode=self.mode,
            plan=self.plan,
            prompt=self.prompt,
            negative_prompt=self.negative_prompt,
            seed=self.seed,
            camera=self.camera,
            intensity=self.intensity,
            generate_audio=self.generate_audio,
            loop=self.loop,
            webhook=webhook,
        )


def call_task(job: Job, attempt: Attempt, catalog: Catalog) -> CallTask:
    """What the attempt asks for.

    Raises:
        KeyError, TypeError, ValueError, UnknownModel: the stored request is not one that this version writes,
            or names what is not in the catalog any more.
    """
    card = catalog.get(attempt.model)
    offer = card.offer(attempt.offer)
    request, decision = job.request, attempt.decision
    mode = next((mode for mode in offer.modes if mode.name == decision["mode"]), None)
    if mode is None:
        raise ValueError(f"{card.id}/{offer.id} has no mode {decision['mode']!r} any more")
    predicted = decision["predicted"]
    seconds = float(predicted["seconds"])
    motion = request.get("motion")
    features = job.features
    return CallTask(
        job_id=job.id,
        fence=attempt.fence,
        card=card,
        offer=offer,
        mode=mode,
        plan=plan_from_json(decision["plan"]),
        prompt=request["prompt"],
        negative_prompt=request.get("negative_prompt") or "",
        seed=int(request["seed"]),
        camera=_moves(card, request.get("camera") or (), decision.get("camera", ())),
        intensity=Intensity[motion.upper()] if motion else None,
        generate_audio=bool(request.get("generate_audio")),
        loop=_loops(card, mode, features),
        media={role: key for role in _ROLES if (key := request["media"].get(role)) is not None},
        faces=tuple(tuple(face) for face in features["image"].get("faces", ())),
        expected_s=seconds,
        formula_s=seconds / float(decision.get("speed") or 1.0),
        usd=predicted["usd"],
        gpus=attempt.gpus,
        open_call=job.open_call,
    )


def _moves(card: Card, asked: Sequence[Mapping[str, Any]], decided: Sequence[str]) -> tuple[CameraMove, ...]:
    """The moves to say. What was only read from the prompt stands there anyway: no more than can be said."""
    if asked:
        return tuple(CameraMove(wish["move"]) for wish in asked)
    moves = tuple(CameraMove(move) for move in decided)
    return moves[: card.controls.camera.max_moves] if card.controls.camera.explicit else moves


_ROLES: tuple[Role, ...] = ("image", "last_image", "driving_video", "audio")


def _loops(card: Card, mode: Mode, features: Mapping[str, Any]) -> bool:
    wished = bool(features["prompt"].get("wants_loop"))
    return wished and card.controls.loop and "loop" not in mode.excludes
