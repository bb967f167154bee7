"""From a provider's result to stored media: download at once, decode, store all variants or none."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deployments.call_desk import Desk
from deployments.call_state import CallState
from deployments.call_task import CallTask
from deployments.clip_media import store_variants
from deployments.media_process import Inspected
from models.errors import MediaUnavailable, ProviderUnavailable, RateLimited, ResultUnusable
from models.providers.base import Phase, Sighting, Ticket
from models.providers.limits import LONGEST_LOOK_PAUSE_S

log = logging.getLogger("i2v.call")

BASE_BYTES = 64 * 2**20
BYTES_PER_S = 12_500_000
"""A result may have 64 MiB and 100 Mbit/s: hosts send 1080p at 5 to 20. A hundred times that is no clip."""
DOWNLOADS = 5
"""Transfers may break off so often."""
FRESH_LOOKS = 2
"""A link that is gone is asked for anew so often: signed links expire, the result may still be there."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """What was stored."""

    media: Mapping[str, Mapping[str, Any]]
    geometry: Mapping[str, Any]
    notes: tuple[str, ...]


async def deliver(state: CallState, ticket: Ticket, sighting: Sighting) -> Delivered:
    """Fetch a success and store it with its still pictures.

    Raises:
        ResultUnusable: it is gone, no video, or far too large.
        ProviderUnavailable: the transfer broke off again and again.
        MediaUnavailable: the media store stayed away.
        Cancelled, StaleFence, HandedBack: see `CallState.heed`.
    """
    desk, task = state.desk, state.task
    await asyncio.to_thread(state.folder.mkdir, parents=True, exist_ok=True)
    video = state.folder / "clip.mp4"
    async with desk.held:
        async with desk.downloads:
            await _fetched(state, ticket, sighting, video)
        found = await desk.clips.clip(video, task.plan)
        await state.show("storing")
        media = await _stored(desk, task, video, found)
    return Delivered(media, found.geometry, _notes(task, found))


def most_bytes(seconds: float) -> int:
    """Largest result that is taken for a clip of that length."""
    return BASE_BYTES + int(BYTES_PER_S * seconds)


async def _fetched(state: CallState, ticket: Ticket, sighting: Sighting, video: Path) -> None:
    desk, task = state.desk, state.task
    limit, broken, fresh = most_bytes(task.plan.native.seconds), 0, 0
    while True:
        state.heed()
        try:
            await desk.provider.download(sighting, ticket, video, limit)
        except (ProviderUnavailable, RateLimited) as error:
            broken += 1
            if broken >= DOWNLOADS:
                raise
            log.warning("the result of %s is fetched again: %s", task.job_id, error.message)
            pause = min(error.retry_after_s or 0.0, LONGEST_LOOK_PAUSE_S)
            await state.news.wait(max(desk.pace.retry_s, pause))
        except ResultUnusable:
            fresh += 1
            if fresh > FRESH_LOOKS:
                raise
            await asyncio.sleep(desk.pace.retry_s)
            again = await desk.provider.look(ticket)
            if again.phase is not Phase.SUCCEEDED:
                raise
            sighting = again
        else:
            return


async def _stored(
    desk: Desk, task: CallTask, video: Path, found: Inspected
) -> Mapping[str, Mapping[str, Any]]:
    deadline = time.monotonic() + desk.pace.store_s
    while True:
        try:
            return await asyncio.to_thread(_store, desk, task, video, found)
        except MediaUnavailable as error:
            if time.monotonic() > deadline:
                raise
            log.warning("the clip of %s waits for the media store: %s", task.job_id, error)
            await asyncio.sleep(desk.pace.retry_s)


def _store(desk: Desk, task: CallTask, video: Path, found: Inspected) -> dict[str, dict[str, Any]]:
    return store_variants(
        desk.media,
        task.job_id,
        task.fence,
        video=video,
        thumbnail=found.thumbnail,
        spritesheet=found.spritesheet,
    )


def _notes(task: CallTask, found: Inspected) -> tuple[str, ...]:
    """What differs from the plan: hosts round as they like, and it is told."""
    notes = []
    planned, made = task.plan.effective, found.geometry
    if (
        abs(planned.width * made["height"] - planned.height * made["width"])
        > planned.width * made["height"] / 50
    ):
        notes.append(
            f"The provider made {made['width']}x{made['height']}, not the shape of {planned.size} as planned."
        )
    if abs(planned.seconds - made["seconds"]) > max(0.5, planned.seconds / 10):
        notes.append(f"The provider made {made['seconds']:.2f} s, not {planned.seconds:.2f} s as planned.")
    if task.generate_audio and not found.audio:
        notes.append("Sound was asked for; the provider made none.")
    return tuple(notes)
