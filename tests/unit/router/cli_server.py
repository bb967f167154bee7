"""A server with scripted answers, and answers to give, for tests of the CLI."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

CHOSEN = {
    **{"model": "parallax", "offer": "local", "backend": "local", "gpus": 1, "utility": 0.61},
    "geometry": {"width": 768, "height": 512, "num_frames": 72, "fps": 24.0, "seconds": 3.0},
    "predicted": {
        **{"seconds": 4.2, "wait_seconds": 0.0, "usd": 0.0, "gpu_seconds": 4.2},
        **{"quality": 0.12, "on_time": 1.0},
    },
    "scores": {"cost": {"value": 1.0, "weight": 0.5, "reason": "costs nothing [really]"}},
}
DECISION: dict[str, Any] = {
    "profile": "preview",
    "features": {
        "image": {
            **{"width": 900, "height": 600, "orientation": "landscape", "faces": [], "largest_face": 0.0},
            **{"subject": "landscape", "subject_confidence": 0.8},
        },
        "prompt": {
            **{"camera": ["push_in"], "subject_motion": [], "environment_motion": ["clouds"]},
            **{"intensity": "gentle", "wants_audio": False, "words": 3},
        },
    },
    "chosen": CHOSEN,
    "fallbacks": [],
    "candidates": [CHOSEN],
    "rejected": [{"model": "wan2.1", "offer": "local", "filter": "health", "reason": "it is not running"}],
    "counter_offers": [],
    "advice": ["Use a photograph of at least 512 px."],
}
NOTHING = {
    **DECISION,
    **{"chosen": None, "candidates": []},
    "counter_offers": [{"change": "allow 5 s", "chosen": CHOSEN}],
}


def job(status: str = "queued", **more: Any) -> dict[str, Any]:
    shape = {"width": 768, "height": 512, "num_frames": 72, "fps": 24.0, "seconds": 3.0}
    return {
        **{"id": "vid_1", "object": "video", "status": status, "created_at": 1_800_000_000, "model": "auto"},
        **{"progress": 100 if status == "completed" else 40, "prompt": "slow push in"},
        "geometry": {"requested": {}, "effective": shape},
        "progress_detail": {"stage": "rendering", "step": 2, "steps": 5, "eta_seconds": 3.0, "attempt": 1},
        **{"routing": DECISION, "served_model": "parallax", "seed": 7},
        "usage": {"usd": 0.0, "actual_seconds": 4.0, "predicted_seconds": 4.2},
        **more,
    }


@dataclass
class Api:
    """A server whose answers are set by (method, path); the last answer of a list stays."""

    url: str = ""
    answers: dict[tuple[str, str], list[tuple[int, Any]]] = field(default_factory=dict)
    requests: list[tuple[str, str, bytes, str]] = field(default_factory=list)

    def on(self, method: str, path: str, *answers: Any, status: int = 200) -> None:
        self.answers[method, path] = [(status, answer) for answer in answers]

    def answer(self, method: str, target: str, body: bytes, kind: str) -> tuple[int, Any]:
        self.requests.append((method, target, body, kind))
        queue = self.answers[method, target.partition("?")[0]]
        return queue.pop(0) if len(queue) > 1 else queue[0]


@contextmanager
def serving() -> Iterator[Api]:
    """A running server."""
    state = Api()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def reply(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            kind = self.headers.get("content-type", "")
            status, answer = state.answer(self.command, self.path, body, kind)
            content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_DELETE = reply

        def log_message(self, format: str, *args: object) -> None:
            """Tests print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield state
        server.shutdown()
        thread.join()
