"""What jobs of a mixed workload ask for: over all that routing looks at.

All shares are our choice; none is measured, where no source is named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from models.types import CameraMove, CameraWish, ClipWish, Intensity, Objective, Priority, Size, TaskType
from policies.base import Features, ImageFeatures, PromptFeatures, RouteRequest
from policies.simulate.rhythm import daily
from policies.simulate.users import ZipfUsers
from policies.simulate.world import Arrival, draw

if TYPE_CHECKING:
    from collections.abc import Mapping
    from random import Random

    from policies.base import Subject

T = TypeVar("T")

SAME_WISH = 0.25
"""Share of jobs that ask what the one before asked: consecutive requests for the same model in the image
trace that `policies.simulate.users` names."""
SUBJECTS: Mapping[Subject, float] = {
    "portrait": 0.40,
    "landscape": 0.25,
    "group": 0.10,
    "product": 0.10,
    "other": 0.15,
}
CONFIDENCE = 0.8
OBJECTIVES = {
    Objective.BALANCED: 0.50,
    Objective.QUALITY: 0.25,
    Objective.SPEED: 0.10,
    Objective.COST: 0.15,
}
PRIORITIES = {Priority.NORMAL: 0.80, Priority.LOW: 0.15, Priority.HIGH: 0.05}
SECONDS = {5.0: 0.65, 8.0: 0.10, 10.0: 0.20, 15.0: 0.05}
SIZES = {None: 0.50, Size(832, 480): 0.15, Size(1280, 720): 0.30, Size(1920, 1080): 0.05}
DEADLINES = {60.0: 0.10, 180.0: 0.30, 600.0: 0.30, 1800.0: 0.20, None: 0.10}
BUDGETS = {0.10: 0.10, 0.30: 0.25, 0.60: 0.30, 2.00: 0.20, None: 0.15}
CAMERA_WORDS, CAMERA_REQUIRED = 0.20, 0.05
SOUND = 0.05
AMBIENT = 0.35
INTENSITIES = {None: 0.60, Intensity.SUBTLE: 0.10, Intensity.MODERATE: 0.20, Intensity.DYNAMIC: 0.10}
MOVES = (CameraMove.PUSH_IN, CameraMove.PAN_LEFT, CameraMove.ORBIT_LEFT, CameraMove.TILT_UP)
UPRIGHT = {"portrait": 0.75, "group": 0.35, "landscape": 0.15, "product": 0.40, "other": 0.45}


def mixed_jobs(load: float, hours: float, seed: int) -> list[Arrival]:
    """Jobs by the hours of the day, of users by Zipf, with mixed wishes.

    Args:
        load: Jobs per second on average.
        hours: For how long they come.
        seed: Of all draws.
    """
    random = draw(seed, "mixed", load)
    users = ZipfUsers(random)
    jobs: list[Arrival] = []
    wish: RouteRequest | None = None
    for at in daily(load, hours, random):
        if wish is None or random.random() >= SAME_WISH:
            wish = _wish(random)
        request = RouteRequest(
            features=wish.features,
            wish=wish.wish,
            task=wish.task,
            objective=wish.objective,
            camera=wish.camera,
            generate_audio=wish.generate_audio,
            deadline_s=pick(DEADLINES, random),
            max_cost_usd=pick(BUDGETS, random),
            priority=pick(PRIORITIES, random),
            tenant=users.next(),
            draw=random.random(),
        )
        jobs.append(Arrival(len(jobs), at, request))
    return jobs


def _wish(random: Random) -> RouteRequest:
    subject = pick(SUBJECTS, random)
    upright = random.random() < UPRIGHT[subject]
    width, height = (1080, 1440) if upright else (1440, 1080)
    size = pick(SIZES, random)
    if size is not None and upright:
        size = Size(size.height, size.width)
    move = random.choice(MOVES)
    camera = random.random()
    return RouteRequest(
        Features(
            ImageFeatures(
                width,
                height,
                "portrait" if upright else "landscape",
                subject=subject,
                subject_confidence=0.0 if subject == "other" else CONFIDENCE,
            ),
            PromptFeatures(
                camera=(move,) if camera < CAMERA_WORDS else (),
                environment_motion=("drift",) if random.random() < AMBIENT else (),
                intensity=pick(INTENSITIES, random),
                words=12,
            ),
        ),
        wish=ClipWish(size=size, seconds=pick(SECONDS, random)),
        task=TaskType.TI2V,
        objective=pick(OBJECTIVES, random),
        camera=(CameraWish(move, required=True),) if camera < CAMERA_REQUIRED else (),
        generate_audio=random.random() < SOUND,
    )


def pick(shares: Mapping[T, float], random: Random) -> T:
    """One of the keys, each with its share."""
    return random.choices(list(shares), list(shares.values()))[0]
