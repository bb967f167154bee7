"""Results of providers, streamed into files: bounded, resumed where they broke off, and never from inside."""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from urllib.parse import urljoin

import anyio
import httpx

from models.errors import ProviderUnavailable, ResultUnusable
from models.providers.addresses import host_of, is_private, objection
from models.providers.base import Downloaded
from models.providers.waits import Jitter

TRIES = 5
"""Transfers of one result that may break off before it is given up for now. Our choice."""
HOPS = 5
"""Redirects that are followed. Our choice: content networks need one or two."""
DOWNLOAD_S = 900.0
"""Longest time for one result. Our choice: 100 MB at 1 Mbit/s."""
GONE = frozenset({401, 403, 404, 410})
"""How storage says that a signed or expired URL leads nowhere any more."""

Resolve = Callable[[str], Awaitable[Sequence[str]]]
"""The addresses of a host name; none when it cannot be resolved here."""


async def addresses_of(host: str) -> Sequence[str]:
    """What the system's resolver says; nothing when it knows none (behind a proxy it need not)."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return ()
    return [str(entry[4][0]) for entry in found]


async def not_followed(url: str, base: str, resolve: Resolve) -> str | None:
    """Why an address that a provider named is not asked, by its looks or by what its name leads to.

    Args:
        url: The address.
        base: The account's own base URL; a private one may lead inside.
        resolve: How host names become addresses.
    """
    why_not = objection(url, base)
    if why_not is None and not is_private(host_of(base)):
        found = await resolve(host_of(url))
        if any(is_private(address) for address in found):
            why_not = "its name leads to a private address"
    return why_not


class _BrokeOff(Exception):
    """A transfer that may be tried again; its text is safe to tell."""


class Fetcher:
    """Downloads for one account."""

    def __init__(
        self,
        name: str,
        base: str,
        client: httpx.AsyncClient,
        key_for: Callable[[str], Mapping[str, str]],
        jitter: Jitter,
        sleep: Callable[[float], Awaitable[None]],
        resolve: Resolve,
    ) -> None:
        self._name = name
        self._base = base
        self._client = client
        self._key_for = key_for
        self._jitter = jitter
        self._sleep = sleep
        self._resolve = resolve

    async def fetch(self, url: str, to: Path, limit: int) -> Downloaded:
        """Stream what is at `url` (or in it, for a `data:` URI) into `to`, which is replaced.

        A transfer that breaks off is taken up again where it stopped when the server can do that (strong ETag
        and `Range`), else from the start.

        Raises:
            ResultUnusable: gone, larger than `limit` bytes, no video by its declaration, or not followed.
            ProviderUnavailable: it broke off again and again, or took too long.
        """
        if url.startswith("data:"):
            return await _unpack(self._name, url, to, limit)
        trouble = "no answer"
        transfer = _Transfer(to, limit)
        try:
            async with asyncio.timeout(DOWNLOAD_S):
                for failures in range(1, TRIES + 1):
                    try:
                        return await self._once(url, transfer)
                    except _BrokeOff as broke:
                        trouble = str(broke)
                    except httpx.InvalidURL:
                        raise ResultUnusable(f"{self._name}: the result's address cannot be read") from None
                    except httpx.HTTPError as error:
                        trouble = type(error).__name__
                    if failures < TRIES:
                        await self._sleep(self._jitter.delay(failures))
        except TimeoutError:
            trouble = f"it took over {DOWNLOAD_S:.0f} s"
        raise ProviderUnavailable(f"{self._name}: the result's transfer broke off ({trouble})")

    async def _once(self, url: str, transfer: _Transfer) -> Downloaded:
        for _ in range(HOPS + 1):
            await self._check(url)
            headers = {**self._key_for(url), **transfer.range_headers()}
            async with self._client.stream("GET", url, headers=headers) as response:
                if response.has_redirect_location:
                    url = urljoin(url, response.headers["location"])
                    continue
                self._judge(response.status_code)
                return await transfer.take(response)
        raise ResultUnusable(f"{self._name}: the result's address redirects more than {HOPS} times")

    async def _check(self, url: str) -> None:
        why_not = await not_followed(url, self._base, self._resolve)
        if why_not is not None:
            raise ResultUnusable(f"{self._name}: the result's address is not followed: {why_not}")

    def _judge(self, status: int) -> None:
        if status in (200, 206):
            return
        if status in GONE:
            raise ResultUnusable(f"{self._name}: the result is gone ({status})")
        if status in (416, 429) or status >= 500:
            raise _BrokeOff(f"status {status}")
        raise ResultUnusable(f"{self._name}: the result's address answers {status}")


class _Transfer:
    """What is on disk of one result, over all tries."""

    def __init__(self, to: Path, limit: int) -> None:
        self._to = to
        self._limit = limit
        self._done = 0
        self._tag: str | None = None

    def range_headers(self) -> dict[str, str]:
        """Ask for the rest, provided that it is still the same result."""
        if not self._done or self._tag is None:
            return {}
        return {"Range": f"bytes={self._done}-", "If-Range": self._tag}

    async def take(self, response: httpx.Response) -> Downloaded:
        declared = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if not _may_be_video(declared):
            raise ResultUnusable(f"the result is declared as {declared[:60]}, which is no video")
        resumes = response.status_code == 206
        if resumes and not response.headers.get("content-range", "").startswith(f"bytes {self._done}-"):
            self._done = 0
            raise _BrokeOff("another range than asked for")
        if not resumes:
            self._done = 0
        tag = response.headers.get("etag")
        self._tag = None if tag is None or tag.startswith("W/") else tag
        length = response.headers.get("content-length", "")
        if length.isdigit() and self._done + int(length) > self._limit:
            raise ResultUnusable(f"the result is larger than {self._limit} bytes")
        async with await anyio.open_file(self._to, "ab" if resumes else "wb") as file:
            async for piece in response.aiter_bytes():
                if self._done + len(piece) > self._limit:
                    raise ResultUnusable(f"the result is larger than {self._limit} bytes")
                await file.write(piece)
                self._done += len(piece)
        if not self._done:
            raise ResultUnusable("the result is empty")
        return Downloaded(self._to, self._done, declared or "application/octet-stream")


def _may_be_video(content_type: str) -> bool:
    """True for videos, and for the types that storage gives what it does not know."""
    vague = {"", "application/octet-stream", "binary/octet-stream", "application/mp4"}
    return content_type in vague or content_type.startswith("video/")


_DATA = re.compile(r"data:([\w.+/-]*)((?:;[\w=-]+)*);base64,", re.ASCII)


async def _unpack(name: str, uri: str, to: Path, limit: int) -> Downloaded:
    """A result that travelled inside the answer."""
    head = _DATA.match(uri)
    if head is None or not _may_be_video(head[1].lower()):
        raise ResultUnusable(f"{name}: the result came inside the answer and is no video")
    if (len(uri) - head.end()) * 3 // 4 > limit + 2:
        raise ResultUnusable(f"{name}: the result is larger than {limit} bytes")
    try:
        content = base64.b64decode(uri[head.end() :], validate=True)
    except binascii.Error:
        raise ResultUnusable(f"{name}: the result came inside the answer and cannot be read") from None
    async with await anyio.open_file(to, "wb") as file:
        await file.write(content)
    return Downloaded(to, len(content), head[1].lower() or "application/octet-stream")
