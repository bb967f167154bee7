"""Replicate: predictions by HTTP (api.replicate.com/v1), found again by the account's listing.

What makes a lost answer findable: every call uploads its own photograph, whose URL is unique, and the listing
of the account shows each prediction's `input`. Inputs of predictions are deleted after an hour; one that can
no longer be read makes the answer "cannot tell", never "was not accepted".
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from models.errors import I2VError, OutcomeUnknown, ProviderFault, ProviderUnavailable, ResultUnusable
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
from models.providers.http import Api
from models.providers.refusals import judged, rejected_upload
from models.providers.registry import ProviderSpec
from models.providers.replicate_errors import NAME, run_failure, submit_refusal
from models.providers.replicate_listing import cursor_of, moment, names_input, unreadable
from models.providers.webhooks import StandardWebhooks

BASE = "https://api.replicate.com/v1"
CANCEL_AFTER = "30m"
"""Deadline that every prediction gets: Replicate's own hard limit for a run, here for waiting and running
together, so that a call which nobody follows any more ends by itself."""
SLACK_S = 300.0
"""How far Replicate's clock and ours may differ when a listing is searched. Our choice."""
PAGES = 100
"""Pages of 100 that `find` reads at most: a quarter of an hour at Replicate's limit of 600 calls a minute."""
LISTING_LIMIT = 32 << 20
"""Largest page in bytes: 100 predictions, whose inputs may hold `data:` URIs of up to 256 kB."""
_PHASES: Mapping[str, Phase] = {
    "starting": Phase.QUEUED,
    "queued": Phase.QUEUED,
    "processing": Phase.RUNNING,
    "succeeded": Phase.SUCCEEDED,
    "failed": Phase.FAILED,
    "canceled": Phase.CANCELLED,
    "aborted": Phase.CANCELLED,
}
"""`aborted` (its deadline passed before it started) is missing in Replicate's own clients. Any other status
counts as over."""


class Replicate:
    """One account at Replicate."""

    name = NAME
    abilities = Abilities(finds="listing", cancels=True, webhooks=True)

    def __init__(self, api: Api) -> None:
        self._api = api

    async def check(self) -> None:
        """`GET /account`."""
        judged(NAME, await self._api.ask("GET", "account"), "the account")

    async def upload(self, attachment: Attachment) -> str:
        """`POST /files`; the file expires by itself after a day."""
        answer = await self._api.ask("POST", "files", files={"content": attachment})
        if not answer.ok:
            raise rejected_upload(NAME, answer, attachment.name)
        urls = answer.fields().get("urls")
        url = urls.get("get") if isinstance(urls, dict) else None
        if not isinstance(url, str):
            raise ProviderUnavailable(f"{NAME}: the upload's answer names no URL")
        return url

    def prepare(
        self, wanted: Wanted, inputs: Mapping[Role, str], files: Mapping[Role, Attachment]
    ) -> Prepared:
        """By the model's name, or by its version where the card pins one."""
        del files
        ref = wanted.offer.ref or ""
        request = wanted.offer.request
        body: dict[str, Any] = {"input": hosted_body(wanted, inputs)}
        route = f"models/{ref}/predictions"
        if request is not None and request.version is not None:
            route, body["version"] = "predictions", request.version
        if wanted.webhook is not None:
            body |= {"webhook": wanted.webhook, "webhook_events_filter": ["completed"]}
        marker = {"input": inputs.get("image") or next(iter(inputs.values()), ""), "model": ref}
        return Prepared(wanted.reference, route, body, marker)

    async def submit(self, prepared: Prepared) -> Ticket:
        """Once; the answer is 201 (or 202) with the prediction."""
        answer = await self._api.send_once(
            prepared.route, json=prepared.body, headers={"Cancel-After": CANCEL_AFTER}
        )
        if not answer.ok:
            raise submit_refusal(answer, str(prepared.marker.get("model")))
        ticket = answer.fields().get("id")
        if not isinstance(ticket, str) or not ticket:
            raise OutcomeUnknown(f"{NAME} accepted a submission and named no prediction")
        return Ticket(ticket)

    async def look(self, ticket: Ticket) -> Sighting:
        """`GET /predictions/{id}`."""
        answer = await self._api.ask("GET", f"predictions/{quote(ticket.id, safe='')}")
        if answer.status == 404:
            return Sighting(Phase.LOST)
        return _sighting(judged(NAME, answer, "the prediction"))

    async def find(
        self, reference: str, marker: Mapping[str, Any], since: float, known: Collection[str]
    ) -> Ticket | None:
        """One look through the listing, newest first, back to `since`. See the module's docstring.

        Whoever asks right after a submission asks again: a listing may lag behind by moments.
        """
        del reference
        uploaded = str(marker.get("input") or "")
        if not uploaded:
            raise OutcomeUnknown(f"{NAME}: the call has no marker to find it by")
        told = True
        cursor: str | None = None
        for _ in range(PAGES):
            params = {"cursor": cursor} if cursor else None
            answer = await self._api.ask("GET", "predictions", params=params, limit=LISTING_LIMIT)
            page = judged(NAME, answer, "the listing").fields()
            rows = page.get("results")
            if not isinstance(rows, list):
                raise ProviderUnavailable(f"{NAME}: the listing cannot be read")
            cursor = cursor_of(page.get("next"))
            for row in (row for row in rows if isinstance(row, dict)):
                if moment(row.get("created_at"), since) < since - SLACK_S:
                    cursor = None
                    break
                ticket = row.get("id")
                if not isinstance(ticket, str) or ticket in known:
                    continue
                if names_input(row.get("input"), uploaded):
                    return Ticket(ticket)
                told = told and not unreadable(row, str(marker.get("model") or ""))
            if cursor is None:
                break
        else:
            raise OutcomeUnknown(f"{NAME}: the call is not among the newest {PAGES * 100} of the account")
        if not told:
            raise OutcomeUnknown(f"{NAME}: the inputs of the predictions in question are deleted already")
        return None

    async def cancel(self, ticket: Ticket) -> None:
        """`POST /predictions/{id}/cancel`; of one that is over it changes nothing."""
        answer = await self._api.ask("POST", f"predictions/{quote(ticket.id, safe='')}/cancel")
        if answer.status not in (404, 409, 410, 422):
            judged(NAME, answer, "the cancel")

    async def download(self, sighting: Sighting, ticket: Ticket, to: Path, limit: int) -> Downloaded:
        """From `*.replicate.delivery`; results are deleted after an hour."""
        if sighting.result is None:
            raise ResultUnusable(f"{NAME}: prediction {ticket.id} succeeded and has no result any more")
        return await self._api.download(sighting.result, to, limit)

    async def close(self) -> None:
        """Give back connections."""
        await self._api.close()


