"""fal's queue (queue.fal.run, rest.fal.ai): a submission whose answer was lost is found by its webhook only.

fal has no listing of an account's requests and takes no reference of ours. With a webhook the URL carries the
call's id, so the first message about it tells the request id, and the marker says where to ask: a ticket that
a webhook told is `Ticket(request_id, marker)`. Without one a lost answer stays unknown.

`x-fal-no-retry` is not sent: fal tries runs again by itself on 503, 504 and lost runners, under the same
request id and unbilled, which is what we would otherwise do with a new submission.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from models.errors import OutcomeUnknown, ProviderFault, ProviderUnavailable, ResultUnusable
from models.providers.answers import Answer
from models.providers.base import (
    Abilities,
    Account,
    Attachment,
    Downloaded,
    Phase,
    Prepared,
    Role,
    Sighting,
    Ticket,
    Wanted,
)
from models.providers.bodies import hosted_body
from models.providers.fal_errors import CANCELLED, NAME, error_type_of, run_failure, submit_refusal
from models.providers.http import Api
from models.providers.refusals import account_refusal, judged, rejected_upload
from models.providers.registry import ProviderSpec
from models.providers.webhooks import FalWebhooks, jwks_keys

QUEUE = "https://queue.fal.run"
REST = "https://rest.fal.ai"
START_TIMEOUT_S = 1800
"""`X-Fal-Request-Timeout`: a request that has not started by then ends (504), so that one which nobody
follows any more does not wait for ever. Our choice."""
RESULT_LIMIT = 32 << 20
"""Largest result body in bytes: a few kB, more only where a clip travels inside it."""
_PREFIXED = frozenset({"workflows", "comfy"})
"""Namespaces whose applications have three path segments instead of two."""


class Fal:
    """One account at fal."""

    name = NAME
    abilities = Abilities(finds="webhook", cancels=True, webhooks=True)
    """`finds="webhook"` holds for calls that were given one; the marker's `webhook` says so (`yes`, `no`)."""

    def __init__(self, api: Api, rest: str) -> None:
        """`rest` is the base URL of storage; `api` must count it among its origins."""
        self._api = api
        self._rest = rest.rstrip("/")

    async def check(self) -> None:
        """Ask for an upload token: it costs nothing and needs the key."""
        answer = await self._api.ask(
            "POST", f"{self._rest}/storage/auth/token", params={"storage_type": "fal-cdn-v3"}, json={}
        )
        judged(NAME, answer, "storage")

    async def upload(self, attachment: Attachment) -> str:
        """Ask where to put it, then put it there (as fal's JavaScript client does)."""
        answer = await self._api.ask(
            "POST",
            f"{self._rest}/storage/upload/initiate",
            params={"storage_type": "fal-cdn-v3"},
            json={"file_name": attachment.name, "content_type": attachment.content_type},
        )
        if not answer.ok:
            raise rejected_upload(NAME, answer, attachment.name)
        place, url = answer.fields().get("upload_url"), answer.fields().get("file_url")
        if not isinstance(place, str) or not isinstance(url, str):
            raise ProviderUnavailable(f"{NAME}: the upload's answer names no URL")
        put = await self._api.ask(
            "PUT", place, content=attachment.content, headers={"Content-Type": attachment.content_type}
        )
        if not put.ok:
            raise rejected_upload(NAME, put, attachment.name, keyed=self._api.owns(place))
        return url

    def prepare(
        self, wanted: Wanted, inputs: Mapping[Role, str], files: Mapping[Role, Attachment]
    ) -> Prepared:
        """The endpoint is the path; the webhook goes into the query."""
        del files
        ref = wanted.offer.ref or ""
        marker = {"app": application(ref), "webhook": "no" if wanted.webhook is None else "yes"}
        query = {} if wanted.webhook is None else {"fal_webhook": wanted.webhook}
        return Prepared(wanted.reference, ref, dict(hosted_body(wanted, inputs)), marker, query=query)

    async def submit(self, prepared: Prepared) -> Ticket:
        """Once, into the queue."""
        answer = await self._api.send_once(
            prepared.route,
            json=prepared.body,
            params=prepared.query,
            headers={"X-Fal-Request-Timeout": str(START_TIMEOUT_S)},
        )
        if not answer.ok:
            raise submit_refusal(answer, prepared.route)
        told = answer.fields()
        ticket = told.get("request_id")
        if not isinstance(ticket, str) or not ticket:
            raise OutcomeUnknown(f"{NAME} accepted a submission and named no request")
        urls = {
            name: told[field]
            for name, field in (
                ("status", "status_url"),
                ("response", "response_url"),
                ("cancel", "cancel_url"),
            )
            if isinstance(told.get(field), str)
        }
        return Ticket(ticket, {"app": application(prepared.route), **urls})

    async def look(self, ticket: Ticket) -> Sighting:
        """The status; once it is over, the result, since `COMPLETED` does not mean success."""
        answer = await self._api.ask("GET", self._url(ticket, "status", "/status"))
        if answer.status == 404:
            return Sighting(Phase.LOST)
        told = judged(NAME, answer, "the status").fields()
        status = told.get("status")
        if status == "IN_QUEUE":
            position = told.get("queue_position")
            return Sighting(Phase.QUEUED, queue_position=position if isinstance(position, int) else None)
        if status == "IN_PROGRESS":
            return Sighting(Phase.RUNNING)
        error_type = told.get("error_type")
        error_type = error_type if isinstance(error_type, str) else None
        if status in ("CANCELLED", "CANCELED") or error_type in CANCELLED:
            return _cancelled()
        if not isinstance(status, str):
            raise ProviderUnavailable(f"{NAME}: the status cannot be read")
        if status != "COMPLETED":
            error = ProviderFault(f"{NAME}: the request ended in a status that is not known")
            return Sighting(Phase.FAILED, error=error)
        return await self._result(ticket, error_type, _seconds(told.get("metrics")))

    async def find(
        self, reference: str, marker: Mapping[str, Any], since: float, known: Collection[str]
    ) -> Ticket | None:
        """There is no listing to look into; only a webhook can tell.

        Raises:
            OutcomeUnknown: always.
        """
        del reference, since, known
        hope = "its webhook may still tell" if marker.get("webhook") == "yes" else "it has no webhook"
        raise OutcomeUnknown(f"{NAME} has no means to ask for a submission whose answer was lost; {hope}")

    async def cancel(self, ticket: Ticket) -> None:
        """`PUT …/cancel`: 202 when it is asked to stop, 400 when it is over, 404 when it is not known."""
        answer = await self._api.ask("PUT", self._url(ticket, "cancel", "/cancel"))
        if answer.status not in (400, 404, 409, 410):
            judged(NAME, answer, "the cancel")

    async def download(self, sighting: Sighting, ticket: Ticket, to: Path, limit: int) -> Downloaded:
        """From fal's content network, which needs no key; a `data:` URI is unpacked."""
        if sighting.result is None:
            raise ResultUnusable(f"{NAME}: request {ticket.id} succeeded and names no video")
        return await self._api.download(sighting.result, to, limit)

    async def close(self) -> None:
        """Give back connections."""
        await self._api.close()

    async def _result(self, ticket: Ticket, error_type: str | None, seconds: float | None) -> Sighting:
        # A 5xx here is how a run failed, not a server that is overloaded: it is not asked again and again.
        answer = await self._api.ask(
            "GET", self._url(ticket, "response", ""), limit=RESULT_LIMIT, overloaded=frozenset()
        )
        if answer.ok:
            return Sighting(Phase.SUCCEEDED, result=_video(answer.json()), run_seconds=seconds)
        if error_type_of(answer) in CANCELLED or answer.status == 499:
            return _cancelled()
        typed = isinstance(answer.fields().get("detail"), list) or error_type is not None
        refusal = None if typed else account_refusal(NAME, answer)
        if refusal is not None:
            raise refusal
        app = ticket.urls.get("app", "the endpoint")
        error = run_failure(answer, app, error_type)
        if error is None:
            raise ProviderUnavailable(f"{NAME}: the result answers {answer.status}")
        billed = False if answer.status >= 500 else None  # fal: "no charge for server errors"
        return Sighting(Phase.FAILED, error=error, run_seconds=seconds, billed=billed)

    def _url(self, ticket: Ticket, name: str, tail: str) -> str:
        """What fal said when it accepted, where that is at home; else by the application's path."""
        told = ticket.urls.get(name)
        if told and self._api.owns(told):
            return told
        app = ticket.urls.get("app")
        if app is None:
            raise ProviderUnavailable(f"{NAME}: the ticket does not say which application it is of")
        return self._api.url(f"{app}/requests/{quote(ticket.id, safe='')}{tail}")


