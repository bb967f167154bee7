"""How every process of the stack opens the same store, media and engine, from the environment."""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from typing import TYPE_CHECKING

from models.catalog import Catalog, load_catalog
from models.errors import StoreUnavailable
from router.jobs.sql import SqlJobStore
from router.media import MediaStore
from router.settings import Settings

if TYPE_CHECKING:
    from router.engine import RouteEngine

log = logging.getLogger("i2v.wiring")

STORE_PATIENCE_S = 120.0
"""A deployment whose constructor fails three times is given up by Serve until its configuration changes, so a
database that restarts (or starts after us) is waited for."""
STORE_RETRY_S = 1.0


async def open_store(
    settings: Settings, *, patience_s: float = STORE_PATIENCE_S, retry_s: float = STORE_RETRY_S
) -> SqlJobStore:
    """The job store, open in this event loop; waited for while it is away.

    Raises:
        ConfigError: the URL, the schema or the node is wrong; waiting would not help.
        StoreUnavailable: it stayed away for `patience_s`.
    """
    store = SqlJobStore(settings.resolved_database_url, retry_window_s=settings.retry_window_s)
    deadline = time.monotonic() + patience_s
    while True:
        try:
            await store.open()
        except StoreUnavailable as error:
            if time.monotonic() > deadline:
                raise
            log.warning("waiting for the job store: %s", error)
            await asyncio.sleep(retry_s)
        else:
            return store


def keep_for_good() -> None:
    """Take what lives as long as the process (modules, catalog, compiled engine) out of garbage collection.

    A full collection visits every tracked object; over the catalog's that is several milliseconds in the
    middle of a decision that takes half of one.
    """
    gc.collect()
    gc.freeze()


def media_store(settings: Settings) -> MediaStore:
    """The media store."""
    return MediaStore(settings.resolved_media_url)


def catalog(settings: Settings) -> Catalog:
    """Shipped cards and the operator's."""
    return load_catalog(settings.cards)


def route_engine(settings: Settings) -> RouteEngine:
    """The engine over that catalog, with shipped profiles and the operator's.

    What is broken in an operator's file is logged and left out: the rest of the catalog serves.
    """
    # Reading photographs takes OpenCV and numpy: processes that route nothing stay 20 MB smaller without.
    from models.gpus import load_gpus
    from policies.engine import Engine
    from policies.profile import load_profiles
    from router.engine import RouteEngine

    cards, profiles = catalog(settings), load_profiles(settings.cards)
    for problem in (*cards.problems, *profiles.problems):
        log.error("left out: %s", problem.message)
    gpus = load_gpus()
    return RouteEngine(Engine(cards, gpus, profiles), cards, gpus)
