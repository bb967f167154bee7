"""The unmodified `openai` client against a live Gateway, with a small worker behind it."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import json
import threading
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import av
import numpy as np
import openai
import pytest
import uvicorn
from openai import OpenAI
from PIL import Image
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from models.catalog import load_catalog
from models.errors import Disposition, JobNotFound, StaleFence
from models.gpus import load_gpus
from policies.base import Fleet
from policies.engine import Engine
from policies.profile import load_profiles
from router.engine import RouteEngine
from router.gateway import create_app
from router.jobs.records import Job, Progress
from router.jobs.sql import SqlJobStore
from router.media import MediaStore, clip_key
from router.settings import Settings

pytestmark = [
    pytest.mark.integration,
    # Every method of `client.videos` warns so (openai 3.52, resources/videos.py).
    pytest.mark.filterwarnings(
        "ignore:The Sora API is scheduled to permanently shut down:DeprecationWarning"
    ),
]

T = TypeVar("T")
UNPROCESSABLE = openai.UnprocessableEntityError
FAIL, HOLD = "please fail", "please wait"


def encode_clip(frames: int = 12) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=12)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(frames):
            picture = np.full((48, 64, 3), index * 20, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()


def encode_picture(colour: int = 90) -> bytes:
    buffer = io.BytesIO()
    ramp = np.tile(np.linspace(0, 255, 320, dtype=np.uint8), (200, 1))
    flat = np.full_like(ramp, colour)
    Image.fromarray(np.stack([ramp, flat, ramp], axis=-1)).save(buffer, "JPEG")
    return buffer.getvalue()


class AnswerLost:
    """A proxy that loses the answer to the next POST after the Gateway has given it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.armed = 0
        self.posts: list[dict[str, str]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        self.posts.append({key.decode(): value.decode() for key, value in scope["headers"]})
        if self.armed == 0:
            await self.app(scope, receive, send)
            return
        self.armed -= 1

        async def swallow(message: Message) -> None:
            """The Gateway believes that it has answered."""

        await self.app(scope, receive, swallow)
        await send({"type": "http.response.start", "status": 500, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})


class Worker:
    """Claims, starts, beats and completes like a model replica, with a ready-made clip."""

    def __init__(self, store: SqlJobStore, media: MediaStore) -> None:
        self.store = store
        self.media = media
        self.clip = encode_clip()
        self.picture = encode_picture(200)

    async def run(self) -> None:
        while True:
            for job in await self.store.queued(10):
                chosen = job.routing["chosen"]
                attempt = await self.store.claim(
                    job.id,
                    pool="pool",
                    model=chosen["model"],
                    offer=chosen["offer"],
                    gpus=1,
                    decision=chosen,
                    routing=job.routing,
                    lease_s=30,
                )
                if attempt is not None:
                    with contextlib.suppress(StaleFence, JobNotFound):
                        await self.make(job, attempt.fence)
            await asyncio.sleep(0.02)

    async def make(self, job: Job, fence: int) -> None:
        await self.store.start(job.id, fence, "worker-1", 30)
        for step in range(1, 4):
            await self.store.beat(job.id, fence, 30, Progress("rendering", step, 3, 0.1))
        while job.prompt == HOLD:
            if (await self.store.beat(job.id, fence, 30)).cancel:
                await self.store.finish_cancelled(job.id, fence)
                return
            await asyncio.sleep(0.02)
        if job.prompt == FAIL:
            error = {"code": "encode_failed", "message": "the frames could not be written"}
            await self.store.fail(job.id, fence, error=error, disposition=Disposition.FAIL)
            return
        media = {}
        for variant, content, kind in (
            ("video", self.clip, "video/mp4"),
            ("thumbnail", self.picture, "image/jpeg"),
            ("spritesheet", self.picture[::-1], "image/jpeg"),
        ):
            key = clip_key(job.id, fence, variant)
            await asyncio.to_thread(self.media.put_bytes, key, content, kind)
            media[variant] = {
                "key": key,
                "bytes": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
                "content_type": kind,
            }
        chosen = job.routing["chosen"]
        await self.store.complete(
            job.id,
            fence,
            result={"media": media, "geometry": chosen["geometry"], "served_model": chosen["model"]},
            usage={"gpu_seconds": 0.1, "usd": 0.0, "predicted_seconds": 1.0, "actual_seconds": 0.1},
            gpu_seconds=0.1,
            retain_s=3600,
            observation=None,
        )


class Live:
    """A Gateway on a free port, its store and its worker, all in one background event loop."""

    def __init__(self, home: Path) -> None:
        self.settings = Settings(
            home=home,
            database_url=f"sqlite+aiosqlite:///{home / 'jobs.db'}",
            media_url=(home / "media").as_uri(),
            max_upload_bytes=4 * 2**20,
        )
        self.port = 0
        self.proxy: AnswerLost
        self.store: SqlJobStore
        self.worker: Worker
        self.failure: BaseException | None = None
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._main, name="gateway")

    def __enter__(self) -> Live:
        self._thread.start()
        assert self._ready.wait(30)
        if self.failure is not None:
            raise self.failure
        return self

    def __exit__(self, *exc: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)
        assert not self._thread.is_alive()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something in the Gateway's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def _main(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            try:
                runner.run(self._serve())
            except BaseException as error:  # noqa: BLE001 - told in the test's own thread
                self.failure = error
                self._ready.set()

    async def _serve(self) -> None:
        catalog, gpus = load_catalog(), load_gpus()
        engine = RouteEngine(Engine(catalog, gpus, load_profiles()), catalog, gpus)
        idle = engine.idle()
        self.store = SqlJobStore(self.settings.resolved_database_url)
        await self.store.open()
        media = MediaStore(self.settings.resolved_media_url)

        async def fleet() -> Fleet:
            return idle

        async def nudge() -> None:
            """The worker looks by itself."""

        app = create_app(
            settings=self.settings, store=self.store, media=media, engine=engine, fleet=fleet, nudge=nudge
        )
        self.proxy = AnswerLost(app)
        server = uvicorn.Server(uvicorn.Config(self.proxy, host="127.0.0.1", port=0, log_level="warning"))
        self.worker = Worker(self.store, media)
        working = asyncio.create_task(self.worker.run())
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
            if serving.done():
                serving.result()
        self.port = server.servers[0].sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        working.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await working
        server.should_exit = True
        await serving
        await self.store.close()


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with Live(tmp_path_factory.mktemp("gateway")) as running:
        yield running


