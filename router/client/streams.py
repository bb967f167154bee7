"""Answers that come bit by bit and survive a lost connection: event streams and downloads."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from router.client.answers import FINAL_STATUSES, VideoEvent
from router.client.calls import Call, Variant, content_call

LAST_EVENTS = FINAL_STATUSES | {"deleted"}
"""Events after which nothing follows."""


class EventReader:
    """Lines of a stream into events (WHATWG HTML, "Interpreting an event stream"); remembers where it is."""

    def __init__(self, last_event_id: int = 0) -> None:
        self.last_event_id = last_event_id
        self.retry_s = 1.0
        self.ended = False
        """True when the last event that a job can have was seen."""
        self._lines: list[str] = []

    def restart(self) -> None:
        """Forget a half event: the connection broke."""
        self._lines = []

    def feed(self, line: str) -> VideoEvent | None:
        """Take the next line; returns an event when it completes one."""
        if line:
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if name == "data":
                self._lines.append(value)
            elif name == "retry" and value.isdecimal():
                self.retry_s = int(value) / 1000
            return None
        lines, self._lines = self._lines, []
        if not lines:
            return None
        event = VideoEvent.model_validate(json.loads("\n".join(lines)))
        self.last_event_id = max(self.last_event_id, event.seq)
        self.ended = event.type in LAST_EVENTS
        return event


class Download:
    """A file that grows beside its target and takes its place when it is complete.

    After a lost connection `call` asks for the rest alone, on the condition that the content is the same.
    """

    def __init__(self, video_id: str, variant: Variant, target: Path) -> None:
        self.target = target
        self._video_id = video_id
        self._variant = variant
        self._partial = target.with_name(f".{target.name}.part")
        self._file = self._partial.open("wb")
        self._etag: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if error is None:
            self._partial.replace(self.target)
        else:
            self._partial.unlink(missing_ok=True)

    def call(self) -> Call:
        """The request for what is still missing."""
        # A compressed range could not be put together again.
        headers = {"Accept-Encoding": "identity"}
        if self._etag is not None and (done := self._file.tell()):
            headers |= {"Range": f"bytes={done}-", "If-Range": self._etag}
        return content_call(self._video_id, self._variant, headers)

    def begin(self, response: httpx.Response) -> None:
        """An answer has begun: the rest (206), or everything anew."""
        if response.status_code != httpx.codes.PARTIAL_CONTENT:
            self._file.seek(0)
            self._file.truncate()
        self._etag = response.headers.get("etag")

    def add(self, chunk: bytes) -> None:
        """Write what came."""
        self._file.write(chunk)
