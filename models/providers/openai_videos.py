"""Engines of one's own that speak OpenAI's `/v1/videos`: vLLM-Omni, SGLang, TensorRT-LLM and FastVideo.

One adapter; what each does differently is a row of `engine_quirks`. A job lives in the engine's process, so a
restart loses it: `Phase.LOST`, and the clip is sent again, which costs time and no money.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from models.errors import ConfigError, OutcomeUnknown, ProviderFault, ProviderUnavailable
from models.providers import engine_quirks
from models.providers.answers import Answer
from models.providers.base import (
    Abilities,
    Account,
    Attachment,
    Downloaded,
    Phase,
    Prepared,
    Provider,
    Role,
    Sighting,
    Ticket,
    Wanted,
)
from models.providers.engine_bodies import marker_of, prompt_mark, video_form
from models.providers.engine_errors import WORDS, failure, refusal, words_of
from models.providers.engine_quirks import PHASES, Quirks
from models.providers.http import Api
from models.providers.registry import ProviderSpec

ROUTE: Final = "v1/videos"
PAGE: Final = 100
"""Jobs of one page of the listing; the engines' own limit."""
MOST_PAGES: Final = 50
LISTING_BYTES: Final = 32 << 20
"""Largest listing, bytes. TensorRT-LLM gives all jobs since its start at once, prompts included."""
REMEMBERED: Final = 4096
"""Tickets that this process keeps in mind."""


class OpenAIVideos:
    """One running engine."""

    def __init__(self, account: Account, quirks: Quirks) -> None:
        """Connect nothing yet.

        Raises:
            ConfigError: the account names no URL.
        """
        self.name = quirks.name
        self.abilities = Abilities(finds="listing", cancels=quirks.stops, uploads=False, paid=False)
        self._quirks = quirks
        self._api = engine_api(account)
        self._served: str | None = None
        self._own: OrderedDict[str, str] = OrderedDict()
        """The calls of the tickets that this process was given."""
        self._dropped: OrderedDict[str, str] = OrderedDict()
        """Tickets that this process asked to drop."""

    async def check(self) -> None:
        """Ask for the served model: unlike `/health` that route wants the key."""
        answer = await self._api.ask("GET", "v1/models")
        if not answer.ok:
            raise _cannot_say(self.name, answer)
        listed = answer.fields().get("data")
        first = listed[0] if isinstance(listed, list) and listed else None
        self._served = _text(first.get("id")) if isinstance(first, dict) else None

    async def upload(self, attachment: Attachment) -> str:
        """Not needed: the photograph travels in the form."""
        raise ProviderFault(f"{self.name} takes no uploads; {attachment.content_type} travels in the form")

    def prepare(
        self, wanted: Wanted, inputs: Mapping[Role, str], files: Mapping[Role, Attachment]
    ) -> Prepared:
        """The form and the photograph."""
        form = video_form(wanted, {*inputs, *files}, self._quirks)
        return Prepared(
            reference=wanted.reference,
            route=ROUTE,
            body=dict(form),
            marker=marker_of(wanted.reference, form, self._quirks),
            files={"input_reference": files["image"]},
        )

    async def submit(self, prepared: Prepared) -> Ticket:
        """Send the form, once."""
        answer = await self._api.send_once(
            prepared.route, form=prepared.body, files=prepared.files, words=WORDS
        )
        if not answer.ok:
            raise refusal(self.name, answer)
        job_id = _text(answer.fields().get("id"))
        if job_id is None:
            raise OutcomeUnknown(
                f"{self.name} answered a submission without an id; it may have been accepted"
            )
        _keep(self._own, job_id, prepared.reference)
        return Ticket(job_id)

    async def look(self, ticket: Ticket) -> Sighting:
        """The job's record. vLLM-Omni gives that of a failed job with the failure's own HTTP status."""
        answer = await self._api.ask("GET", _job(ticket))
        fields = answer.fields()
        if fields.get("id") == ticket.id and isinstance(fields.get("status"), str):
            return self._seen(fields, ticket)
        if answer.status == 404:
            if ticket.id in self._dropped:
                return Sighting(Phase.CANCELLED, billed=False)
            return Sighting(
                Phase.LOST, error=ProviderFault(f"{self.name} knows the job no more; was it restarted?")
            )
        raise _cannot_say(self.name, answer)

    async def find(
        self, reference: str, marker: Mapping[str, Any], since: float, known: Collection[str]
    ) -> Ticket | None:
        """The oldest job of the listing that shows the marker, is not older than the intent, and is nobody's.

        Exact where our reference is shown again. vLLM-Omni shows the prompt and not the photograph: two lost
        submissions of the same words and size at the same time could be taken for each other.
        """
        own = next((ticket for ticket, call in self._own.items() if call == reference), None)
        if own is not None:
            return Ticket(own)
        taken = {*known, *self._own}
        alike = [
            (created, job_id)
            for job in await self._listed(since)
            if (job_id := _text(job.get("id"))) is not None
            and (created := _created(job)) >= int(since)
            and job_id not in taken
            and _shows(job, reference, marker)
        ]
        if not alike:
            return None
        found = min(alike)[1]
        _keep(self._own, found, reference)
        return Ticket(found)

    async def cancel(self, ticket: Ticket) -> None:
        """Drop the job, unless it is over: the same request would delete a finished clip."""
        if (await self.look(ticket)).phase.over:
            return
        answer = await self._api.ask("DELETE", _job(ticket))
        if not (answer.ok or answer.status == 404):
            # vLLM-Omni: 409 while an abort is under way.
            raise _cannot_say(self.name, answer)
        _keep(self._dropped, ticket.id, "")

    async def download(self, sighting: Sighting, ticket: Ticket, to: Path, limit: int) -> Downloaded:
        """The clip: from the engine, or from the storage that SGLang put it into."""
        return await self._api.download(sighting.result or f"{_job(ticket)}/content", to, limit)

    async def close(self) -> None:
        """Give back connections."""
        await self._api.close()

    def _seen(self, fields: Mapping[str, Any], ticket: Ticket) -> Sighting:
        quirks = self._quirks
        phase = PHASES.get(str(fields["status"]), Phase.RUNNING)
        if phase is Phase.QUEUED and not quirks.tells_start:
            phase = Phase.RUNNING
        progress = fields.get("progress")
        sighting = Sighting(
            phase,
            progress=min(max(float(progress) / 100.0, 0.0), 1.0)
            if quirks.tells_progress and isinstance(progress, int | float)
            else None,
            served=_text(fields.get("model")) if quirks.recognised_by == "prompt" else self._served,
            run_seconds=_seconds(fields.get("inference_time_s")) if quirks.tells_run else None,
        )
        if phase is Phase.SUCCEEDED:
            return replace(sighting, result=_stored(fields) or f"{_job(ticket)}/content")
        if phase is Phase.FAILED:
            error = fields.get("error")
            code = error.get("code") if isinstance(error, dict) else None
            return replace(sighting, error=failure(self.name, code, words_of(fields)), billed=False)
        return replace(sighting, billed=False) if phase.over else sighting

    async def _listed(self, since: float) -> list[dict[str, Any]]:
        """Jobs of the listing, as far back as `since` where it is in order."""
        jobs: dict[str, dict[str, Any]] = {}
        after: dict[str, str] = {}
        for _ in range(MOST_PAGES if self._quirks.pages else 1):
            params = {"limit": str(PAGE), "order": "desc", **after} if self._quirks.pages else None
            answer = await self._api.ask("GET", ROUTE, params=params, limit=LISTING_BYTES)
            page = answer.fields().get("data")
            if not answer.ok or not isinstance(page, list):
                raise _cannot_say(self.name, answer)
            fresh = {
                job["id"]: job
                for job in page
                if isinstance(job, dict) and isinstance(job.get("id"), str) and job["id"] not in jobs
            }
            jobs |= fresh
            if len(page) < PAGE or not fresh or _created(page[-1]) < int(since):
                break
            after = {"after": str(page[-1]["id"])}
        return list(jobs.values())


