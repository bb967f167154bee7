"""Nine models under load: a small world whose answer can be checked by hand.

Ratings are those of the arena.ai image-to-video board of 16 April 2026, except for the two small Wan rows.
Wan times follow the cost model at 4, 4 and 1 H100. Times, spreads, servers and prices of the hosted models,
the LTX-2 row apart from its rating, and who takes camera moves or long clips are assumptions. Self-hosted
prices match about $2.50 per GPU-hour.
"""

from __future__ import annotations

from math import exp
from typing import NamedTuple

from models.card import Card
from models.catalog import Catalog
from models.gpus import load_gpus
from models.types import CameraMove, CameraWish, ClipWish, Objective, TaskType
from policies.base import Features, ImageFeatures, Pool, PromptFeatures, RouteRequest
from policies.calibration import FORMULA_ERROR, HOSTED_ERROR
from policies.fleet import P95
from policies.simulate.rhythm import steady
from policies.simulate.users import ZipfUsers
from policies.simulate.world import Arrival, Failures, Lane, World, draw

REFERENCE_ELO = 1250.0
"""A clip of that rating is worth 0.5."""
HIDDEN_SD = 40.0
"""Elo by which a model is better or worse for one job than its rating; nobody can know it."""
DEADLINES = (60.0, 180.0, 600.0, 1800.0)
BUDGETS = (0.1, 0.3, 0.6, 2.0)
PORTRAIT_SHARE, CAMERA_SHARE, LONG_SHARE = 0.45, 0.2, 0.2
SHORT_S, LONG_S = 5.0, 10.0


class Row(NamedTuple):
    """One model: mean service time, spread of its logarithm, parallel servers, USD a clip, what it can do."""

    id: str
    elo: float
    seconds: float
    sigma: float
    servers: int
    usd: float
    camera: bool
    long: bool
    hosted: bool


ROWS = (
    Row("wan22-720p-sp4", 1169, 288.06, 0.05, 5, 0.80, camera=True, long=False, hosted=False),
    Row("wan22-480p-sp4", 1129, 92.53, 0.05, 4, 0.26, camera=True, long=False, hosted=False),
    Row("wan-fast-480p", 1100, 27.10, 0.05, 6, 0.02, camera=False, long=False, hosted=False),
    Row("ltx-2", 1139, 60.0, 0.08, 4, 0.04, camera=False, long=True, hosted=False),
    Row("hailuo-2.3", 1255, 95.0, 0.30, 8, 0.28, camera=True, long=True, hosted=True),
    Row("kling-2.6-pro", 1290, 120.0, 0.35, 8, 0.35, camera=False, long=True, hosted=True),
    Row("kling-v3-pro", 1357, 180.0, 0.35, 8, 0.56, camera=True, long=True, hosted=True),
    Row("wan2.6-i2v", 1308, 110.0, 0.35, 8, 0.50, camera=False, long=True, hosted=True),
    Row("runway-gen4-turbo", 1051, 35.0, 0.30, 8, 0.25, camera=True, long=True, hosted=True),
)
WIDTH, HEIGHT, FPS = 832, 480, 16
_SOURCED = {"source": "an assumption of the nine-model toy", "checked_at": "2026-11-21", "inferred": True}


