"""`i2v route --fleet all` and `i2v models --fleet all`: the same code as the server's, in this process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from models.catalog import Catalog, load_catalog
from models.errors import InvalidRequest, PayloadTooLarge
from models.gpus import load_gpus
from policies.engine import Engine
from policies.profile import load_profiles
from policies.render import decision_json
from router.client import ClipOptions, Model
from router.engine import RouteEngine, clip_request, route_request
from router.features import read_features
from router.images import Photograph, load_photograph
from router.schemas import Wishes, parse
from router.settings import Settings

TENANT = "default"


def decide_offline(
    image: Path,
    prompt: str,
    options: ClipOptions,
    *,
    last_image: Path | None,
    driving_video: bool,
    audio: bool,
) -> dict[str, Any]:
    """The Decision JSON for a photograph as if every card were there and idle.

    Raises:
        InvalidRequest, InvalidImage, PayloadTooLarge, UnknownModel: as the server would say.
        ConfigError: a card or profile is wrong.
        OSError: a file cannot be read.
    """
    settings = Settings()
    engine = _engine(settings)
    photograph = _photograph(image, settings, "image")
    if last_image is not None:
        _photograph(last_image, settings, "last_image")
    wishes = parse(Wishes, {**options, "prompt": prompt})
    clip = clip_request(wishes, photograph.size)
    engine.check_models(clip)
    features = read_features(photograph, clip.prompt)
    features = replace(features, advice=(*features.advice, *photograph.notes))
    request = route_request(clip, features, has_last_image=last_image is not None, tenant=TENANT)
    request = replace(request, has_driving_video=driving_video, has_audio=audio)
    return decision_json(engine.decide(request, engine.idle()))


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
    return load_catalog(settings.cards)


def _engine(settings: Settings) -> RouteEngine:
    catalog, gpus = _catalog(settings), load_gpus()
    return RouteEngine(Engine(catalog, gpus, load_profiles(settings.cards)), catalog, gpus)


def read_upload(path: Path, limit: int, param: str) -> bytes:
    """A photograph's bytes. Raises `InvalidRequest` for what is no file, `PayloadTooLarge` before reading."""
    if not path.is_file():
        raise InvalidRequest(f"{path} is not a regular file", param=param, allowed="a photograph")
    size = path.stat().st_size
    if size > limit:
        raise PayloadTooLarge(
            f"{path} has {size} bytes; at most {limit} are taken", param=param, allowed=limit
        )
    return path.read_bytes()


def _photograph(path: Path, settings: Settings, param: str) -> Photograph:
    return load_photograph(
        read_upload(path, settings.max_upload_bytes, param),
        max_pixels=settings.max_image_pixels,
        max_bytes=settings.max_upload_bytes,
        param=param,
    )
