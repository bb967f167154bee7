"""The async client: the blocking one, awaited. What both decide is in `connection` and `streams`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, Unpack

import httpx

from router.client.answers import Feedback, Health, Model, ModelPage, Video, VideoEvent, VideoPage
from router.client.calls import (
    Call,
    ClipOptions,
    FinalOptions,
    ImageSource,
    Order,
    Variant,
    content_call,
    create_call,
    events_call,
    feedback_call,
    finalize_call,
    list_call,
    model_call,
    remix_call,
    route_call,
    video_path,
)
from router.client.connection import (
    LOST_CONNECTIONS,
    RETRIED_STATUSES,
    RETRIES,
    TIMEOUT,
    Connection,
    Patience,
    backoff_seconds,
    read,
    read_mapping,
    request_arguments,
)
from router.client.failures import ApiError, ServerUnreachable
from router.client.streams import Download, EventReader


class AsyncClient:
    """Async client; see `Client` for what each method says.

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
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._connection = Connection(server, api_key, retries)
        self._http = httpx.AsyncClient(
            base_url=self.server,
            headers=self._connection.headers,
            timeout=timeout,
            transport=transport,
            follow_redirects=True,
        )

    @property
    def server(self) -> str:
        """The server's base address."""
        return self._connection.server

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def create(
        self,
        image: ImageSource,
        prompt: str = "",
        *,
        last_image: ImageSource | None = None,
        driving_video: ImageSource | None = None,
        audio: ImageSource | None = None,
        idempotency_key: str | None = None,
        **options: Unpack[ClipOptions],
    ) -> Video:
        """Ask for a clip; answers once the job is durable."""
        call = await asyncio.to_thread(
            create_call,
            image,
            prompt,
            options,
            last_image=last_image,
            drivers={"driving_video": driving_video, "audio": audio},
            idempotency_key=idempotency_key,
        )
        return read(Video, await self._send(call))

    async def route(
        self,
        image: ImageSource | None = None,
        prompt: str = "",
        *,
        last_image: ImageSource | None = None,
        driving_video: ImageSource | None = None,
        audio: ImageSource | None = None,
        image_size: str | None = None,
        fleet: Literal["live", "all"] = "live",
        **options: Unpack[ClipOptions],
    ) -> dict[str, Any]:
        """The decision for a request that is not run, as Decision JSON. Give `image` or `image_size`."""
        call = await asyncio.to_thread(
            route_call,
            image,
            prompt,
            options,
            last_image=last_image,
            drivers={"driving_video": driving_video, "audio": audio},
            image_size=image_size,
            fleet=fleet,
        )
        return read_mapping(await self._send(call))

    async def retrieve(self, video_id: str) -> Video:
        """One job."""
        return read(Video, await self._send(Call("GET", video_path(video_id))))

    async def list(
        self, *, status: str | None = None, order: Order = "desc", page_size: int = 20
    ) -> AsyncIterator[Video]:
        """All jobs; a page is read when it is needed."""
        after: str | None = None
        while True:
            page = read(VideoPage, await self._send(list_call(after, page_size, order, status)))
            for video in page.data:
                yield video
            if not page.has_more or not page.data:
                return
            after = page.data[-1].id

    async def cancel(self, video_id: str) -> Video:
        """Stop a job; a final one stays as it is."""
        return read(Video, await self._send(Call("POST", video_path(video_id, "cancel"))))

    async def delete(self, video_id: str) -> None:
        """Cancel if needed and remove the job with its media."""
        await self._send(Call("DELETE", video_path(video_id)))

    async def remix(
        self,
        video_id: str,
        prompt: str,
        *,
        idempotency_key: str | None = None,
        **options: Unpack[ClipOptions],
    ) -> Video:
        """A new job with the same photograph and wishes, other words, and what `options` replace."""
        return read(Video, await self._send(remix_call(video_id, prompt, options, idempotency_key)))

    async def finalize(
        self, video_id: str, *, idempotency_key: str | None = None, **options: Unpack[FinalOptions]
    ) -> Video:
        """A completed preview again at full quality; what it would take is in its `final_estimate`."""
        return read(Video, await self._send(finalize_call(video_id, options, idempotency_key)))

    async def feedback(
        self,
        video_id: str,
        rating: Literal[1, -1] | None = None,
        *,
        better_than: str | None = None,
        comment: str = "",
    ) -> Feedback:
        """A thumb for a clip, or that it is better than another of its photograph; the last word counts."""
        call = feedback_call(video_id, rating, better_than, comment)
        return read(Feedback, await self._send(call))

    async def content(self, video_id: str, variant: Variant = "video") -> bytes:
        """The bytes of a clip or picture."""
        return (await self._send(content_call(video_id, variant))).content

    async def download(self, video_id: str, path: str | os.PathLike[str], variant: Variant = "video") -> Path:
        """Stream a clip or picture into a file, which appears only when it is complete."""
        target = Path(path)
        with Download(video_id, variant, target) as download:
            attempt = 0
            while True:
                try:
                    async with self._open(download.call()) as response:
                        download.begin(response)
                        async for chunk in response.aiter_bytes():
                            await asyncio.to_thread(download.add, chunk)
                    break
                except httpx.TransportError as error:
                    await asyncio.sleep(self._connection.pause_before_retry(attempt, error))
                    attempt += 1
        return target

    async def events(self, video_id: str, *, after: int = 0) -> AsyncIterator[VideoEvent]:
        """The job's history from event `after` on, then what happens, until the job is final.

        A lost connection is taken up again where it broke; every event comes once.
        """
        reader = EventReader(after)
        lost = 0
        while not reader.ended:
            before, whole = reader.last_event_id, False
            try:
                async with self._open(events_call(video_id, before)) as response:
                    async for line in response.aiter_lines():
                        if (event := reader.feed(line)) is not None:
                            yield event
                whole = True
            except httpx.TransportError as error:
                if lost >= LOST_CONNECTIONS:
                    raise self._connection.unreachable(error) from error
            except ApiError as error:
                if lost >= LOST_CONNECTIONS or error.status not in RETRIED_STATUSES:
                    raise
            lost = lost + 1 if reader.last_event_id == before else 0
            # A stream that said nothing new and ended by itself: perhaps there is nothing left to say.
            if reader.ended or (whole and lost and (await self.retrieve(video_id)).final):
                return
            reader.restart()
            await asyncio.sleep(max(reader.retry_s, backoff_seconds(lost)))

    async def wait(
        self,
        video_id: str,
        *,
        on_progress: Callable[[Video], None] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - it bounds the wait, not one await
        poll: float | None = None,
    ) -> Video:
        """The job once it is final, whatever its end; lost connections on the way are borne.

        Args:
            video_id: The job.
            on_progress: Called with each state that was read, the last one too.
            timeout: Seconds after which `WaitTimeout` is raised; the job goes on.
            poll: Seconds between two reads; None: as the server advises.
        """
        patience = Patience(timeout, poll)
        while True:
            try:
                response = await self._send(Call("GET", video_path(video_id)))
            except (ServerUnreachable, ApiError) as error:
                await asyncio.sleep(patience.bear(error))
                continue
            video = read(Video, response)
            if on_progress is not None:
                on_progress(video)
            if video.final:
                return video
            await asyncio.sleep(patience.pause(video, response))

    async def models(self) -> Sequence[Model]:
        """Every card, with its readiness in this fleet."""
        return read(ModelPage, await self._send(Call("GET", "/v1/models"))).data

    async def model(self, model_id: str) -> Model:
        """One card."""
        return read(Model, await self._send(model_call(model_id)))

    async def health(self) -> Health:
        """Whether the server can take work; an unready one is an answer, not an error."""
        try:
            return read(Health, await self._http.get("/readyz"))
        except httpx.TransportError as error:
            raise self._connection.unreachable(error) from error

    async def _send(self, call: Call) -> httpx.Response:
        attempt = 0
        while True:
            outcome: httpx.Response | httpx.TransportError
            try:
                outcome = await self._http.request(**request_arguments(call))
                if outcome.is_success:
                    return outcome
            except httpx.TransportError as error:
                outcome = error
            await asyncio.sleep(self._connection.pause_before_retry(attempt, outcome))
            attempt += 1

    @asynccontextmanager
    async def _open(self, call: Call) -> AsyncIterator[httpx.Response]:
        async with self._http.stream(**request_arguments(call)) as response:
            if not response.is_success:
                await response.aread()
                raise ApiError.of(response)
            yield response
