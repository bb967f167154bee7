"""Where a worker keeps the states of its clips: in memory where there is enough, shared by its ranks."""

from __future__ import annotations

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


def scratch_directory(settings: Settings, worker: str) -> Path:
    """An empty directory for one worker; those of workers that ended without a word are removed.

    The name carries our process id, so that what a killed worker left can be told from what one still uses.
    """
    root = settings.scratch if settings.scratch is not None else _root()
    root.mkdir(parents=True, exist_ok=True)
    _sweep(root)
    directory = root / f"{PREFIX}{os.getpid()}-{worker}"
    directory.mkdir(mode=0o700)
    return directory


def _root() -> Path:
    if SHARED_MEMORY.is_dir() and os.access(SHARED_MEMORY, os.W_OK):
        free = shutil.disk_usage(SHARED_MEMORY).free
        if free >= ENOUGH_BYTES:
            return SHARED_MEMORY
        log.info("shared memory has only %s bytes free: clips' states go to disk", free)
    return Path(tempfile.gettempdir())


def _sweep(root: Path) -> None:
    for left in root.glob(f"{PREFIX}*"):
        pid = left.name.removeprefix(PREFIX).partition("-")[0]
        if pid.isdigit() and not _alive(int(pid)):
            log.info("removing what a worker of process %s left: %s", pid, left)
            shutil.rmtree(left, ignore_errors=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
