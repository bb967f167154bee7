"""Feedback: what is taken, what is refused, and that it moves a ranking and outlives the process."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from router.binding import LEARNING
from router.engine import route_request_from_job
from router.fleet import Sources, build_fleet
from router.jobs.sql import SqlJobStore

LANDSCAPE = "Clouds drift over the valley, the grass sways"


@pytest.fixture
def photograph(large_photograph: bytes) -> bytes:
    return large_photograph


@pytest.fixture
def made(stack: Any, post: Any, clip: bytes, photograph: bytes) -> Any:
    """Completes a new job; returns its id."""

    async def make(**fields: Any) -> str:
        response = await post(**fields)
        assert response.status_code == 202, response.text
        job_id = str(response.json()["id"])
        await stack.complete(job_id, clip, photograph)
        return job_id

    return make


async def rate(stack: Any, job_id: str, **body: Any) -> Any:
    return await stack.client.post(f"/v1/videos/{job_id}/feedback", json=body)


async def test_a_thumb_says_what_it_counts_for(stack: Any, post: Any, made: Any) -> None:
    waiting = (await post()).json()["id"]
    assert (await rate(stack, waiting, rating=1)).json()["error"]["code"] == "not_ready"
    job_id = await made(prompt=LANDSCAPE)
    answer = await rate(stack, job_id, rating=-1, comment="too fast")
    assert answer.json() == {
        "id": job_id, "object": "video.feedback", "rating": -1, "better_than": None,
        "model": "parallax", "use_case": "ambient_motion",
    }  # fmt: skip
    belief = (await stack.store.learned()).beliefs["parallax", "ambient_motion"]
    assert belief.offset < 0
    assert belief.votes == 1


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"rating": 5}, "rating"),
        ({"rating": True}, "rating"),
        ({}, "body"),
        ({"rating": 1, "better_than": "vid_x"}, "body"),
        ({"rating": 1, "stars": 5}, "stars"),
        ({"rating": 1, "comment": "x" * 1001}, "comment"),
    ],
)
async def test_wrong_words_are_refused(stack: Any, made: Any, body: dict[str, Any], param: str) -> None:
    response = await rate(stack, await made(), **body)
    assert (response.status_code, response.json()["error"]["param"]) == (400, param)
    assert (await stack.store.learned()).beliefs == {}


async def test_clips_of_one_photograph_are_compared(stack: Any, made: Any) -> None:
    first, again = await made(), await made(model="ltx-video")
    taken = await rate(stack, first, better_than=again)
    assert taken.status_code == 200, taken.text
    assert taken.json()["better_than"] == again
    beliefs = (await stack.store.learned()).beliefs
    assert [model for model, _ in sorted(beliefs)] == ["ltx-video", "parallax"]
    assert (
        beliefs["parallax", "cinematic_camera"].offset > 0 > beliefs["ltx-video", "cinematic_camera"].offset
    )


async def test_a_remix_is_compared_with_its_source(
    stack: Any, made: Any, clip: bytes, photograph: bytes
) -> None:
    source = await made()
    remix = await stack.client.post(f"/v1/videos/{source}/remix", json={"prompt": "slow pull out"})
    await stack.complete(remix.json()["id"], clip, photograph)
    assert (await rate(stack, remix.json()["id"], better_than=source)).status_code == 200


async def test_what_cannot_be_compared_is_named(
    stack: Any, post: Any, made: Any, make_picture: Any, encode: Any, clip: bytes, photograph: bytes
) -> None:
    mine = await made()
    other = await stack.client.post(
        "/v1/videos",
        data={"prompt": "slow push in", "model": "parallax"},
        files={"input_reference": ("b.jpg", encode(make_picture(seed=9)), "image/jpeg")},
    )
    await stack.complete(other.json()["id"], clip, photograph)
    waiting = (await post()).json()["id"]
    for better_than, status, code in (
        (mine, 400, "invalid_request"),
        (other.json()["id"], 400, "invalid_request"),
        (waiting, 404, "not_ready"),
        ("vid_unknown", 404, "job_not_found"),
        ("../etc", 404, "job_not_found"),
    ):
        response = await rate(stack, mine, better_than=better_than)
        error = response.json()["error"]
        assert (response.status_code, error["code"], error["param"]) == (status, code, "better_than"), error
    assert (await stack.store.learned()).beliefs == {}


async def test_how_a_clip_was_decided_is_read_from_its_attempt(stack: Any, post: Any) -> None:
    job_id = (await post()).json()["id"]
    job = await stack.store.get(job_id)
    chosen = job.routing["chosen"]
    attempt = await stack.store.claim(
        job_id, pool="p", model=chosen["model"], offer=chosen["offer"], gpus=1,
        decision={**chosen, LEARNING: "hold_out"}, routing=job.routing, lease_s=60,
    )  # fmt: skip
    await stack.store.start(job_id, attempt.fence, "w", 60)
    await stack.store.complete(
        job_id, attempt.fence, result={"media": {}}, usage={}, gpu_seconds=0.0, retain_s=60, observation=None
    )
    assert (await rate(stack, job_id, rating=1)).status_code == 200
    assert (await stack.store.learned()).ledger.held_out.votes == 1


async def test_votes_move_a_ranking_and_outlive_the_process(stack: Any, made: Any) -> None:
    """The second-best model wins once enough people preferred it, also after a restart."""
    fields = {"prompt": LANDSCAPE, "objective": "quality", "allow": "wan2.2-ti2v-5b,wan2.1-i2v-480p"}
    first = await made(**fields, model="auto")
    job = await stack.store.get(first)
    request = replace(route_request_from_job(job, job.created_at), deadline_s=None)
    idle = stack.engine.idle()
    best, *_, second = (scored.candidate.card.id for scored in stack.engine.decide(request, idle).candidates)
    assert best != second
    for _ in range(24):
        winner = await made(**fields, model=second)
        await rate(stack, winner, rating=1)
        await rate(stack, await made(**fields, model=best), rating=-1)
    again = SqlJobStore(stack.settings.resolved_database_url)
    await again.open()
    try:
        learned = await again.learned()
    finally:
        await again.close()
    fleet = build_fleet(Sources(pools=(), learned=learned), now=0.0)
    decision = stack.engine.decide(request, replace(idle, beliefs=fleet.beliefs))
    assert decision.chosen.candidate.card.id == second
