"""Plans, cards and GPU types that the cost and catalog tests share."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from models.card import Card
from models.catalog import Catalog, load_catalog
from models.gpus import GpuType, load_gpus
from models.types import ClipPlan, Fit, Framing, Geometry

PlanMaker = Callable[..., ClipPlan]

SOURCE = {"source": "a test", "checked_at": "2026-11-21"}


def card_sheet(card_id: str = "small") -> dict[str, Any]:
    """A complete, valid card as it would be written in YAML."""
    return copy.deepcopy(
        {
            "id": card_id,
            "title": "Small",
            "family": "wan",
            "vendor": "nobody",
            "makes": "generated",
            "status": "live",
            "checked_at": "2026-11-21",
            "tasks": ["i2v"],
            "summary": "A model for tests.",
            "licence": {"id": "MIT", "commercial": "yes", **SOURCE},
            "weights": {"kind": "open", **SOURCE},
            "controls": {"camera": {"kind": "none", **SOURCE}, **SOURCE},
            "input_image": SOURCE,
            "offers": [
                {
                    "id": "local",
                    "backend": "local",
                    "runner": "diffusers",
                    "default_gpu": "h100",
                    "sampling": {"steps": 4, "guidance": 1.0, "passes_per_step": 1, **SOURCE},
                    "price": {"kind": "gpu", **SOURCE},
                    "modes": [
                        {
                            "name": "only",
                            "sizes": {"kind": "area", "pixels": 65536, "min_pixels": 4096, "multiple": 16},
                            "length": {"kind": "lattice", "step": 4, "offset": 1, "min": 5, "max": 81},
                            "fps": [16],
                            **SOURCE,
                        }
                    ],
                }
            ],
            "cost": {
                "transformer": {
                    "kind": "wan",
                    "params": 1000,
                    "width": 64,
                    "mlp": 128,
                    "layers": 2,
                    "heads": 4,
                    "patch": 2,
                    **SOURCE,
                },
                "vae": {"decode_kflop": 10, "encode_kflop": 5, **SOURCE},
            },
            "quality": {"elo": 1000, "sd": 60, "board": "none", **SOURCE},
        }
    )


@pytest.fixture
def sheet() -> dict[str, Any]:
    return card_sheet()


@pytest.fixture
def small_card(sheet: dict[str, Any]) -> Card:
    return Card.model_validate(sheet)


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    return load_catalog()


@pytest.fixture(scope="session")
def gpus() -> dict[str, GpuType]:
    return load_gpus()


@pytest.fixture(scope="session")
def plan() -> PlanMaker:
    def make(
        width: int, height: int, frames: int, fps: float = 16.0, *, segments: int = 1, factor: int = 1
    ) -> ClipPlan:
        made = segments * (frames - 1) + 1
        return ClipPlan(
            effective=Geometry(width, height, (made - 1) * factor + 1, fps * factor),
            native=Geometry(width, height, frames, fps),
            framing=Framing(Fit.EXACT, 1.0, 1.0),
            segments=segments,
            interpolation=factor,
        )

    return make