def _sighting(answer: Answer) -> Sighting:
    told = answer.fields()
    status = told.get("status")
    if not isinstance(status, str):
        raise ProviderUnavailable(f"{NAME}: the prediction cannot be read")
    phase = _PHASES.get(status, Phase.FAILED)
    error: I2VError | None = None
    if status not in _PHASES:
        error = ProviderFault(f"{NAME}: the prediction ended in a status that is not known")
    elif phase is Phase.FAILED:
        error = run_failure(str(told.get("error") or ""))
    elif phase is Phase.CANCELLED:
        error = ProviderFault(f"{NAME}: the prediction is {status}")
    return Sighting(
        phase,
        result=_result(told.get("output")) if phase is Phase.SUCCEEDED else None,
        error=error,
        served=_served(told),
        run_seconds=_seconds(told.get("metrics")),
        billed=_billed(status, told),
    )


def _billed(status: str, told: Mapping[str, Any]) -> bool | None:
    """`aborted` is free; `canceled` is charged for public models once it ran."""
    if status == "aborted":
        return False
    if status == "canceled":
        return told.get("started_at") is not None
    return None


def _served(told: Mapping[str, Any]) -> str | None:
    """`owner/name`, and the version where it is not hidden (it is for official models)."""
    model, version = told.get("model"), told.get("version")
    if not isinstance(model, str):
        return None
    return f"{model}:{version}" if isinstance(version, str) and version not in ("", "hidden") else model


def _seconds(metrics: Any) -> float | None:
    spent = metrics.get("predict_time") if isinstance(metrics, dict) else None
    return float(spent) if isinstance(spent, int | float) else None


def _result(output: Any) -> str | None:
    """The first URL of an output: a string, a list, or an object."""
    if isinstance(output, str):
        return output
    if isinstance(output, dict):
        output = list(output.values())
    if isinstance(output, list):
        return next((found for entry in output if (found := _result(entry)) is not None), None)
    return None


def _api(account: Account) -> Api:
    auth = {"Authorization": f"Bearer {account.key}"} if account.key else {}
    return Api(NAME, account.url or BASE, auth=auth, connections=account.connections)


def connect(account: Account) -> Replicate:
    """The adapter; opens no connection by itself."""
    return Replicate(_api(account))


def verifier(account: Account) -> StandardWebhooks:
    """Checks Replicate's webhooks: HMAC with the account's secret, which is fetched with its key."""

    async def fetch() -> str:
        api = _api(account)
        try:
            answer = judged(NAME, await api.ask("GET", "webhooks/default/secret"), "the webhook secret")
        finally:
            await api.close()
        secret = answer.fields().get("key")
        if not isinstance(secret, str):
            raise ProviderUnavailable(f"{NAME}: the webhook secret cannot be read")
        return secret

    return StandardWebhooks(fetch, ticket_field="id", secret=account.webhook_secret)


SPEC = ProviderSpec("replicate", "replicate", connect, key_env="REPLICATE_API_TOKEN", verifier=verifier)
