"""docs/api.md says what the code does: every route, every field, every error code."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import models.errors
from models.catalog import load_catalog
from models.errors import I2VError, RunnerError
from models.gpus import load_gpus
from models.types import CameraMove
from policies.engine import Engine
from policies.profile import load_profiles
from router.api.view import Video
from router.engine import RouteEngine
from router.gateway import create_app
from router.jobs.retry import ATTEMPTS_EXHAUSTED, LOST
from router.jobs.sql import SqlJobStore
from router.jobs.states import EventType
from router.media import MediaStore
from router.schemas import CreateVideo
from router.settings import Settings

ROOT = Path(__file__).resolve().parents[3]
TEXT = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| (`[^|]+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)


def section(title: str) -> str:
    _, _, rest = TEXT.partition(f"\n## {title}\n")
    assert rest, f"no section {title}"
    return rest.partition("\n## ")[0]


def errors() -> Iterator[type[I2VError]]:
    for value in vars(models.errors).values():
        if inspect.isclass(value) and issubclass(value, I2VError):
            yield value


@pytest.fixture(scope="module")
def openapi(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    home = tmp_path_factory.mktemp("home")
    settings = Settings(home=home)
    catalog, gpus = load_catalog(), load_gpus()
    engine = RouteEngine(Engine(catalog, gpus, load_profiles()), catalog, gpus)

    async def fleet() -> Any:
        return engine.idle()

    async def nudge() -> None:
        await asyncio.sleep(0)

    app = create_app(
        settings=settings,
        store=SqlJobStore(settings.resolved_database_url),
        media=MediaStore(settings.resolved_media_url),
        engine=engine,
        fleet=fleet,
        nudge=nudge,
    )
    return app.openapi()


def test_routes_are_exactly_those_of_the_application(openapi: dict[str, Any]) -> None:
    served = {f"{method.upper()} {path}" for path, verbs in openapi["paths"].items() for method in verbs}
    told = set(re.findall(r"^\| `([A-Z]+ /[^`]*)` \|", section("Routes"), re.MULTILINE))
    assert told == served


def test_query_parameters_are_named(openapi: dict[str, Any]) -> None:
    for path, verbs in openapi["paths"].items():
        for method, operation in verbs.items():
            rows = [line for line in section("Routes").splitlines() if f"`{method.upper()} {path}`" in line]
            for parameter in operation.get("parameters", []):
                if parameter["in"] == "query":
                    assert f"`{parameter['name']}`" in rows[0], (method, path, parameter["name"])


def test_every_request_field_is_listed_and_no_other() -> None:
    cells = re.findall(r"^\| ([^|]+) \|", section("Make a clip"), re.MULTILINE)
    told = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
    assert told == set(CreateVideo.model_fields) - {"routing"}
    assert "`routing`" in section("Make a clip")


def test_every_camera_move_is_listed() -> None:
    words = set(re.findall(r"\w+", section("Make a clip")))
    assert {move.value for move in CameraMove} <= words


def test_every_field_of_a_video_is_listed() -> None:
    words = set(re.findall(r"`(\w+)`", section("The Video object")))
    assert set(Video.model_fields) <= words


def test_every_error_of_an_answer_is_listed_with_its_status() -> None:
    http = section("Errors").partition("Codes in a job's")[0]
    told = {
        code: int(status)
        for cell, statuses, _ in ROW.findall(http)
        for code, status in zip(re.findall(r"`(\w+)`", cell), statuses.split(", "), strict=True)
    }
    expected = {cls.code: cls.status for cls in errors() if not issubclass(cls, RunnerError)}
    assert told == expected | {"not_found": 404, "method_not_allowed": 405, "range_not_satisfiable": 416}


def test_every_error_of_a_run_is_listed_with_what_follows() -> None:
    runs = section("Errors").partition("Codes in a job's")[2]
    told = {cell.strip("`"): after for cell, after, _ in ROW.findall(runs)}
    expected = {cls.code: cls.disposition.value for cls in errors() if issubclass(cls, RunnerError)}
    of_the_store = {
        ATTEMPTS_EXHAUSTED: "fail",
        LOST: "retry",
        "no_route": "fail",
        "media_unavailable": "retry",
    }
    assert told == expected | of_the_store


def test_every_event_type_is_listed() -> None:
    words = set(re.findall(r"`(\w+)`", section("Events")))
    assert {kind.value for kind in EventType} <= words


def test_the_index_of_the_page_names_its_sections() -> None:
    titles = re.findall(r"^## (.+)$", TEXT, re.MULTILINE)
    index = TEXT.partition("\n## ")[0]
    assert re.findall(r"\[([^\]]+)\]\(#", index) == titles
