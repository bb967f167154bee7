"""Where requests come in: count, ask for the key, play the faults, then let the family answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from models.providers.fake.connections import Cut
from models.providers.fake.core import FAULT, Fake
from models.providers.fake.faults import Fault

Endpoint = Callable[[Request], Awaitable[Response]]
RefusalKind = Literal[
    "wrong_key", "rate_limited", "unavailable", "broken", "no_quota", "retired", "forgotten"
]
BEFORE: dict[str, tuple[RefusalKind, int]] = {
    "wrong_key": ("wrong_key", 401),
    "rate_limited": ("rate_limited", 429),
    "error_before_accept": ("unavailable", 503),
    "no_quota": ("no_quota", 402),
    "retired": ("retired", 404),
    "look_errors": ("unavailable", 503),
    "forgets": ("forgotten", 404),
    "cancel_deaf": ("broken", 500),
}
"""Faults that answer in the endpoint's place."""
ELSEWHERE = frozenset({"unreachable", "lost_answer", "error_after_accept"})


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refusal that every family knows, for its dialect to word."""

    kind: RefusalKind
    status: int
    retry_after_s: float | None = None


class Dialect(Protocol):
    """How one family checks keys and says no."""

    def authorised(self, request: Request) -> bool:
        """True when the request carries a key that is accepted."""
        ...

    def refuse(self, refusal: Refusal) -> Response:
        """The answer in the family's own shape."""
        ...


class Desk:
    """Makes the routes of a family."""

    def __init__(self, fake: Fake, dialect: Dialect) -> None:
        self._fake = fake
        self._dialect = dialect

    def route(self, path: str, method: str, operation: str, endpoint: Endpoint, *, key: bool = True) -> Route:
        """One route.

        Args:
            path: As Starlette writes paths.
            method: HTTP method.
            operation: submit, look, cancel, list, upload, download, model, check, …
            endpoint: The family's answer.
            key: Ask for the key.
        """

        async def answer(request: Request) -> Response:
            return await self._answer(request, operation, endpoint, key=key)

        return Route(path, answer, methods=[method])

    async def _answer(self, request: Request, operation: str, endpoint: Endpoint, *, key: bool) -> Response:
        fake = self._fake
        fake.count(operation)
        if key and not self._dialect.authorised(request):
            return self._dialect.refuse(Refusal("wrong_key", 401))
        wait = fake.over_limit_s() if operation == "submit" else None
        if wait is not None:
            return self._dialect.refuse(Refusal("rate_limited", 429, wait))
        fault = fake.faults.take(operation, request.url.path)
        if fault is None:
            return await endpoint(request)
        if fault.name == "unreachable":
            return Cut()
        if fault.name in BEFORE:
            return self._refused(fault)
        request.scope[FAULT] = fault
        response = await endpoint(request)
        return self._after(request, response, fault)

    def _refused(self, fault: Fault) -> Response:
        kind, status = BEFORE[fault.name]
        wait = fault.retry_after_s if kind == "rate_limited" else None
        return self._dialect.refuse(Refusal(kind, fault.status or status, wait))

    def _after(self, request: Request, response: Response, fault: Fault) -> Response:
        """What happens to an answer; a fault that nobody could play goes back into the script."""
        if fault.name in ELSEWHERE:
            if response.status_code < 400:
                if fault.name == "lost_answer":
                    return Cut()
                return self._dialect.refuse(Refusal("broken", fault.status or 500))
            self._fake.faults.give_back(fault)
        elif not request.scope.get(f"{FAULT}.used"):
            self._fake.faults.give_back(fault)
        return response
