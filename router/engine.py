"""From a request on the wire to what policies decide on and what the job store keeps.

The estimate at submission and the binding decision at dispatch start from the same object: a `ClipRequest`
is stored as the job's `request`, and `route_request_from_job` reads it back.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from types import MappingProxyType
from typing import Any

from models.catalog import Catalog
from models.errors import FleetUnavailable, InvalidRequest, NoRoute, UnknownModel
from models.gpus import GpuType
from models.types import (
    CameraMove,
    CameraWish,
    ClipWish,
    Intensity,
    Objective,
    Prefer,
    Priority,
    Residency,
    Size,
)
from policies.base import Decision, Features, Fleet, Rejected, RouteRequest
from policies.engine import Engine, idle_fleet
from policies.render import decision_json
from policies.unknown import left_usd
from policies.wishes import AUTO, task_of
from router.features import features_from_json, features_json
from router.features.prompt import read_prompt
from router.fleet import BANDS, LiveFleet, healed
from router.jobs.records import Job, NewJob
from router.schemas import MAX_SEED, Wishes
from router.settings import Settings

MOST_CLASHES = 3
"""Clashes that an error spells out; the decision has them all."""
MOST_REASONS = 3
"""Rejections likewise."""
FINAL_ESTIMATE = "final_estimate"
"""Member of a preview's `routing`: what its final is predicted to take."""
NO_DRIVERS: Mapping[str, Any] = MappingProxyType({})
DEADLINE_FLOOR_S = 1.0
"""What is left of a deadline that has passed: still a positive number, which policies find hopeless."""


@dataclass(frozen=True, slots=True)
class ClipRequest:
    """A validated request without its images."""

    prompt: str = ""
    negative_prompt: str = ""
    seed: int | None = None
    """None: one is drawn when the job is made."""
    model: str = AUTO
    wish: ClipWish = field(default_factory=ClipWish)
    objective: Objective = Objective.BALANCED
    camera: tuple[CameraWish, ...] = ()
    motion: Intensity | None = None
    deadline_s: float | None = None
    max_cost_usd: float | None = None
    priority: Priority = Priority.NORMAL
    residency: Residency = Residency.ANY
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    generate_audio: bool = False
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An image in the media store: its key there and what identifies its content.

    The identity is the SHA-256 of what the client sent; a remix, which shares its source's photograph,
    knows the key alone and takes that.
    """

    key: str
    identity: str
    photograph: str | None = None
    """SHA-256 of what was sent, where `identity` is not that."""


@dataclass(frozen=True, slots=True)
class Driver:
    """What a clip follows, a video or a sound, as it was probed."""

    sha256: str
    """Of the bytes that the client sent."""
    seconds: float
    """Playing time."""
    width: int | None = None
    height: int | None = None
    fps: float | None = None


@dataclass(frozen=True, slots=True)
class StoredDriver:
    """A driver in the media store."""

    key: str
    driver: Driver


DRIVERS = ("driving_video", "audio")
"""Names of the drivers: in requests, in a job's media, and among its `drivers`."""


def clip_request(wishes: Wishes, photograph: Size, base: ClipRequest | None = None) -> ClipRequest:
    """What a body asks; what it leaves out is taken from `base` (a remix) or the defaults."""
    start = base or ClipRequest()
    size = wishes.wished_size(photograph)
    seconds = wishes.seconds if wishes.seconds is not None else wishes.duration
    camera = wishes.camera
    if camera is None and wishes.prompt is not None:
        # New words that name a move replace a move that was only wished for; so do those that rule it out.
        said = read_prompt(wishes.prompt)
        kept = [w for w in start.camera if w.required or not (said.camera or w.move in said.camera_refused)]
        start = replace(start, camera=tuple(kept))

    def hint(name: str, default: Any) -> Any:
        value = wishes.hint(name)
        return default if value is None else value

    return ClipRequest(
        prompt=(wishes.prompt if wishes.prompt is not None else start.prompt).strip(),
        negative_prompt=_or(wishes.negative_prompt, start.negative_prompt),
        seed=_or(wishes.seed, start.seed),
        model=_or(wishes.model, start.model),
        wish=ClipWish(
            size=size or start.wish.size,
            seconds=_or(seconds, start.wish.seconds),
            fps=_or(wishes.fps, start.wish.fps),
            prefer=hint("prefer", start.wish.prefer),
        ),
        objective=hint("objective", start.objective),
        camera=(
            start.camera if camera is None else tuple(CameraWish(wish.move, wish.required) for wish in camera)
        ),
        motion=_or(wishes.intensity, start.motion),
        deadline_s=hint("deadline_s", start.deadline_s),
        max_cost_usd=hint("max_cost_usd", start.max_cost_usd),
        priority=hint("priority", start.priority),
        residency=hint("residency", start.residency),
        allow=hint("allow", start.allow),
        deny=hint("deny", start.deny),
        generate_audio=_or(wishes.generate_audio, start.generate_audio),
        tags=_or(wishes.tags, start.tags),
    )


