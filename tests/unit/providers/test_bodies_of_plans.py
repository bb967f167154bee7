"""Whatever the planner plans for a hosted offer is said in parameters of its map, or refused by name."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from models.catalog import load_catalog
from models.errors import InputRefused
from models.gpus import load_gpus
from models.lint_requests import MAPPED
from models.providers.base import Role, Wanted
from models.providers.bodies import hosted_body
from models.types import CameraMove, CameraWish, ClipWish, Intensity, Objective, Prefer, Size, TaskType
from policies.base import Candidate, Features, Fleet, ImageFeatures, PromptFeatures, RouteRequest
from policies.engine import Engine, idle_fleet
from policies.profile import load_profiles

CATALOG, GPUS = load_catalog(), load_gpus()
ENGINE = Engine(CATALOG, GPUS, load_profiles())
HOSTED = Fleet(
    tuple(
        pool
        for pool in idle_fleet(CATALOG, GPUS).pools
        if CATALOG.get(pool.model).offer(pool.offer).backend in MAPPED
    )
)
MOVES = st.sampled_from(list(CameraMove))
TASKS: dict[TaskType, tuple[Role, ...]] = {
    TaskType.TI2V: (),
    TaskType.FLF2V: ("last_image",),
    TaskType.ANIMATE: ("driving_video",),
    TaskType.A2V: ("audio",),
}


@st.composite
def requests(draw: st.DrawFn) -> RouteRequest:
    width, height = draw(st.sampled_from([(4032, 3024), (1080, 1920), (1000, 1000), (3001, 1403)]))
    turned = "landscape" if width > height else "portrait" if height > width else "square"
    task = draw(st.sampled_from(list(TASKS)))
    camera = draw(st.lists(st.builds(CameraWish, MOVES, st.booleans()), max_size=2))
    return RouteRequest(
        Features(ImageFeatures(width, height, turned), PromptFeatures(words=draw(st.sampled_from([0, 8])))),
        wish=ClipWish(
            draw(st.sampled_from([None, Size(1280, 720), Size(480, 832), Size(3840, 2160)])),
            draw(st.sampled_from([None, 3.0, 4.4, 5.0, 7.3, 10.0, 15.0, 20.0])),
            draw(st.sampled_from([None, 16.0, 24.0, 30.0, 50.0])),
            draw(st.sampled_from(list(Prefer))),
        ),
        task=task,
        objective=draw(st.sampled_from(list(Objective))),
        camera=tuple(camera),
        motion=draw(st.sampled_from([None, *Intensity])),
        generate_audio=draw(st.booleans()),
        has_last_image="last_image" in TASKS[task],
        has_driving_video="driving_video" in TASKS[task],
        has_audio="audio" in TASKS[task],
        driving_seconds=7.5 if "driving_video" in TASKS[task] else None,
        audio_seconds=7.5 if "audio" in TASKS[task] else None,
    )


def _asked(made: Candidate, request: RouteRequest, seed: int) -> tuple[Wanted, dict[Role, str]]:
    wanted = Wanted(
        reference="call_1",
        card=made.card,
        offer=made.offer,
        mode=made.mode,
        plan=made.plan,
        prompt="Eight words" if request.features.prompt.words else "",
        negative_prompt="blur",
        seed=seed,
        camera=tuple(dict.fromkeys(wish.move for wish in request.camera)),
        intensity=request.motion,
        generate_audio=request.generate_audio,
        loop=request.task is TaskType.TI2V,
    )
    roles: tuple[Role, ...] = ("image", *TASKS[request.task])
    return wanted, {role: f"https://in/{role}" for role in roles}


def _said(wanted: Wanted, inputs: dict[Role, str]) -> dict[str, object] | InputRefused:
    try:
        return hosted_body(wanted, inputs)
    except InputRefused as refused:
        return refused


@settings(max_examples=120, deadline=None)
@given(requests(), st.integers(0, 2**32 - 1))
def test_a_plan_is_said_in_parameters_of_the_map_or_refused(request: RouteRequest, seed: int) -> None:
    for scored in ENGINE.decide(request, HOSTED, counter_offers=False).candidates:
        made = scored.candidate
        wanted, inputs = _asked(made, request, seed)
        body = _said(wanted, inputs)
        if isinstance(body, InputRefused):
            # One clip holds one move where two were asked for; nothing else that is planned cannot be said.
            assert (body.param, len(wanted.camera)) == ("camera", 2), (made.key, body.message)
            continue
        assert made.offer.request is not None
        known = {name.partition(".")[0] for name in made.offer.request.names()} | set(made.mode.sends)
        assert set(body) <= known, made.key
        said = json.dumps(body)
        assert all(url in said for url in inputs.values()), made.key
        for wish in request.camera:
            if wish.required:
                _says(made, body, wish.move)


def _says(made: Candidate, body: dict[str, object], move: CameraMove) -> None:
    """A required move is a parameter or a bracket, never a hope in words."""
    request = made.offer.request
    assert request is not None
    if request.camera is not None:
        assert body[request.camera.name] == request.camera.values[move]
    else:
        assert request.camera_text is not None, made.key
        assert request.camera_text.values[move] in str(body["prompt"])


def test_the_requests_reach_every_kind_of_hosted_offer() -> None:
    """The property above is worth something: without camera wishes most offers are candidates."""
    reached = set()
    for task, roles in TASKS.items():
        for words in (0, 8):
            request = RouteRequest(
                Features(ImageFeatures(1920, 1080, "landscape"), PromptFeatures(words=words)),
                task=task if words or roles else TaskType.I2V,
                has_last_image="last_image" in roles,
                has_driving_video="driving_video" in roles,
                has_audio="audio" in roles,
                driving_seconds=7.5 if "driving_video" in roles else None,
                audio_seconds=7.5 if "audio" in roles else None,
            )
            decision = ENGINE.decide(request, HOSTED, counter_offers=False)
            reached |= {(s.candidate.card.id, s.candidate.offer.id) for s in decision.candidates}
    assert len(reached) > 50, sorted({(pool.model, pool.offer) for pool in HOSTED.pools} - reached)
