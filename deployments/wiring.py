"""How every process of the stack opens the same store, media and engine, from the environment."""

from __future__ import annotations

from models.catalog import Catalog, load_catalog
from models.gpus import load_gpus
from policies.engine import Engine
from policies.profile import load_profiles
from router.engine import RouteEngine
from router.jobs.sql import SqlJobStore
from router.media import MediaStore
from router.settings import Settings


def job_store(settings: Settings) -> SqlJobStore:
    """The job store; the caller opens it in its own event loop."""
    return SqlJobStore(settings.resolved_database_url, retry_window_s=settings.retry_window_s)


def media_store(settings: Settings) -> MediaStore:
    """The media store."""
    return MediaStore(settings.resolved_media_url)


def catalog(settings: Settings) -> Catalog:
    """Shipped cards and the operator's."""
    return load_catalog(settings.cards)


def route_engine(settings: Settings) -> RouteEngine:
    """The engine over that catalog, with shipped profiles and the operator's."""
    cards = catalog(settings)
    gpus = load_gpus()
    return RouteEngine(Engine(cards, gpus, load_profiles(settings.cards)), cards, gpus)
