"""Small cards, fleets and requests for tests of policies; figures are round so that tests can be read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from models.card import Card, Mode
from models.catalog import Catalog
from models.gpus import GpuType
from models.types import ClipPlan, Fit, Framing, Geometry, TaskType
from policies.base import (
    Candidate,
    Column,
    Features,
    Fleet,
    ImageFeatures,
    Pool,
    Prediction,
    PromptFeatures,
    RouteRequest,
    Scored,
)

SOURCED = {"source": "made up for a test", "checked_at": "2026-11-21"}
# `camera` is a control of the request; camera words are given with `said`.
FEATURE_FIELDS = (set(ImageFeatures.__dataclass_fields__) | set(PromptFeatures.__dataclass_fields__)) - {
    "camera"
}


class Says:
    """A scorer that values nothing."""

    name = "says"

    def __init__(self, name: str) -> None:
        self.name = name  # type: ignore[misc]

    def score(self, request: RouteRequest, candidates: Sequence[Candidate]) -> list[float]:
        return [0.5] * len(candidates)

    def explain(self, request: RouteRequest, candidate: Candidate) -> str:
        return f"{self.name} says so"


class Builders:
    """Makes the values that policies work on."""

    def mode(self, name: str = "480p", **over: Any) -> Mode:
        fields: dict[str, Any] = {
            "name": name,
            "sizes": {
                "kind": "area",
                "pixels": 399_360,
                "min_pixels": 100_000,
                "multiple": 16,
                "aspect_min": 0.4,
                "aspect_max": 2.5,
            },
            "length": {"kind": "lattice", "step": 4, "offset": 1, "min": 17, "max": 81},
            "fps": [16],
            **SOURCED,
        }
        return Mode.model_validate(fields | over)

    def card(self, card_id: str = "alpha", **over: Any) -> Card:
        """A model that renders 10 s of work per megapixel of frames on the GPU type `g` at $3.6 an hour."""
        camera = {"kind": "prompt", **SOURCED} | over.pop("camera", {})
        controls = {"camera": camera, **SOURCED} | over.pop("controls", {})
        modes = over.pop("modes", [self.mode()])
        offer = {
            "id": "local",
            "backend": "local",
            "runner": "fake",
            "default_gpu": "g",
            "degrees": [1, 2, 4, 8],
            "price": {"kind": "gpu", **SOURCED},
            "modes": modes,
        } | over.pop("offer", {})
        fields: dict[str, Any] = {
            "id": card_id,
            "title": card_id.title(),
            "family": "test",
            "vendor": "test",
            "makes": "generated",
            "status": "live",
            "checked_at": "2026-11-21",
            "tasks": ["i2v", "ti2v"],
            "licence": {"id": "MIT", "commercial": "yes", **SOURCED},
            "weights": {"kind": "open", **SOURCED},
            "controls": controls,
            "input_image": {"min_side": 64, **SOURCED},
            "offers": [offer],
            "cost": {"rendering": {"seconds_per_megapixel": 1.0, "fixed_seconds": 0.0, **SOURCED}},
            "quality": {"elo": 1200, "sd": 20, "board": "test board", **SOURCED} | over.pop("quality", {}),
            "summary": "A model for tests.",
        }
        return Card.model_validate(fields | over)

    def catalog(self, *cards: Card) -> Catalog:
        return Catalog.of(cards)

    def gpus(self, *keys: str, **over: Any) -> dict[str, GpuType]:
        fields: dict[str, Any] = {
            "title": "Test GPU",
            "memory_bytes": 80 * 2**30,
            "linear_flops": 3e14,
            "attention_flops": 7e14,
            "vae_seconds_per_megapixel": 0.3,
            "interconnect_bytes_per_s": 3e11,
            "fixed_seconds_per_forward": 0.0,
            "usd_per_hour": 3.6,
            "inferred": True,
        }
        return {key: GpuType(**(fields | over | {"key": key})) for key in keys or ("g",)}

    def pool(self, card_id: str = "alpha", **over: Any) -> Pool:
        fields: dict[str, Any] = {
            "name": f"{card_id}-pool",
            "model": card_id,
            "offer": "local",
            "gpu": "g",
            "replicas": 1,
        }
        return Pool(**(fields | over))

    def fleet(self, *pools: Pool) -> Fleet:
        return Fleet(pools)

    def features(self, width: int = 1600, height: int = 1200, **over: Any) -> Features:
        image = {k: v for k, v in over.items() if k in ImageFeatures.__dataclass_fields__}
        prompt = {k: v for k, v in over.items() if k in PromptFeatures.__dataclass_fields__}
        if "said" in over:
            prompt["camera"] = over["said"]
        orientation = "landscape" if width > height else "portrait" if height > width else "square"
        return Features(
            ImageFeatures(width, height, orientation, **image),
            PromptFeatures(**({"words": 6} | prompt)),
            over.get("advice", ()),
        )

    def request(self, width: int = 1600, height: int = 1200, **over: Any) -> RouteRequest:
        read = {k: over.pop(k) for k in list(over) if k in FEATURE_FIELDS or k in {"advice", "said"}}
        return RouteRequest(self.features(width, height, **read), **({"task": TaskType.TI2V} | over))

    def plan(
        self, width: int = 832, height: int = 480, frames: int = 81, fps: float = 16.0, **over: Any
    ) -> ClipPlan:
        shape = Geometry(width, height, frames, fps)
        fields: dict[str, Any] = {
            "effective": shape,
            "native": shape,
            "framing": Framing(Fit.EXACT, 1.0, 1.0),
        }
        return ClipPlan(**(fields | over))

    def candidate(self, card: Card | None = None, **over: Any) -> Candidate:
        """A candidate of 10 s for $0.10, on time; prediction fields are given by name."""
        card = card or self.card()
        offer = card.offers[0]
        prediction = {
            "seconds": 10.0,
            "wait_seconds": 0.0,
            "usd": 0.10,
            "gpu_seconds": 10.0,
            "quality": 0.5,
            "on_time": 1.0,
        }
        predicted = prediction | {k: over.pop(k) for k in list(over) if k in Prediction._fields}
        return Candidate(
            card,
            offer,
            over.get("mode", offer.modes[0]),
            over.get("plan", self.plan()),
            over.get("gpus", 1),
            over.get("pool", self.pool(card.id)),
            Prediction(**predicted),
        )

    def scored(self, candidate: Candidate, utility: float = 0.0, **marks: tuple[float, float]) -> Scored:
        """Marks are (value, weight) by scorer name."""
        return Scored(
            candidate,
            utility,
            tuple(value for value, _ in marks.values()),
            tuple(Column(Says(name), weight) for name, (_, weight) in marks.items()),
            self.request(),
        )


@pytest.fixture(scope="session")
def build() -> Builders:
    return Builders()
