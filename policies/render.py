"""Decisions and plans as JSON: what the API shows, the job store keeps and workers are handed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from models.types import ClipPlan, Fit, Framing, Geometry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from policies.base import Candidate, CounterOffer, Decision, Features, Scored

Json = dict[str, Any]


def decision_json(decision: Decision) -> Json:
    """The Decision JSON of the API, the CLI and a job's `routing`."""
    return {
        "profile": decision.profile,
        "features": features_json(decision.features),
        "chosen": candidate_json(decision.chosen) if decision.chosen else None,
        "fallbacks": [candidate_json(scored) for scored in decision.fallbacks],
        "candidates": [candidate_json(scored) for scored in decision.candidates],
        "rejected": [
            {"model": row.model, "offer": row.offer, "filter": row.filter, "reason": row.reason}
            for row in decision.rejected
        ],
        "counter_offers": [_counter_offer_json(offer) for offer in decision.counter_offers],
        "advice": list(decision.advice),
        "pareto": [_standing_json(scored.candidate) for scored in decision.pareto],
        "clashes": [{"fields": list(clash.fields), "reason": clash.told} for clash in decision.clashes],
        "notes": list(decision.notes),
    }


def _counter_offer_json(offer: CounterOffer) -> Json:
    return {
        "change": offer.change,
        "patch": dict(offer.patch),
        "saves": {
            "seconds": _rounded(offer.saves.seconds, 2),
            "usd": _rounded(offer.saves.usd, 6),
        },
        "chosen": candidate_json(offer.chosen),
    }


def _standing_json(candidate: Candidate) -> Json:
    """Which candidate it is, and the four figures by which it is on the front."""
    predicted = candidate.prediction
    return {
        "model": candidate.card.id,
        "offer": candidate.offer.id,
        "geometry": geometry_json(candidate.plan.effective),
        "gpus": candidate.gpus,
        "quality": round(predicted.quality, 4),
        "total_seconds": round(predicted.total_seconds, 2),
        "usd": _rounded(predicted.usd, 6),
        "on_time": round(predicted.on_time, 4),
    }


def candidate_json(scored: Scored) -> Json:
    """One candidate: what it is, what it would deliver, and every score with weight and reason."""
    candidate = scored.candidate
    predicted = candidate.prediction
    return {
        "model": candidate.card.id,
        "offer": candidate.offer.id,
        "backend": candidate.offer.backend,
        "mode": candidate.mode.name,
        "geometry": geometry_json(candidate.plan.effective),
        "gpus": candidate.gpus,
        "utility": round(scored.utility, 4),
        "predicted": {
            "seconds": round(predicted.seconds, 2),
            "wait_seconds": round(predicted.wait_seconds, 2),
            "usd": None if predicted.usd is None else round(predicted.usd, 6),
            "gpu_seconds": round(predicted.gpu_seconds, 2),
            "quality": round(predicted.quality, 4),
            "on_time": round(predicted.on_time, 4),
        },
        "scores": {
            name: {"value": round(score.value, 4), "weight": weight, "reason": score.reason}
            for name, (score, weight) in scored.scores.items()
        },
    }


def features_json(features: Features) -> Json:
    """What was read from photograph and words."""
    image, prompt = features.image, features.prompt
    return {
        "image": {
            "width": image.width,
            "height": image.height,
            "orientation": image.orientation,
            "faces": [[round(side, 4) for side in face] for face in image.faces],
            "largest_face": round(image.largest_face, 4),
            "sharpness": _rounded(image.sharpness),
            "exposure": _rounded(image.exposure),
            "contrast": _rounded(image.contrast),
            "horizon": _rounded(image.horizon),
            "subject": image.subject,
            "subject_confidence": round(image.subject_confidence, 4),
            "noise": _rounded(image.noise),
            "monochrome": image.monochrome,
            "aged": round(image.aged, 4),
            "defects": list(image.defects),
        },
        "prompt": {
            "camera": [move.value for move in prompt.camera],
            "subject_motion": list(prompt.subject_motion),
            "environment_motion": list(prompt.environment_motion),
            "intensity": None if prompt.intensity is None else prompt.intensity.name.lower(),
            "wants_audio": prompt.wants_audio,
            "wants_loop": prompt.wants_loop,
            "motion_count": prompt.motion_count,
            "is_caption": prompt.is_caption,
            "chars": prompt.chars,
            "words": prompt.words,
            "camera_required": [move.value for move in prompt.camera_required],
            "camera_refused": [move.value for move in prompt.camera_refused],
            "audio": list(prompt.audio),
            "fabric": prompt.fabric,
            "historic": prompt.historic,
        },
    }


def geometry_json(geometry: Geometry) -> Json:
    """A geometry with its playing time, rounded for people."""
    return {
        "width": geometry.width,
        "height": geometry.height,
        "num_frames": geometry.num_frames,
        "fps": round(geometry.fps, 4),
        "seconds": round(geometry.seconds, 4),
    }


def plan_json(plan: ClipPlan) -> Json:
    """A plan without loss: `plan_from_json` gives it back."""
    return {
        "effective": _exact(plan.effective),
        "native": _exact(plan.native),
        "framing": {
            "fit": plan.framing.fit.value,
            "kept": plan.framing.kept,
            "filled": plan.framing.filled,
        },
        "segments": plan.segments,
        "interpolation": plan.interpolation,
        "gave_way": list(plan.gave_way),
        "overlap": plan.overlap,
        "beyond": plan.beyond,
    }


def plan_from_json(stored: Mapping[str, Any]) -> ClipPlan:
    """The plan that `plan_json` wrote, now or before it knew of overlaps and of shots beyond the training.

    Raises:
        KeyError: a member is missing.
        ValueError: a member is not what `plan_json` writes.
    """
    framing = stored["framing"]
    return ClipPlan(
        effective=_geometry(stored["effective"]),
        native=_geometry(stored["native"]),
        framing=Framing(Fit(framing["fit"]), float(framing["kept"]), float(framing["filled"])),
        segments=int(stored["segments"]),
        interpolation=int(stored["interpolation"]),
        gave_way=tuple(str(line) for line in stored["gave_way"]),
        overlap=int(stored.get("overlap", 1)),
        beyond=int(stored.get("beyond", 0)),
    )


def _exact(geometry: Geometry) -> Json:
    return {
        "width": geometry.width,
        "height": geometry.height,
        "num_frames": geometry.num_frames,
        "fps": geometry.fps,
    }


def _geometry(stored: Mapping[str, Any]) -> Geometry:
    return Geometry(
        int(stored["width"]), int(stored["height"]), int(stored["num_frames"]), float(stored["fps"])
    )


def _rounded(value: float | None, digits: int = 4) -> float | None:
    return None if value is None else round(value, digits)
