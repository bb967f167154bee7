"""Where a worker keeps the states of its clips: in memory where there is enough, shared by its ranks."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import tempfile
from pathlib import Path

from router.settings import Settings

log = logging.getLogger("i2v.scratch")

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - Linux's tmpfs; names in it are our own
ENOUGH_BYTES = 2 * 2**30
"""A container is given 64 MB of shared memory unless its pod says more; a paused 720p clip needs 80 MB."""
PREFIX = "i2v-worker-"


def scratch_directory(settings: Settings, worker: str, *, in_memory: bool = True) -> Path:
    """An empty directory for one worker; those of workers that ended without a word are removed.

    A lock on it is held as long as this process lives, so that what a killed worker left can be told from
    what one still uses, also in another container. Without `in_memory` it lies on disk: results of providers
    are large and many.
    """
    root = Path(tempfile.gettempdir()) if not in_memory else _root()
    if settings.scratch is not None:
        root = settings.scratch
    root.mkdir(parents=True, exist_ok=True)
    _sweep(root)
    # Under another name until it is locked: nobody sweeps it meanwhile.
    new = Path(tempfile.mkdtemp(prefix="i2v-new-", dir=root))
    # Never closed: the lock ends with the process.
    fcntl.flock(os.open(new, os.O_RDONLY), fcntl.LOCK_EX)
    return new.rename(root / f"{PREFIX}{worker}")


def _root() -> Path:
    if SHARED_MEMORY.is_dir() and os.access(SHARED_MEMORY, os.W_OK):
        free = shutil.disk_usage(SHARED_MEMORY).free
        if free >= ENOUGH_BYTES:
            return SHARED_MEMORY
        log.info("shared memory has only %s bytes free: clips' states go to disk", free)
    return Path(tempfile.gettempdir())


def _sweep(root: Path) -> None:
    for left in root.glob(f"{PREFIX}*"):
        if _abandoned(left):
            log.info("removing what a worker left: %s", left)
            shutil.rmtree(left, ignore_errors=True)


def _abandoned(directory: Path) -> bool:
    """Nobody holds its lock."""
    try:
        handle = os.open(directory, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(handle)
    return True