@pytest.fixture
def client(live: Live, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAI]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with OpenAI(base_url=f"http://127.0.0.1:{live.port}/v1", api_key="none") as made:
        yield made


def photo() -> tuple[str, bytes, str]:
    return ("photo.jpg", encode_picture(), "image/jpeg")


def ask(client: OpenAI, prompt: str = "slow push in", **fields: Any) -> Any:
    return client.videos.create(prompt=prompt, input_reference=photo(), model="parallax", **fields)


def test_create_and_poll_then_download_every_variant(live: Live, client: OpenAI) -> None:
    video = client.videos.create_and_poll(
        prompt="slow push in", input_reference=photo(), model="parallax", seconds="3", size="640x400"
    )
    assert video.status == "completed"
    assert (video.object, video.model, video.progress) == ("video", "parallax", 100)
    assert isinstance(video.created_at, int)
    assert isinstance(video.completed_at, int)
    assert video.expires_at is not None
    assert video.expires_at > video.completed_at
    assert (video.seconds, video.size) == ("3", "640x400")
    assert video.error is None
    extra = video.model_extra or {}
    assert extra["routing"]["chosen"]["model"] == "parallax"
    assert extra["served_model"] == "parallax"
    assert [attempt["status"] for attempt in extra["attempts"]] == ["completed"]
    whole = client.videos.download_content(video.id).read()
    assert whole == live.worker.clip
    with av.open(io.BytesIO(whole)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 12
    assert client.videos.download_content(video.id, variant="video").read() == whole
    assert client.videos.download_content(video.id, variant="thumbnail").read() == live.worker.picture
    assert client.videos.download_content(video.id, variant="spritesheet").read() == live.worker.picture[::-1]


def test_create_and_retrieve(client: OpenAI) -> None:
    with client.videos.with_streaming_response.create(
        prompt="pan left", input_reference=encode_picture(), model="parallax"
    ) as response:
        assert response.status_code == 202
        created = response.parse()
        assert response.headers["location"] == f"/v1/videos/{created.id}"
    assert client.videos.retrieve(created.id).id == created.id
    raw = client.videos.with_raw_response.retrieve(created.id)
    assert raw.headers["x-request-id"]
    assert client.videos.poll(created.id).status == "completed"


def test_a_json_reference_arrives_with_bracketed_names(live: Live, client: OpenAI) -> None:
    import base64

    address = "data:image/jpeg;base64," + base64.b64encode(encode_picture()).decode()
    video = client.videos.create(
        prompt="tilt up",
        model="parallax",
        extra_body={
            "input_reference": {"image_url": address},
            "routing": {"objective": "speed", "deadline_s": 600},
            "tags": ["one", "two"],
            "camera": [{"move": "tilt_up"}, {"move": "roll", "required": True}],
            "generate_audio": False,
            "seed": 11,
        },
    )
    job = live.call(live.store.get(video.id))
    assert job.request["objective"] == "speed"
    assert job.request["deadline_s"] == 600
    assert job.request["tags"] == ["one", "two"]
    assert job.request["seed"] == 11
    assert [wish["move"] for wish in job.request["camera"]] == ["tilt_up", "roll"]


def test_a_failed_job_is_returned_and_not_raised(client: OpenAI) -> None:
    video = client.videos.create_and_poll(prompt=FAIL, input_reference=photo(), model="parallax")
    assert video.status == "failed"
    assert video.error is not None
    assert (video.error.code, video.error.message) == ("encode_failed", "the frames could not be written")
    with pytest.raises(openai.NotFoundError) as caught:
        client.videos.download_content(video.id)
    assert caught.value.code == "not_ready"


def test_list_pages_by_itself(client: OpenAI) -> None:
    made = [ask(client, prompt=f"push in {index}").id for index in range(5)]
    page = client.videos.list(limit=2)
    assert len(page.data) == 2
    assert page.has_more
    seen = []
    for video in client.videos.list(limit=2):
        seen.append(video.id)
        if len(seen) == 5:
            break
    assert seen == made[::-1]
    everything = [video.id for video in client.videos.list(limit=2, order="asc")]
    assert len(everything) == len(set(everything)) >= 5
    assert everything[-5:] == made
    after = client.videos.list(after=made[1], order="asc", limit=100)
    assert [video.id for video in after.data] == made[2:]
    assert not after.has_more


def test_remix(live: Live, client: OpenAI) -> None:
    source = client.videos.create_and_poll(prompt="push in", input_reference=photo(), model="parallax")
    remix = client.videos.remix(source.id, prompt="pull out slowly")
    assert remix.remixed_from_video_id == source.id
    assert remix.prompt == "pull out slowly"
    done = client.videos.poll(remix.id)
    assert done.status == "completed"
    job = live.call(live.store.get(remix.id))
    assert job.features["prompt"]["camera"] == ["pull_out"]


def test_delete_is_cancel_and_purge(live: Live, client: OpenAI) -> None:
    running = ask(client, prompt=HOLD)
    deadline = threading.Event()
    while client.videos.retrieve(running.id).status != "in_progress":
        assert not deadline.wait(0.02)
    deleted = client.videos.delete(running.id)
    assert (deleted.id, deleted.object, deleted.deleted) == (running.id, "video.deleted", True)
    with pytest.raises(openai.NotFoundError) as caught:
        client.videos.retrieve(running.id)
    assert caught.value.code == "job_not_found"
    # The worker saw the flag and is free: the next job runs.
    after = client.videos.create_and_poll(prompt="push in", input_reference=photo(), model="parallax")
    assert after.status == "completed"


def test_polling_ends_when_a_job_is_cancelled(live: Live, client: OpenAI) -> None:
    held = ask(client, prompt=HOLD)
    client.post(f"/videos/{held.id}/cancel", cast_to=object)
    assert client.videos.poll(held.id).status == "cancelled"


@pytest.mark.parametrize(
    ("fields", "kind", "code", "param"),
    [
        ({"seconds": "-4"}, openai.BadRequestError, "invalid_request", "seconds"),
        ({"size": "big"}, openai.BadRequestError, "invalid_request", "size"),
        ({"extra_body": {"colour": "blue"}}, openai.BadRequestError, "invalid_request", "colour"),
        ({"extra_body": {"routing": {"fast": 1}}}, openai.BadRequestError, "invalid_request", "routing.fast"),
        ({"model": "paralax"}, openai.NotFoundError, "unknown_model", "model"),
        ({"input_reference": b"no photograph"}, openai.BadRequestError, "invalid_image", "input_reference"),
        ({"seconds": "300", "size": "7680x4320"}, UNPROCESSABLE, "no_route", "seconds,size"),
    ],
)  # fmt: skip
def test_errors_are_typed_and_not_retried(
    live: Live,
    client: OpenAI,
    fields: dict[str, Any],
    kind: type[openai.APIStatusError],
    code: str,
    param: str,
) -> None:
    before = len(live.proxy.posts)
    given: dict[str, Any] = {"model": "parallax", "input_reference": photo(), **fields}
    with pytest.raises(kind) as caught:
        client.videos.create(prompt="push in", **given)
    error = caught.value
    assert (error.code, error.param, error.type) == (code, param, "invalid_request_error")
    body = json.loads(error.response.text)
    assert body["detail"] in str(error)
    assert error.request_id == body["request_id"]
    assert len(live.proxy.posts) == before + 1


def test_a_lost_answer_makes_one_job(live: Live, client: OpenAI) -> None:
    before = sum(live.call(live.store.counts()).values())
    live.proxy.posts.clear()
    live.proxy.armed = 1
    video = ask(client, prompt="one job only")
    tries = [post["x-stainless-retry-count"] for post in live.proxy.posts]
    assert tries == ["0", "1"]
    boundaries = {post["content-type"] for post in live.proxy.posts}
    assert len(boundaries) == 2, "each try has its own boundary"
    assert sum(live.call(live.store.counts()).values()) == before + 1
    assert client.videos.poll(video.id).status == "completed"


def test_a_large_upload_is_refused_without_a_broken_connection(client: OpenAI) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        client.videos.create(prompt="x", input_reference=bytes(30 * 2**20))
    assert (caught.value.status_code, caught.value.code) == (413, "payload_too_large")
    assert client.models.list().data


def test_models_list(client: OpenAI) -> None:
    ids = [model.id for model in client.models.list()]
    assert "parallax" in ids
    assert client.models.retrieve("parallax").owned_by


def test_events_arrive_while_the_job_runs(live: Live, client: OpenAI) -> None:
    video = ask(client)
    with client._client.stream("GET", f"{client.base_url}videos/{video.id}/events", timeout=30) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        text = "".join(response.iter_text())
    kinds = [line.removeprefix("event: ") for line in text.splitlines() if line.startswith("event: ")]
    assert kinds[0] == "queued"
    assert kinds[-1] == "completed"
    assert "progress" in kinds
