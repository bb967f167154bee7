"""The peer of the HTTP benchmark: a Serve application with one FastAPI route that does nothing.

`GET /echo/{text}` answers `{"text": ...}`; `GET /echo/bytes/{count}` answers a prepared body of that length,
the size of a real answer, so that moving bytes and making them can be told apart.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from ray import serve
from ray.serve import Application
from starlette.responses import Response

app = FastAPI()


@serve.deployment(name="Echo")
@serve.ingress(app)
class Echo:
    """One route, and the same with a body of a given size."""

    def __init__(self) -> None:
        self._bodies: dict[int, bytes] = {}

    @app.get("/{text}")
    async def echo(self, text: str) -> dict[str, str]:
        return {"text": text}

    @app.get("/bytes/{count}")
    async def sized(self, count: int) -> Response:
        body = self._bodies.setdefault(count, b'{"text":"' + b"x" * max(0, count - 11) + b'"}')
        return Response(body, media_type="application/json")


def build(args: dict[str, Any]) -> Application:
    """What `import_path` names."""
    return Echo.bind()
