"""A fake of Replicate's HTTP API (api.replicate.com/v1), as its own SDKs use it.

Strict where the real one is: unknown and missing input fields answer 422 at once; joint limits that the
schemas state in prose only, and files that a model cannot use, make the run fail. The 422's lines
(`- input.duration: …`) are worded as JSON-schema checkers word them (inferred: no document describes them).
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from models.providers.fake.calls import Call, Ending
from models.providers.fake.checking import checked, unfit
from models.providers.fake.core import Fake, used
from models.providers.fake.desk import Desk
from models.providers.fake.replicate_files import file_routes
from models.providers.fake.replicate_hooks import EVENTS, follow
from models.providers.fake.replicate_words import (
    ReplicateDialect,
    model_json,
    prediction_json,
    problem,
    problem_detail,
    version_of,
)
from models.providers.fake.schema import ModelSpec, schemas
from models.providers.fake.shaping import Fetcher, clip_shape

DATA_URI_LIMIT = 256 * 1024
"""Bytes of a data URI (Replicate's documentation: 256 kB)."""
PAGE = 100
ID_LENGTH = 26
HARD_LIMIT_S = 1800.0
"""Every run is stopped after 30 minutes."""


def routes(fake: Fake) -> list[BaseRoute]:
    """All routes, each with and without `/v1`."""
    api = _Api(fake)
    desk = Desk(fake, ReplicateDialect(fake.settings.key))
    made: list[BaseRoute] = []
    for prefix in ("/v1", ""):
        made += [
            desk.route(f"{prefix}/models/{{owner}}/{{name}}/predictions", "POST", "submit", api.by_name),
            desk.route(f"{prefix}/predictions", "POST", "submit", api.by_version),
            desk.route(f"{prefix}/predictions", "GET", "list", api.listing),
            desk.route(f"{prefix}/predictions/{{id}}", "GET", "look", api.look),
            desk.route(f"{prefix}/predictions/{{id}}/cancel", "POST", "cancel", api.cancel),
            desk.route(f"{prefix}/models/{{owner}}/{{name}}", "GET", "model", api.model),
            desk.route(f"{prefix}/models/{{owner}}/{{name}}/versions/{{id}}", "GET", "model", api.model),
            desk.route(f"{prefix}/account", "GET", "check", api.account),
            desk.route(f"{prefix}/webhooks/default/secret", "GET", "secret", api.secret),
            *file_routes(fake, desk, prefix),
        ]
    return made


class _Api:
    def __init__(self, fake: Fake) -> None:
        self._fake = fake
        self._models = schemas("replicate")

    # --- submissions -------------------------------------------------------------------------

    async def by_name(self, request: Request) -> Response:
        """`POST /models/{owner}/{name}/predictions`: official models."""
        name = "{owner}/{name}".format(**request.path_params)
        model = self._models.get(name)
        if model is None or model.community:
            return problem(404, "Not found", "The requested resource could not be found.")
        return await self._submit(request, name, model)

    async def by_version(self, request: Request) -> Response:
        """`POST /predictions`: any model by its version."""
        body = await _json_object(request)
        if isinstance(body, Response):
            return body
        version = body.get("version")
        if not isinstance(version, str):
            return problem(422, "Input validation failed", "- version is required\n")
        name = self._named(version)
        if name is None:
            return problem(
                422,
                "Invalid version or not permitted",
                "The specified version does not exist (or perhaps you don't have permission to use it?)",
            )
        return await self._submit(request, name, self._models[name])

    def _named(self, version: str) -> str | None:
        """The model of `owner/name`, `owner/name:digits` or 64 hex digits alone."""
        name, _, digits = version.rpartition(":") if ":" in version else ("", "", version)
        if not name and "/" in version:
            return version if version in self._models else None
        if re.fullmatch(r"[0-9a-f]{64}", digits) is None:
            return None
        for candidate, model in self._models.items():
            known = (
                digits == version_of(candidate, model)
                or digits in model.older_versions
                or (model.version_prefix != "" and digits.startswith(model.version_prefix))
            )
            if known and name in ("", candidate):
                return candidate
        return None

    async def _submit(self, request: Request, name: str, model: ModelSpec) -> Response:
        body = await _json_object(request)
        if isinstance(body, Response):
            return body
        refused = _envelope(body)
        if refused is not None:
            return refused
        given = body["input"]
        fault = self._fake.fault(request)
        if fault is not None and fault.name == "schema_changed":
            used(request)
            field = fault.field or (list(given) or ["input"])[-1]
            return problem(
                422, "Input validation failed", f"- input: Additional property {field} is not allowed\n"
            )
        fetch = Fetcher(self._fake.uploads, self._fake.url, data_uri_limit=DATA_URI_LIMIT)
        seen = checked(model, given, fetch)
        if seen.problems:
            return problem(422, "Input validation failed", "".join(map(problem_detail, seen.problems)))
        broken = unfit(model, seen)
        call = self._fake.accept(
            request,
            endpoint=name,
            body=body,
            shape=clip_shape(model, seen),
            call_id=_new_id(name),
            webhook=body.get("webhook"),
            ending=Ending("refuses_input", broken.says) if broken else None,
            stops_after_s=_cancel_after(request) or HARD_LIMIT_S,
        )
        call.tags["version"] = version_of(name, model) if model.community else "hidden"
        call.tags["model"] = name
        if call.webhook is not None:
            events = frozenset(body.get("webhook_events_filter") or EVENTS)
            self._fake.spawn(follow(self._fake, call, events, partial(self._told, call)))
        return await self._created(request, call)

    async def _created(self, request: Request, call: Call) -> Response:
        wait = _prefers_wait(request)
        if wait:
            await self._fake.over(call, at_most_s=wait)
        return JSONResponse(self._told(call), status_code=201)

    # --- what became of them -----------------------------------------------------------------

    def _told(self, call: Call) -> dict[str, Any]:
        return prediction_json(self._fake, call)

    async def look(self, request: Request) -> Response:
        """`GET /predictions/{id}`."""
        call = self._fake.calls.get(request.path_params["id"])
        return _not_found() if call is None else JSONResponse(self._told(call))

    async def cancel(self, request: Request) -> Response:
        """`POST /predictions/{id}/cancel`; of a call that is over it changes nothing."""
        call = self._fake.calls.get(request.path_params["id"])
        if call is None:
            return _not_found()
        self._fake.cancel(request, call)
        return JSONResponse(self._told(call))

    async def listing(self, request: Request) -> Response:
        """`GET /predictions`: newest first, 100 a page, `next` with a cursor."""
        calls = self._fake.calls.newest_first()
        after = request.query_params.get("created_after")
        if after is not None:
            calls = [call for call in calls if call.accepted_at >= _unix(after)]
        cursor = request.query_params.get("cursor")
        start = 0
        if cursor is not None:
            places = [place for place, call in enumerate(calls) if call.id == cursor]
            if not places:
                return problem(400, "Bad request", "The cursor is not valid.")
            start = places[0]
        page = calls[start : start + PAGE]
        follows = None
        if start + PAGE < len(calls):
            follows = str(
                request.url.replace(scheme="http").include_query_params(cursor=calls[start + PAGE].id)
            )
        return JSONResponse(
            {"next": follows, "previous": None, "results": [self._told(call) for call in page]}
        )

    # --- the rest ----------------------------------------------------------------------------

    async def model(self, request: Request) -> Response:
        """`GET /models/{owner}/{name}` and its versions."""
        name = "{owner}/{name}".format(**request.path_params)
        model = self._models.get(name)
        if model is None:
            return _not_found()
        told = model_json(name, model)
        wanted = request.path_params.get("id")
        if wanted is None:
            return JSONResponse(told)
        return JSONResponse(told["latest_version"]) if wanted == version_of(name, model) else _not_found()

    async def account(self, _: Request) -> Response:
        """`GET /account`."""
        return JSONResponse(
            {"type": "organization", "username": "fake", "name": "A fake account", "github_url": ""}
        )

    async def secret(self, _: Request) -> Response:
        """`GET /webhooks/default/secret`."""
        return JSONResponse({"key": self._fake.settings.webhook_secret})


def _not_found() -> Response:
    return problem(404, "Not found", "The requested resource could not be found.")


async def _json_object(request: Request) -> dict[str, Any] | Response:
    try:
        body = json.loads(await request.body())
    except ValueError:
        body = None
    if not isinstance(body, dict):
        return problem(400, "Bad request", "The request body is not a JSON object.")
    return body


def _envelope(body: Mapping[str, Any]) -> Response | None:
    """What is wrong around `input`."""
    known = {"input", "webhook", "webhook_events_filter", "version", "stream"}
    wrong: list[str] = [f"- Additional property {key} is not allowed\n" for key in body if key not in known]
    if not isinstance(body.get("input"), dict):
        wrong.append("- input is required\n")
    hook = body.get("webhook")
    if hook is not None and not (isinstance(hook, str) and re.match(r"https?://", hook)):
        wrong.append("- webhook: Does not match format 'uri'\n")
    events = body.get("webhook_events_filter")
    if events is not None and not (isinstance(events, list) and set(events) <= EVENTS):
        wrong.append(f"- webhook_events_filter: must be among {', '.join(sorted(EVENTS))}\n")
    return problem(422, "Input validation failed", "".join(wrong)) if wrong else None


def _cancel_after(request: Request) -> float | None:
    """`Cancel-After: 90`, `90s`, `1m`, `1m30s` or `1h` in seconds."""
    text = request.headers.get("cancel-after", "")
    if text.isdecimal():
        return float(text)
    parts = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", text)
    if not text or parts is None:
        return None
    hours, minutes, seconds = (int(part or 0) for part in parts.groups())
    return float(3600 * hours + 60 * minutes + seconds)


def _prefers_wait(request: Request) -> float:
    """`Prefer: wait` or `wait=N` in seconds (1-60); 0 without it."""
    found = re.search(r"\bwait(?:=(\d+))?", request.headers.get("prefer", ""))
    if found is None:
        return 0.0
    return float(min(max(int(found.group(1) or 60), 1), 60))


def _new_id(name: str) -> str:
    """26 letters and digits, as Replicate's ids look."""
    digest = hashlib.sha256(f"{name}{time.time_ns()}".encode()).digest()
    return "".join("0123456789abcdefghjkmnpqrstvwxyz"[byte % 32] for byte in digest[:ID_LENGTH])


def _unix(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
