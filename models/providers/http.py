"""The one HTTP seam of all adapters: what may be repeated, what is sent once, and what that told for certain.

There are two verbs. `ask` is for whatever may be repeated without harm (looks, cancels, listings, uploads);
it tries again on lost connections and overload. `send_once` is for a submission that may cost money: it is
sent at most once, and every way in which it can go wrong is told apart:

- *certainly not accepted*: no connection came about (`ConnectError`, TLS included, `ConnectTimeout`,
  `PoolTimeout`, `ProxyError`), a redirect, a 4xx but 408 and 425, and a 503 that the provider itself gave
  (RFC 9110, 15.6.4: the server cannot take the request now): with `Retry-After`, or in the provider's own
  words: `ProviderUnavailable`, or the answer is returned for the adapter to name the refusal;
- *it may have been accepted*: the connection broke after it stood, no answer came in time, 408, 425, any
  other 5xx (a proxy's bare 503 among them: it may have passed the request on), an answer cut short:
  `OutcomeUnknown`.

A kept-alive connection that the server has closed in the meantime would look like the second while it is the
first. Submissions therefore have a pool of their own that keeps no connection: each opens a fresh one.

Environment proxies (`HTTPS_PROXY`, `NO_PROXY`) are honoured for public base URLs, as companies need; a base
URL on a private address is reached directly. The key goes to the account's own origins and nowhere else. No
error holds a header, a body or a query, and no log a URL: queries hold call ids and signatures.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from models.errors import OutcomeUnknown, ProviderUnavailable
from models.providers.addresses import host_of, is_private, origin_of
from models.providers.answers import Answer, read_answer
from models.providers.base import Attachment, Downloaded
from models.providers.fetching import Fetcher, Resolve, addresses_of, not_followed
from models.providers.waits import Jitter, retry_after_s

CONNECT_S = 10.0
"""To open a connection. Our choice: TLS over a bad line takes 2 s."""
READ_S = 30.0
"""Between two pieces of an answer. Our choice."""
SUBMIT_READ_S = 60.0
"""The same for submissions: some providers fetch inputs before they answer. Our choice."""
POOL_S = 20.0
"""To get a connection from the pool. Our choice."""
ANSWER_LIMIT = 1 << 20
"""Largest answer in bytes: a status is 1-10 kB."""
TRIES = 4
"""How often `ask` asks. Our choice: with full jitter it bridges a hiccup of a few seconds."""
PATIENCE_S = 5.0
"""A `Retry-After` up to this is waited out inside `ask`; a longer one is the caller's to plan."""
OVERLOADED = frozenset({502, 503, 504})
"""Statuses after which `ask` tries again."""
NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)
"""No connection stood: nothing can have been accepted."""
MAYBE_SENT = frozenset({408, 425})
"""4xx that do not say that nothing was accepted: a proxy gives 408 when the answer is late, too."""
WORDS = frozenset({"detail", "title"})
"""Fields of hosted providers' own errors: fal's `detail`, Replicate's `title` and `detail` (RFC 9457).
Proxies answer in HTML, in plain text, or with `message`."""

for _quiet in ("httpx", "httpcore"):
    # They log every URL with its query, httpx at INFO already.
    logging.getLogger(_quiet).setLevel(max(logging.getLogger(_quiet).level, logging.WARNING))


