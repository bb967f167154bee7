"""A Gateway over a real SQLite store, a media directory and the shipped catalog on an idle fleet."""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import pytest
from fastapi import FastAPI
from PIL import Image

from models.catalog import load_catalog
from models.gpus import load_gpus
from policies.base import Fleet
from policies.engine import Engine
from policies.profile import load_profiles
from router.engine import RouteEngine
from router.gateway import create_app
from router.jobs.records import Job, Progress
from router.jobs.sql import SqlJobStore
from router.media import MediaStore, clip_key, preview_key
from router.settings import Settings

UPLOAD_LIMIT = 2 * 2**20


@pytest.fixture(scope="session")
def route_engine() -> RouteEngine:
    catalog, gpus = load_catalog(), load_gpus()
    return RouteEngine(Engine(catalog, gpus, load_profiles()), catalog, gpus)


@dataclass
class Stack:
    """One Gateway and what stands behind it."""

    app: FastAPI
    store: SqlJobStore
    media: MediaStore
    engine: RouteEngine
    client: httpx.AsyncClient
    settings: Settings
    media_root: Path
    nudges: list[None] = field(default_factory=list)

    async def job_count(self) -> int:
        return sum((await self.store.counts()).values())

    def preview_key(self, job_id: str, fence: int) -> str:
        return preview_key(job_id, fence)

    def objects(self) -> list[Path]:
        """Everything in the media store."""
        return [path for path in self.media_root.rglob("*") if path.is_file()]

    async def nudged(self, times: int) -> None:
        """Wait for nudges, which are sent aside, and count them."""
        await asyncio.gather(*self.app.state.context.nudges)
        assert len(self.nudges) == times

    async def claim(self, job_id: str) -> int:
        """Take a job for its estimated pool; returns the fence."""
        job = await self.store.get(job_id)
        chosen = job.routing["chosen"]
        attempt = await self.store.claim(
            job_id,
            pool="pool",
            model=chosen["model"],
            offer=chosen["offer"],
            gpus=1,
            decision=chosen,
            routing=job.routing,
            lease_s=60,
        )
        assert attempt is not None
        return attempt.fence

    async def complete(self, job_id: str, clip: bytes, thumbnail: bytes) -> Job:
        """Play the worker to the end."""
        fence = await self.claim(job_id)
        job = await self.store.start(job_id, fence, "worker-1", 60)
        await self.store.beat(job_id, fence, 60, Progress("rendering", 1, 2, 0.5))
        media = {}
        for variant, content, kind in (
            ("video", clip, "video/mp4"),
            ("thumbnail", thumbnail, "image/jpeg"),
            ("spritesheet", thumbnail, "image/jpeg"),
        ):
            key = clip_key(job_id, fence, variant)
            self.media.put_bytes(key, content, kind)
            media[variant] = {
                "key": key,
                "bytes": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
                "content_type": kind,
            }
        chosen = job.routing["chosen"]
        return await self.store.complete(
            job_id,
            fence,
            result={"media": media, "geometry": chosen["geometry"], "served_model": chosen["model"]},
            usage={"gpu_seconds": 0.5, "usd": 0.0, "predicted_seconds": 1.0, "actual_seconds": 0.5},
            gpu_seconds=0.5,
            retain_s=3600,
            observation=None,
        )


@pytest.fixture
async def stack(tmp_path: Path, route_engine: RouteEngine) -> AsyncIterator[Stack]:
    media_root = tmp_path / "media"
    settings = Settings(
        home=tmp_path,
        database_url=f"sqlite+aiosqlite:///{tmp_path / 'jobs.db'}",
        media_url=media_root.as_uri(),
        max_upload_bytes=UPLOAD_LIMIT,
        max_video_bytes=UPLOAD_LIMIT,
        max_audio_bytes=UPLOAD_LIMIT // 2,
    )
    store = SqlJobStore(settings.resolved_database_url)
    await store.open()
    media = MediaStore(settings.resolved_media_url)
    idle = route_engine.idle()
    nudges: list[None] = []

    async def fleet() -> Fleet:
        return idle

    async def nudge() -> None:
        nudges.append(None)

    app = create_app(
        settings=settings, store=store, media=media, engine=route_engine, fleet=fleet, nudge=nudge
    )
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        yield Stack(app, store, media, route_engine, client, settings, media_root, nudges)
    await store.close()


def picture(width: int = 320, height: int = 200, seed: int = 0) -> Image.Image:
    """A smooth, seeded landscape-like picture."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 255, (6, 8, 3), np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture
def photograph() -> bytes:
    return encoded(picture())


@pytest.fixture
def large_photograph() -> bytes:
    """Large enough for every model."""
    return encoded(picture(960, 600))


@pytest.fixture
def make_picture() -> Callable[..., Image.Image]:
    return picture


@pytest.fixture
def encode() -> Callable[..., bytes]:
    return encoded


@pytest.fixture
def post(stack: Stack, photograph: bytes) -> Callable[..., object]:
    """Create a video by form, with sound defaults."""

    async def send(**fields: object) -> httpx.Response:
        headers = fields.pop("headers", None)
        form = {"prompt": "slow push in", "model": "parallax", **fields}
        return await stack.client.post(
            "/v1/videos",
            data={name: value for name, value in form.items() if value is not None},
            files={"input_reference": ("photo.jpg", photograph, "image/jpeg")},
            headers=headers,
        )

    return send


@pytest.fixture(scope="session")
def clip() -> bytes:
    """A real MP4 of eight frames."""
    import av

    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=8)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(8):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), index * 30, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return buffer.getvalue()


@pytest.fixture(scope="session")
def driving_video() -> bytes:
    """Two seconds of pictures without sound."""
    import av

    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=12)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for index in range(24):
            frame = av.VideoFrame.from_ndarray(np.full((96, 128, 3), index * 10, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return buffer.getvalue()


@pytest.fixture(scope="session")
def sound() -> bytes:
    """Three seconds of a tone, as WAV."""
    import wave

    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        tone = (np.sin(np.arange(48_000) / 6.0) * 8000).astype(np.int16)
        file.writeframes(tone.tobytes())
    return buffer.getvalue()