def _or(value: Any, default: Any) -> Any:
    return default if value is None else value


def clip_json(clip: ClipRequest) -> dict[str, Any]:
    """The stored (and fingerprinted) form, without images."""
    wish = clip.wish
    return {
        "prompt": clip.prompt,
        "negative_prompt": clip.negative_prompt,
        "seed": clip.seed,
        "objective": clip.objective.value,
        "model": clip.model,
        "size": str(wish.size) if wish.size is not None else None,
        "seconds": wish.seconds,
        "fps": wish.fps,
        "prefer": wish.prefer.value,
        "camera": [{"move": wish.move.value, "required": wish.required} for wish in clip.camera],
        "motion": clip.motion.name.lower() if clip.motion is not None else None,
        "deadline_s": clip.deadline_s,
        "max_cost_usd": clip.max_cost_usd,
        "priority": clip.priority.value,
        "residency": clip.residency.value,
        "allow": list(clip.allow),
        "deny": list(clip.deny),
        "generate_audio": clip.generate_audio,
        "tags": list(clip.tags),
    }


def clip_from_json(stored: Mapping[str, Any]) -> ClipRequest:
    """Read `clip_json` back."""
    return ClipRequest(
        prompt=stored["prompt"],
        negative_prompt=stored["negative_prompt"],
        seed=stored["seed"],
        model=stored["model"],
        wish=ClipWish(
            size=Size.parse(stored["size"]) if stored["size"] else None,
            seconds=stored["seconds"],
            fps=stored["fps"],
            prefer=Prefer(stored["prefer"]),
        ),
        objective=Objective(stored["objective"]),
        camera=tuple(CameraWish(CameraMove(wish["move"]), wish["required"]) for wish in stored["camera"]),
        motion=Intensity[stored["motion"].upper()] if stored["motion"] else None,
        deadline_s=stored["deadline_s"],
        max_cost_usd=stored["max_cost_usd"],
        priority=Priority(stored["priority"]),
        residency=Residency(stored["residency"]),
        allow=tuple(stored["allow"]),
        deny=tuple(stored["deny"]),
        generate_audio=stored["generate_audio"],
        tags=tuple(stored["tags"]),
    )


def route_request(
    clip: ClipRequest,
    features: Features,
    *,
    has_last_image: bool,
    tenant: str,
    drivers: Mapping[str, Driver] = NO_DRIVERS,
    deadline_s: float | None = None,
) -> RouteRequest:
    """What policies see. `deadline_s` overrides the stored one when time has passed since submission."""
    video, audio = drivers.get("driving_video"), drivers.get("audio")
    return RouteRequest(
        features=features,
        wish=clip.wish,
        task=task_of(
            prompt=bool(clip.prompt),
            last_image=has_last_image,
            driving_video=video is not None,
            audio=audio is not None,
        ),
        model=clip.model,
        objective=clip.objective,
        camera=clip.camera,
        motion=clip.motion,
        deadline_s=clip.deadline_s if deadline_s is None else deadline_s,
        max_cost_usd=clip.max_cost_usd,
        priority=clip.priority,
        residency=clip.residency,
        allow=clip.allow,
        deny=clip.deny,
        has_last_image=has_last_image,
        has_driving_video=video is not None,
        driving_seconds=video.seconds if video is not None else None,
        has_audio=audio is not None,
        audio_seconds=audio.seconds if audio is not None else None,
        generate_audio=clip.generate_audio,
        tenant=tenant,
    )