class Api:
    """The connections of one account to one provider. Opens none by itself; used in one event loop."""

    def __init__(
        self,
        name: str,
        base: str,
        *,
        auth: Mapping[str, str] | None = None,
        origins: Sequence[str] = (),
        connections: int = 32,
        tries: int = TRIES,
        jitter: Jitter | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        resolve: Resolve = addresses_of,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Connect nothing yet.

        Args:
            name: The provider, for messages.
            base: Base URL; paths are relative to it.
            auth: Headers that hold the key; sent to the origin of `base` and to `origins` only.
            origins: Further URLs whose origins belong to the provider.
            connections: Most connections at once, of each of the two pools.
            tries: How often `ask` asks at most.
            jitter: Waits between the tries.
            sleep: How to wait; tests replace it.
            resolve: How host names become addresses; tests replace it.
            transport: Replaces the network in tests.
        """
        self.name = name
        self.base = base.rstrip("/")
        self._auth = dict(auth or {})
        self._origins = frozenset(origin_of(url) for url in (self.base, *origins))
        self._tries = tries
        self._jitter = jitter or Jitter()
        self._sleep = sleep
        self._resolve = resolve
        context: ssl.SSLContext | bool = transport is not None or httpx.create_ssl_context()
        environment = not is_private(host_of(self.base))

        def pool(kept: int) -> httpx.AsyncClient:
            return httpx.AsyncClient(
                verify=context,
                transport=transport,
                trust_env=environment,
                follow_redirects=False,
                timeout=httpx.Timeout(connect=CONNECT_S, read=READ_S, write=READ_S, pool=POOL_S),
                limits=httpx.Limits(max_connections=connections, max_keepalive_connections=kept),
                headers={"User-Agent": "i2v-router", "Accept-Encoding": "identity"},
            )

        self._kept = pool(connections)
        self._fresh = pool(0)
        self._fetcher = Fetcher(name, self.base, self._kept, self._key_for, self._jitter, sleep, resolve)

    def url(self, path: str) -> str:
        """An absolute URL as it is; a path under the base."""
        absolute = "://" in path or path.startswith("data:")
        return path if absolute else f"{self.base}/{path.lstrip('/')}"

    def owns(self, url: str) -> bool:
        """True when the URL is at one of the account's own origins (so that the key goes there)."""
        return origin_of(self.url(url)) in self._origins

    async def ask(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        content: bytes | None = None,
        form: Mapping[str, str] | None = None,
        files: Mapping[str, Attachment] | None = None,
        limit: int = ANSWER_LIMIT,
        overloaded: frozenset[int] = OVERLOADED,
    ) -> Answer:
        """Ask what may be asked twice; the last answer, whatever its status.

        Tried again on lost connections and on the statuses `overloaded`, with full jitter or after a short
        `Retry-After`. An address that is not the account's own gets no key.

        Raises:
            ProviderUnavailable: no answer came, it is larger than `limit` bytes, or the address is not to be
                followed.
        """
        url = self.url(path)
        await self._check(url)
        for failures in range(1, self._tries + 1):
            last = failures == self._tries
            wait = self._jitter.delay(failures)
            request = self._request(
                self._kept, method, url,
                params=params, headers=headers, json=json, content=content, form=form, files=files,
            )  # fmt: skip
            try:
                answer = await read_answer(await self._kept.send(request, stream=True), limit)
            except httpx.HTTPError as error:
                if last:
                    raise ProviderUnavailable(
                        f"{self.name} gives no answer ({type(error).__name__})"
                    ) from None
            else:
                told = answer.retry_after_s
                if answer.status not in overloaded or last or (told or 0.0) > PATIENCE_S:
                    return answer
                wait = wait if told is None else told
            await self._sleep(wait)
        raise AssertionError("unreachable: the last try returns or raises")

    async def send_once(
        self,
        path: str,
        *,
        json: Any = None,
        form: Mapping[str, str] | None = None,
        files: Mapping[str, Attachment] | None = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        refusals: frozenset[int] = frozenset({503}),
        words: frozenset[str] = WORDS,
        limit: int = ANSWER_LIMIT,
    ) -> Answer:
        """Post a submission, once, on a connection of its own: a 2xx, or an answer that says no for certain.

        Args:
            path: Path under the base, or a URL at one of the account's origins.
            json: The body; or
            form: fields of a form, multipart when there are `files`.
            files: File fields.
            params: Query.
            headers: Further headers.
            refusals: Statuses from 500 up with which this provider says that it accepted nothing, provided
                that the answer is its own.
            words: Fields of this provider's own errors; one of them, or `Retry-After`, shows that.
            limit: Largest answer, bytes.

        Raises:
            ProviderUnavailable: certainly not accepted: no connection, or a redirect.
            OutcomeUnknown: it may have been accepted.
        """
        url = self.url(path)
        if not self.owns(url):
            raise ProviderUnavailable(f"{self.name}: a submission goes to the account's own address only")
        request = self._request(
            self._fresh, "POST", url,
            params=params, headers=headers, json=json, content=None, form=form, files=files,
        )  # fmt: skip
        request.extensions["timeout"] = {
            "connect": CONNECT_S, "read": SUBMIT_READ_S, "write": SUBMIT_READ_S, "pool": POOL_S,
        }  # fmt: skip
        try:
            response = await self._fresh.send(request, stream=True)
        except NOT_SENT as error:
            raise ProviderUnavailable(
                f"{self.name} could not be reached ({type(error).__name__}); nothing was sent"
            ) from None
        except httpx.HTTPError as error:
            raise self._unknown(f"did not answer a submission ({type(error).__name__})") from None
        status = response.status_code
        broke = ""
        try:
            answer = await read_answer(response, limit)
        except httpx.HTTPError as error:
            broke = type(error).__name__
            answer = Answer(status, {name.lower(): value for name, value in response.headers.items()})
        refused = _refuses(answer, refusals, words)
        if broke and not refused:
            raise self._unknown(f"broke off its answer to a submission ({broke})")
        if response.is_redirect:
            raise ProviderUnavailable(f"{self.name} answers a submission with a redirect ({status})")
        if not (answer.ok or refused):
            raise self._unknown(f"answered a submission with {status}")
        return answer

    async def download(self, url: str, to: Path, limit: int) -> Downloaded:
        """Stream a result into a file; see `Fetcher.fetch`.

        Raises:
            ResultUnusable: gone, larger than `limit` bytes, no video by its declaration, or not followed.
            ProviderUnavailable: the transfer broke off, again and again.
        """
        return await self._fetcher.fetch(self.url(url), to, limit)

    async def close(self) -> None:
        """Give back connections."""
        await self._kept.aclose()
        await self._fresh.aclose()

    def _unknown(self, what: str) -> OutcomeUnknown:
        return OutcomeUnknown(f"{self.name} {what}; it may have been accepted")

    async def _check(self, url: str) -> None:
        why_not = None if self.owns(url) else await not_followed(url, self.base, self._resolve)
        if why_not is not None:
            raise ProviderUnavailable(f"{self.name} named an address that is not followed: {why_not}")

    def _key_for(self, url: str) -> Mapping[str, str]:
        return self._auth if origin_of(url) in self._origins else {}

    def _request(
        self,
        client: httpx.AsyncClient,
        method: str,
        url: str,
        *,
        params: Mapping[str, str] | None,
        headers: Mapping[str, str] | None,
        json: Any,
        content: bytes | None,
        form: Mapping[str, str] | None,
        files: Mapping[str, Attachment] | None,
    ) -> httpx.Request:
        parts = {name: (file.name, file.content, file.content_type) for name, file in (files or {}).items()}
        try:
            return client.build_request(
                method,
                url,
                params=dict(params) if params else None,
                headers={**self._key_for(url), **(headers or {})},
                json=json,
                content=content,
                data=dict(form) if form else None,
                files=parts or None,
            )
        except httpx.InvalidURL:
            raise ProviderUnavailable(f"{self.name}: an address cannot be read") from None


def _refuses(answer: Answer, refusals: frozenset[int], words: frozenset[str]) -> bool:
    """True when an answer says for certain that nothing was accepted."""
    if answer.status in refusals:
        told = retry_after_s(answer.headers, "", time.time()) is not None
        return told or any(answer.fields().get(word) for word in words)
    return 400 <= answer.status < 500 and answer.status not in MAYBE_SENT