def application(endpoint: str) -> str:
    """The part of an endpoint's path that requests are asked for under: two segments, rarely three."""
    parts = endpoint.strip("/").split("/")
    return "/".join(parts[: 3 if parts[0] in _PREFIXED else 2])


def _cancelled() -> Sighting:
    return Sighting(Phase.CANCELLED, error=ProviderFault(f"{NAME}: the request is cancelled"))


def _seconds(metrics: Any) -> float | None:
    spent = metrics.get("inference_time") if isinstance(metrics, dict) else None
    return float(spent) if isinstance(spent, int | float) else None


def _video(told: Any) -> str | None:
    """The clip in a result: `video.url`, or the first of `videos`; some models answer a bare URL."""
    if not isinstance(told, dict):
        return None
    found = told.get("video")
    if found is None and isinstance(told.get("videos"), list) and told["videos"]:
        found = told["videos"][0]
    if isinstance(found, dict):
        found = found.get("url")
    return found if isinstance(found, str) and found else None


def _connected(account: Account) -> tuple[Api, str]:
    auth = {"Authorization": f"Key {account.key}"} if account.key else {}
    rest = account.url or REST
    api = Api(NAME, account.url or QUEUE, auth=auth, origins=(rest,), connections=account.connections)
    return api, rest


def connect(account: Account) -> Fal:
    """The adapter; opens no connection by itself. One base URL stands for both hosts where one is given."""
    return Fal(*_connected(account))


def verifier(account: Account) -> FalWebhooks:
    """Checks fal's webhooks: Ed25519 with the keys at `rest.fal.ai/.well-known/jwks.json`."""

    async def fetch() -> Sequence[bytes]:
        api, rest = _connected(Account(account.provider, None, account.url))
        try:
            answer: Answer = judged(
                NAME, await api.ask("GET", f"{rest}/.well-known/jwks.json"), "the key set"
            )
        finally:
            await api.close()
        return jwks_keys(answer.json())

    return FalWebhooks(fetch)


SPEC = ProviderSpec("fal", "fal", connect, key_env="FAL_KEY", verifier=verifier)
