"""Removes from the media store what no job needs any more."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from models.errors import MediaUnavailable
from router.jobs.store import JobStore
from router.media import MediaStore

log = logging.getLogger("i2v.purging")


async def purge(store: JobStore, media: MediaStore) -> int:
    """Delete all garbage; returns how many objects went. What cannot be deleted now stays garbage.

    Raises:
        StoreUnavailable: the job store went away; what was deleted by then is named once more next time.
    """
    gone = 0
    while keys := await store.garbage():
        removed = await asyncio.to_thread(_delete, media, keys)
        await store.forget_garbage(removed)
        gone += len(removed)
        if len(removed) < len(keys):
            break
    return gone


def _delete(media: MediaStore, keys: Sequence[str]) -> list[str]:
    """Those of the keys that are gone now: one that cannot be deleted holds up none of the others."""
    removed = []
    for key in keys:
        try:
            media.delete([key])
        except MediaUnavailable as error:
            log.warning("%s stays for now: %s", key, error)
        else:
            removed.append(key)
    return removed