def route_request_from_job(job: Job, now: float) -> RouteRequest:
    """The request of a stored job, its deadline counted from `now` (Unix seconds).

    What the job has cost already lowers its budget (see `policies.unknown`).
    """
    clip = clip_from_json(job.request)
    budget = left_usd(max_cost_usd=clip.max_cost_usd, ceiling_usd=job.ceiling_usd, spent_usd=job.spent_usd)
    left = None
    if clip.deadline_s is not None:
        left = max(job.created_at + clip.deadline_s - now, DEADLINE_FLOOR_S)
    return route_request(
        replace(clip, max_cost_usd=budget),
        features_from_json(job.features),
        has_last_image=job.request["media"]["last_image"] is not None,
        tenant=job.tenant,
        drivers=drivers_of(job),
        deadline_s=left,
    )


def drivers_of(job: Job) -> Mapping[str, Driver]:
    """What a stored job's clip follows, by name."""
    return {name: Driver(**facts) for name, facts in job.request.get("drivers", {}).items()}


def stored_drivers_of(job: Job) -> Mapping[str, StoredDriver]:
    """The same with their keys: what a remix shares."""
    return {
        name: StoredDriver(job.request["media"][name], driver) for name, driver in drivers_of(job).items()
    }


def fingerprint(
    clip: ClipRequest,
    images: Mapping[str, str | None],
    remixed_from: str | None = None,
    finalizes: str | None = None,
) -> str:
    """SHA-256 of what was asked and of its media's identities; nothing of how it was sent goes in."""
    canonical = {**clip_json(clip), "images": dict(images), "remixed_from": remixed_from}
    if finalizes is not None:
        canonical["finalizes"] = finalizes
    text = json.dumps(canonical, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def new_job(
    clip: ClipRequest,
    features: Features,
    decision: Decision,
    *,
    image: StoredImage,
    last_image: StoredImage | None,
    tenant: str,
    settings: Settings,
    idempotency_key: str | None,
    client_retry: int,
    drivers: Mapping[str, StoredDriver] = NO_DRIVERS,
    final_estimate: Mapping[str, Any] | None = None,
    remixed_from: str | None = None,
    finalizes: str | None = None,
) -> NewJob:
    """The row that the Gateway commits. A seed is drawn when none was given: the clip can be repeated.

    `final_estimate` is what a preview's final is predicted to take; it stays in the job's `routing`.
    """
    identities = {
        "image": image.identity,
        "last_image": last_image.identity if last_image else None,
        **{name: stored.driver.sha256 for name, stored in drivers.items()},
    }
    stored = clip_json(clip)
    if clip.seed is None:
        stored["seed"] = secrets.randbelow(MAX_SEED + 1)
    stored["photograph"] = image.photograph or image.identity
    stored["media"] = {"image": image.key, "last_image": last_image.key if last_image else None}
    if drivers:
        stored["media"] |= {name: driver.key for name, driver in drivers.items()}
        stored["drivers"] = {name: asdict(driver.driver) for name, driver in drivers.items()}
    routing = decision_json(decision)
    if clip.objective is Objective.PREVIEW:
        routing[FINAL_ESTIMATE] = final_estimate
    return NewJob(
        tenant=tenant,
        model=clip.model,
        prompt=clip.prompt,
        request=stored,
        features=features_json(features),
        routing=routing,
        priority=BANDS.index(clip.priority),
        due_in_s=clip.deadline_s if clip.deadline_s is not None else settings.default_due_s,
        expires_in_s=settings.queue_ttl_s,
        fingerprint=fingerprint(clip, identities, remixed_from, finalizes),
        idempotency_key=idempotency_key,
        client_retry=client_retry,
        remixed_from=remixed_from,
        finalizes=finalizes,
    )


@dataclass(frozen=True, slots=True)
class RouteEngine:
    """The Gateway's view of routing: the catalog, and the policies' engine over it."""

    policies: Engine
    catalog: Catalog
    gpus: Mapping[str, GpuType]

    def known(self, clip: ClipRequest) -> ClipRequest:
        """The request with the cards' own ids in the place of aliases in `allow` and `deny`.

        Raises:
            UnknownModel: `model` names no card.
            InvalidRequest: an entry in `allow` or `deny` names no card, or no offer (`model/offer`) of one.
        """
        if clip.model != AUTO:
            self.catalog.get(clip.model)
        return replace(clip, allow=self._ids("allow", clip.allow), deny=self._ids("deny", clip.deny))

    def _ids(self, name: str, ids: Sequence[str]) -> tuple[str, ...]:
        known = []
        for entry in ids:
            card_id, slash, offer_id = entry.partition("/")
            try:
                card = self.catalog.get(card_id)
            except UnknownModel as error:
                raise InvalidRequest(
                    f"{name}: {error.message}", param=name, allowed=list(self.catalog.cards)
                ) from None
            offers = [f"{card.id}/{offer.id}" for offer in card.offers]
            full = f"{card.id}{slash}{offer_id}"
            if slash and full not in offers:
                raise InvalidRequest(
                    f"{name}: {card.id} has no offer {offer_id!r}", param=name, allowed=[card.id, *offers]
                )
            known.append(full)
        return tuple(known)

    def idle(self) -> Fleet:
        """Every card available and idle."""
        return idle_fleet(self.catalog, self.gpus)

    def decide(self, request: RouteRequest, fleet: Fleet) -> Decision:
        """The decision with counter-offers; `chosen` is None when nothing fits (a dry run shows why)."""
        return self.policies.decide(request, fleet, counter_offers=True)

    def estimate(self, request: RouteRequest, fleet: Fleet) -> Decision:
        """A decision that chose something.

        Raises:
            FleetUnavailable: no pool is known or none is healthy; the same request may do later.
            NoRoute: nothing can do what was asked; carries the decision.
        """
        decision = self.decide(request, fleet)
        if decision.chosen is not None:
            return decision
        if not any(pool.healthy for pool in fleet.pools):
            raise FleetUnavailable("no model is ready to take work; try again shortly")
        if isinstance(fleet, LiveFleet):
            later = self.policies.decide(request, healed(fleet), counter_offers=False).chosen
            if later is not None:
                pool = later.candidate.pool
                raise FleetUnavailable(
                    f"{later.candidate.card.id} is not ready: {_ailment(fleet, pool.name)}"
                )
        raise NoRoute(no_route_message(decision), decision=decision, param=clashing_fields(decision))


def _ailment(fleet: Fleet, name: str) -> str:
    """Why the pool of that name takes no work now."""
    reasons = [pool.reason for pool in fleet.pools if pool.name == name and not pool.healthy]
    return next(filter(None, reasons), "it cannot take work now") + "; try again shortly"


def no_route_message(decision: Decision) -> str:
    """Which wishes clash, why nothing fits and what would, in one paragraph."""
    parts = ["No model can do this."]
    parts += [f"{clash.told[0].upper()}{clash.told[1:]}." for clash in decision.clashes[:MOST_CLASHES]]
    # That another model was asked for, or allowed, says nothing of why those that were cannot.
    told = [row for row in decision.rejected if row.filter != "model_choice"] or decision.rejected
    reasons = [f"{_named(row)}: {row.reason}" for row in told[:MOST_REASONS]]
    more = len(decision.rejected) - len(reasons)
    parts.append(" | ".join(reasons) + (f" | and {more} more" if more > 0 else ""))
    changes = [offer.change for offer in decision.counter_offers]
    if changes:
        parts.append(f"What would fit: {'; '.join(changes)}.")
    return " ".join(part for part in parts if part)


def _named(row: Rejected) -> str:
    """`model/offer`; a retired card may have no offer left."""
    return f"{row.model}/{row.offer}" if row.offer else row.model


def clashing_fields(decision: Decision) -> str | None:
    """The fields that clash, as the error's `param`: one name, or several with commas between."""
    fields = dict.fromkeys(field for clash in decision.clashes for field in clash.fields)
    return ",".join(fields) or None
