"""Garbage goes from the media store, and what cannot go holds up nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from models.errors import MediaUnavailable
from router.jobs.records import NewJob
from router.jobs.sql import SqlJobStore
from router.media import MediaStore, photograph_key
from router.purging import purge


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqlJobStore]:
    opened = SqlJobStore(f"sqlite:///{tmp_path / 'jobs.db'}")
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
def media(tmp_path: Path) -> MediaStore:
    return MediaStore((tmp_path / "media").as_uri())


async def drop(store: SqlJobStore, media: MediaStore, count: int) -> list[str]:
    """Photographs of deleted jobs."""
    keys = []
    for number in range(count):
        key = photograph_key(f"up{number}")
        media.put_bytes(key, b"pixels", "image/jpeg")
        made = await store.create(
            NewJob(
                tenant="t", model="auto", prompt="", request={"media": {"image": key}}, features={},
                routing={}, priority=1, due_in_s=60, expires_in_s=60, fingerprint=str(number),
            )
        )  # fmt: skip
        await store.delete(made.job.id)
        keys.append(key)
    return keys


async def test_all_of_it_goes(store: SqlJobStore, media: MediaStore) -> None:
    keys = await drop(store, media, 5)
    assert await purge(store, media) == 5
    assert not any(media.exists(key) for key in keys)
    assert await store.garbage() == ()
    assert await purge(store, media) == 0


async def test_what_cannot_be_deleted_stays_garbage_and_holds_up_nothing(
    store: SqlJobStore, media: MediaStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = await drop(store, media, 3)
    delete = MediaStore.delete

    def stubborn(self: MediaStore, given: list[str]) -> None:
        if keys[0] in given:
            raise MediaUnavailable("permission denied")
        delete(self, given)

    monkeypatch.setattr(MediaStore, "delete", stubborn)
    assert await purge(store, media) == 2
    assert await store.garbage() == (keys[0],)
    monkeypatch.undo()
    assert await purge(store, media) == 1
    assert not media.exists(keys[0])