def engine_api(account: Account) -> Api:
    """The connections to an engine, whose URL may be given with or without `/v1`.

    Raises:
        ConfigError: the account names no URL.
    """
    if account.url is None:
        raise ConfigError(f"{account.provider} is an engine of your own: it needs a url", param="url")
    base = account.url.rstrip("/").removesuffix("/v1")
    auth = {"Authorization": f"Bearer {account.key}"} if account.key else {}
    return Api(account.provider, base, auth=auth, connections=account.connections)


def _keep(kept: OrderedDict[str, str], ticket: str, what: str) -> None:
    """Remember one more; the oldest are forgotten."""
    kept[ticket] = what
    while len(kept) > REMEMBERED:
        kept.popitem(last=False)


def _shows(job: Mapping[str, Any], reference: str, marker: Mapping[str, Any]) -> bool:
    """Whether a job of the listing is the one that the marker is of."""
    if "model" in marker:
        return bool(job.get("model") == marker["model"])
    prompt, size = job.get("prompt"), job.get("size")
    shown = isinstance(prompt, str) and prompt_mark(reference, prompt) == marker.get("prompt")
    return shown and size in (None, marker.get("size"))


def _cannot_say(name: str, answer: Answer) -> Exception:
    """Why something could not be asked; what is no refusal of the account is asked again later."""
    if answer.status in (401, 403, 409, 429, 503):
        return refusal(name, answer)
    return ProviderUnavailable(f"{name} answers {answer.status}", retry_after_s=answer.retry_after_s)


def _job(ticket: Ticket) -> str:
    return f"{ROUTE}/{quote(ticket.id, safe='')}"


def _stored(fields: Mapping[str, Any]) -> str | None:
    """Where SGLang put the clip when it is set up to store results; its own route then refuses."""
    url = fields.get("url")
    return url if isinstance(url, str) and url.startswith(("http://", "https://")) else None


def _created(job: Mapping[str, Any]) -> float:
    created = job.get("created_at")
    return float(created) if isinstance(created, int | float) else 0.0


def _seconds(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and value >= 0 else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _connect(quirks: Quirks, account: Account) -> Provider:
    return OpenAIVideos(account, quirks)


def _spec(quirks: Quirks, key_env: str | None = None) -> ProviderSpec:
    return ProviderSpec(
        quirks.name, "engine", connect=partial(_connect, quirks), key_env=key_env, key_needed=False
    )


VLLM_OMNI: Final = _spec(engine_quirks.VLLM_OMNI, key_env="VLLM_API_KEY")
"""`--api-key` of vLLM reads the same variable."""
SGLANG: Final = _spec(engine_quirks.SGLANG)
TRTLLM: Final = _spec(engine_quirks.TRTLLM)
FASTVIDEO: Final = _spec(engine_quirks.FASTVIDEO)