class ToyTruth:
    """No bias: the formula is right on average. Taste differs from job to job and cannot be learned."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._offsets: dict[tuple[int, str], float] = {}

    def bias(self, pool: Pool, gpus: int) -> float:
        """The formula is right."""
        del pool, gpus
        return 1.0

    def elo_offset(self, job: Arrival, card_id: str) -> float:
        """A draw for each job and model."""
        key = (job.index, card_id)
        found = self._offsets.get(key)
        if found is None:
            found = self._offsets[key] = draw(self._seed, "taste", *key).gauss(0.0, HIDDEN_SD)
        return found


def toy_world(seed: int, *, failures: Failures | None = None, rows: tuple[Row, ...] = ROWS) -> World:
    """The nine models with their servers."""
    lanes = {}
    for row in rows:
        pool = Pool(
            name=row.id,
            model=row.id,
            offer="toy",
            gpu="hosted" if row.hosted else "h100",
            replicas=row.servers,
            max_replicas=row.servers,
            sigma=row.sigma,
        )
        lanes[row.id] = Lane(pool, row.sigma, HOSTED_ERROR if row.hosted else FORMULA_ERROR)
    return World(
        name="toy",
        catalog=Catalog.of([_card(row) for row in rows]),
        gpus=load_gpus(),
        lanes=lanes,
        truth=ToyTruth(seed),
        reference_elo=REFERENCE_ELO,
        seed=seed,
        failures=failures or Failures(),
    )


def toy_jobs(load: float, hours: float, seed: int) -> list[Arrival]:
    """Poisson arrivals with independent needs, deadlines and budgets.

    Args:
        load: Jobs per second.
        hours: For how long they arrive.
        seed: Of all draws.
    """
    random = draw(seed, "toy", load)
    users = ZipfUsers(random)
    jobs: list[Arrival] = []
    for at in steady(load, hours, random):
        request = toy_request(
            upright=random.random() < PORTRAIT_SHARE,
            camera=random.random() < CAMERA_SHARE,
            long=random.random() < LONG_SHARE,
            deadline=random.choice(DEADLINES),
            budget=random.choice(BUDGETS),
            tenant=users.next(),
            draw=random.random(),
        )
        jobs.append(Arrival(len(jobs), at, request))
    return jobs


def toy_request(
    *,
    upright: bool = False,
    camera: bool = False,
    long: bool = False,
    deadline: float | None = None,
    budget: float | None = None,
    tenant: str = "default",
    draw: float | None = None,
    objective: Objective = Objective.QUALITY,
) -> RouteRequest:
    """One request: what it needs, by when (seconds from now) and for how much (USD)."""
    width, height = (1080, 1440) if upright else (1440, 1080)
    image = ImageFeatures(width, height, "portrait" if upright else "landscape")
    return RouteRequest(
        Features(image, PromptFeatures(words=8)),
        wish=ClipWish(seconds=LONG_S if long else SHORT_S),
        task=TaskType.TI2V,
        objective=objective,
        camera=(CameraWish(CameraMove.PAN_LEFT, required=True),) if camera else (),
        deadline_s=deadline,
        max_cost_usd=budget,
        tenant=tenant,
        draw=draw,
    )


def _card(row: Row) -> Card:
    median = row.seconds * exp(-(row.sigma**2) / 2.0)
    offer: dict[str, object] = {
        "id": "toy",
        "backend": "vendor" if row.hosted else "local",
        "runner": None if row.hosted else "toy",
        "price": {"kind": "per_clip", "usd": row.usd, **_SOURCED},
        "modes": [
            {
                "name": "480p",
                "sizes": {
                    "kind": "area",
                    "pixels": WIDTH * HEIGHT,
                    "min_pixels": 147_456,
                    "multiple": 16,
                    "aspect_min": 0.4,
                    "aspect_max": 2.5,
                },
                "length": {
                    "kind": "range",
                    "min": SHORT_S,
                    "max": LONG_S if row.long else SHORT_S,
                    "step": 5.0,
                },
                "fps": [FPS],
                **_SOURCED,
            }
        ],
    }
    cost = None
    if row.hosted:
        offer["latency"] = {"p50": median, "p95": median * exp(P95 * row.sigma), **_SOURCED}
    else:
        # Whatever the clip, the same time: the toy has one service time a model.
        offer["default_gpu"] = "h100"
        cost = {"rendering": {"seconds_per_megapixel": 0.0, "fixed_seconds": median, **_SOURCED}}
    return Card.model_validate(
        {
            "id": row.id,
            "title": row.id,
            "family": "toy",
            "vendor": "toy",
            "makes": "generated",
            "status": "live",
            "checked_at": _SOURCED["checked_at"],
            "tasks": ["i2v", "ti2v"],
            "licence": {"id": "none", "commercial": "unknown", **_SOURCED},
            "weights": {"kind": "none", **_SOURCED},
            "controls": {"camera": _camera(row), **_SOURCED},
            "input_image": {"min_side": 64, **_SOURCED},
            "offers": [offer],
            "cost": cost,
            "quality": {
                "elo": row.elo,
                "sd": 9.0,
                "board": "arena.ai image-to-video",
                **_SOURCED,
            },
            "summary": "A model of the toy.",
        }
    )


def _camera(row: Row) -> dict[str, object]:
    if not row.camera:
        return {"kind": "prompt", **_SOURCED}
    return {"kind": "parameter", "moves": [CameraMove.PAN_LEFT], **_SOURCED}
