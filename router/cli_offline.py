"""`i2v route --fleet all` and `i2v models --fleet all`: the same code as the server's, in this process."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from models.catalog import Catalog, load_catalog
from models.errors import ConfigError, InvalidRequest, PayloadTooLarge
from models.gpus import load_gpus
from policies.engine import Engine
from policies.profile import load_profiles
from policies.render import decision_json
from router.client import ClipOptions, Model
from router.drivers import limit_of, prepare_driver
from router.engine import Driver, RouteEngine, clip_request, route_request
from router.features import read_features
from router.finals import with_final_estimate
from router.images import Photograph, load_photograph
from router.schemas import Wishes, parse
from router.settings import Settings

log = logging.getLogger("i2v.cli")

TENANT = "default"


def decide_offline(
    image: Path,
    prompt: str,
    options: ClipOptions,
    *,
    last_image: Path | None,
    driving_video: Path | None = None,
    audio: Path | None = None,
) -> dict[str, Any]:
    """The Decision JSON for a photograph as if every card were there and idle.

    Raises:
        InvalidRequest, InvalidImage, InvalidMedia, PayloadTooLarge, UnknownModel: as the server would say.
        ConfigError: a card or profile is wrong.
        OSError: a file cannot be read.
    """
    settings = Settings()
    engine = _engine(settings)
    photograph = _photograph(image, settings, "image")
    if last_image is not None:
        _photograph(last_image, settings, "last_image")
    wishes = parse(Wishes, {**options, "prompt": prompt})
    clip = engine.known(clip_request(wishes, photograph.size))
    features = read_features(photograph, clip.prompt)
    features = replace(features, advice=(*features.advice, *photograph.notes))
    request = route_request(
        clip,
        features,
        has_last_image=last_image is not None,
        tenant=TENANT,
        drivers={
            name: _driver(path, name, settings)
            for name, path in (("driving_video", driving_video), ("audio", audio))
            if path
        },
    )
    fleet = engine.idle()
    decision = engine.decide(request, fleet)
    return with_final_estimate(decision_json(decision), engine.policies, request, decision, fleet)


def models_offline() -> Sequence[Model]:
    """Every card of the catalog, as the server would list it; readiness is not known."""
    return [
        Model(
            id=card.id,
            owned_by=card.vendor,
            title=card.title,
            family=card.family,
            status=card.status,
            makes=card.makes,
            tasks=[task.value for task in card.tasks],
            licence=card.licence.id,
            summary=card.summary,
            replacement=card.replacement,
        )
        for card in _catalog(Settings())
    ]


def _catalog(settings: Settings) -> Catalog:
    catalog = load_catalog(settings.cards)
    _tell(catalog.problems)
    return catalog


def _engine(settings: Settings) -> RouteEngine:
    catalog, gpus, profiles = _catalog(settings), load_gpus(), load_profiles(settings.cards)
    _tell(profiles.problems)
    return RouteEngine(Engine(catalog, gpus, profiles), catalog, gpus)


def _tell(problems: Sequence[ConfigError]) -> None:
    for problem in problems:
        log.error("left out: %s", problem.message)


def read_upload(path: Path, limit: int, param: str) -> bytes:
    """A photograph's bytes. Raises `InvalidRequest` for what is no file, `PayloadTooLarge` before reading."""
    _check_file(path, limit, param)
    return path.read_bytes()


def _check_file(path: Path, limit: int, param: str) -> None:
    if not path.is_file():
        raise InvalidRequest(f"{path} is not a regular file", param=param)
    size = path.stat().st_size
    if size > limit:
        raise PayloadTooLarge(
            f"{path} has {size} bytes; at most {limit} are taken", param=param, allowed=limit
        )


def _driver(path: Path, name: str, settings: Settings) -> Driver:
    """A driving video or sound, checked as the server would."""
    _check_file(path, limit_of(name, settings), name)
    return prepare_driver(path, name).driver


def _photograph(path: Path, settings: Settings, param: str) -> Photograph:
    return load_photograph(
        read_upload(path, settings.max_upload_bytes, param),
        max_pixels=settings.max_image_pixels,
        max_bytes=settings.max_upload_bytes,
        param=param,
    )
