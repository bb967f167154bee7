"""Typed clients of the HTTP API: `Client` blocks, `AsyncClient` awaits; both say the same."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, Unpack

import httpx
from pydantic import BaseModel

from router.client_wire import (
    RETRIED_STATUSES,
    ApiError,
    Attempt,
    Call,
    ClientError,
    ClipOptions,
    EventReader,
    Health,
    ImageSource,
    Model,
    ModelPage,
    Order,
    ServerUnreachable,
    Variant,
    Video,
    VideoEvent,
    VideoPage,
    WaitTimeout,
    backoff_seconds,
    content_call,
    create_call,
    events_call,
    list_call,
    remix_call,
    route_call,
    video_path,
)

__all__ = [
    "ApiError",
    "AsyncClient",
    "Attempt",
    "Client",
    "ClientError",
    "ClipOptions",
    "Health",
    "Model",
    "ServerUnreachable",
    "Video",
    "VideoEvent",
    "WaitTimeout",
]

DEFAULT_SERVER = "http://127.0.0.1:8000"
TIMEOUT = httpx.Timeout(60.0, connect=5.0)
"""Above the slowest answer that is not a stream: a 25 MB upload over 5 Mbit/s."""
RETRIES = 2
LOST_CONNECTIONS = 10
"""Event streams that may break in a row, without one event between, before the server counts as gone."""
POLL_S = (0.1, 5.0)
"""Bounds of the pace at which a wait asks."""
A = TypeVar("A", bound=BaseModel)


class _Connection:
    """What both clients share: where the server is and how calls become HTTP requests."""

    def __init__(self, server: str | None, api_key: str | None) -> None:
        self.server = (server or os.environ.get("I2V_SERVER") or DEFAULT_SERVER).rstrip("/")
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}

    def _unreachable(self, error: httpx.TransportError) -> ServerUnreachable:
        return ServerUnreachable(self.server, str(error) or type(error).__name__)


class Client(_Connection):
    """Blocking client.

    Every call may be repeated safely (a create or remix carries an `Idempotency-Key`), so lost connections
    and overload are retried; `ServerUnreachable` and `ApiError` are what remains.

    Args:
        server: Base address; default `I2V_SERVER`, then `http://127.0.0.1:8000`.
        api_key: Sent as bearer token.
        timeout: Of one request.
        retries: Sends after the first.
        transport: How requests travel; a test gives `httpx.MockTransport`.
    """

    def __init__(
        self,
        server: str | None = None,
        *,
        api_key: str | None = None,
        timeout: httpx.Timeout | float = TIMEOUT,
        retries: int = RETRIES,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        super().__init__(server, api_key)
        self._retries = retries
        self._http = httpx.Client(
            base_url=self.server, headers=self._headers, timeout=timeout, transport=transport
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def create(
        self,
        image: ImageSource,
        prompt: str = "",
        *,
        last_image: ImageSource | None = None,
        idempotency_key: str | None = None,
        **options: Unpack[ClipOptions],
    ) -> Video:
        """Ask for a clip; answers once the job is durable."""
        call = create_call(image, prompt, options, last_image=last_image, idempotency_key=idempotency_key)
        return _read(Video, self._send(call))

    def route(
        self,
        image: ImageSource | None = None,
        prompt: str = "",
        *,
        last_image: ImageSource | None = None,
        image_size: str | None = None,
        fleet: Literal["live", "all"] = "live",
        **options: Unpack[ClipOptions],
    ) -> dict[str, Any]:
        """The decision for a request that is not run, as Decision JSON. Give `image` or `image_size`."""
        call = route_call(image, prompt, options, last_image=last_image, image_size=image_size, fleet=fleet)
        return dict(self._send(call).json())

    def retrieve(self, video_id: str) -> Video:
        """One job."""
        return _read(Video, self._send(Call("GET", video_path(video_id))))

    def list(
        self, *, status: str | None = None, order: Order = "desc", page_size: int = 20
    ) -> Iterator[Video]:
        """All jobs, page by page as they are read."""
        after: str | None = None
        while True:
            page = _read(VideoPage, self._send(list_call(after, page_size, order, status)))
            yield from page.data
            if not page.has_more or not page.data:
                return
            after = page.data[-1].id

    def cancel(self, video_id: str) -> Video:
        """Stop a job; a final one stays as it is."""
        return _read(Video, self._send(Call("POST", video_path(video_id, "cancel"))))

    def delete(self, video_id: str) -> None:
        """Cancel if needed and remove the job with its media."""
        self._send(Call("DELETE", video_path(video_id)))

    def remix(
        self,
        video_id: str,
        prompt: str,
        *,
        idempotency_key: str | None = None,
        **options: Unpack[ClipOptions],
    ) -> Video:
        """A new job with the same photograph and wishes, other words, and what `options` replace."""
        return _read(Video, self._send(remix_call(video_id, prompt, options, idempotency_key)))

    def content(self, video_id: str, variant: Variant = "video") -> bytes:
        """The bytes of a clip or picture."""
        return self._send(content_call(video_id, variant)).content

    def download(self, video_id: str, path: str | os.PathLike[str], variant: Variant = "video") -> Path:
        """Stream a clip or picture into a file, which appears only when it is complete."""
        target = Path(path)
        partial = target.with_name(f".{target.name}.part")
        try:
            with partial.open("wb") as file:
                self._stream_into(content_call(video_id, variant), file.write, file.truncate)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
        return target

    def events(self, video_id: str, *, after: int = 0) -> Iterator[VideoEvent]:
        """The job's history from event `after` on, then what happens, until the job is final.

        A lost connection is taken up again where it broke; every event comes once.
        """
        reader = EventReader(after)
        lost = 0
        while not reader.ended:
            before = reader.last_event_id
            try:
                with self._open(events_call(video_id, before)) as response:
                    for line in response.iter_lines():
                        if (event := reader.feed(line)) is not None:
                            yield event
            except httpx.TransportError as error:
                if lost >= LOST_CONNECTIONS:
                    raise self._unreachable(error) from error
            lost = lost + 1 if reader.last_event_id == before else 0
            if reader.ended or (lost and self.retrieve(video_id).final):
                return
            reader.restart()
            time.sleep(reader.retry_s)

    def wait(
        self,
        video_id: str,
        *,
        on_progress: Callable[[Video], None] | None = None,
        timeout: float | None = None,
        poll: float | None = None,
    ) -> Video:
        """The job once it is final, whatever its end.

        Args:
            video_id: The job.
            on_progress: Called with each state that was read, the last one too.
            timeout: Seconds after which `WaitTimeout` is raised; the job goes on.
            poll: Seconds between two reads; None: as the server advises.
        """
        until = time.monotonic() + timeout if timeout is not None else None
        while True:
            response = self._send(Call("GET", video_path(video_id)))
            video = _read(Video, response)
            if on_progress is not None:
                on_progress(video)
            if video.final:
                return video
            time.sleep(_pause(response, poll, until, video, timeout))

    def models(self) -> list[Model]:  # type: ignore[valid-type]  # `list` is the method above
        """Every card, with its readiness in this fleet."""
        return _read(ModelPage, self._send(Call("GET", "/v1/models"))).data

    def model(self, model_id: str) -> Model:
        """One card."""
        return _read(Model, self._send(Call("GET", f"/v1/models/{model_id}")))

    def health(self) -> Health:
        """Whether the server can take work; an unready one is an answer, not an error."""
        try:
            return _read(Health, self._http.get("/readyz"))
        except httpx.TransportError as error:
            raise self._unreachable(error) from error
