"""The seam to whoever makes clips for us over HTTP: what is asked, what is answered, what may go wrong.

A provider is one file with a `connect` (see `models.providers.registry`). It maps a planned clip to the exact
body of its schema, submits, looks, cancels and finds again; it keeps no job, decides nothing and retries
nothing that could pay twice. `deployments.call_run` drives it:

    upload inputs -> prepare -> (intent is stored) -> submit -> (ticket is stored) -> look ... -> download

Every error is one of `models.errors`: its disposition tells what becomes of the job.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, Protocol

from models.card import Card, Mode, Offer
from models.errors import I2VError
from models.types import CameraMove, ClipPlan, Intensity

Json = dict[str, Any]
Role = Literal["image", "last_image", "driving_video", "audio"]


@dataclass(frozen=True, slots=True)
class Attachment:
    """One input as bytes, ready for the provider (upright, without metadata, within its limits)."""

    name: str
    """File name; `<call reference>-<role>.<ext>`, unique for ever."""
    content_type: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A planned clip in our words."""

    reference: str
    """Our own id of the call, unique for ever (`call_…`)."""
    card: Card
    offer: Offer
    mode: Mode
    plan: ClipPlan
    prompt: str = field(default="", repr=False)
    negative_prompt: str = field(default="", repr=False)
    seed: int = 0
    camera: tuple[CameraMove, ...] = ()
    intensity: Intensity | None = None
    generate_audio: bool = False
    loop: bool = False
    webhook: str | None = None
    """Public URL at which the provider may tell that something changed; None: it is polled only."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A submission, ready to be sent, and by what it can be recognised.

    Attributes:
        reference: `Wanted.reference`.
        route: Method-less path (or absolute URL) that it goes to.
        body: Exactly the JSON that is sent; of multipart engines the form fields.
        marker: Small JSON, stored with the intent before the submission: with it `find` recognises the call
            among those of the account. Holds no prompt, no bytes, no key.
        files: Of multipart engines: file fields.
        query: Query parameters.
    """

    reference: str
    route: str
    body: Json = field(repr=False)
    marker: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, Attachment] = field(default_factory=dict, repr=False)
    query: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ticket:
    """What the provider calls the submission, and where it said to ask; stored with the call."""

    id: str
    urls: Mapping[str, str] = field(default_factory=dict)
    """Of a ticket that only a webhook told: the call's marker, from which the adapter makes its own URLs."""


class Phase(StrEnum):
    """Where a call stands; the last four are over."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"
    """The provider knows the ticket no more; what it cost is not known."""

    @property
    def over(self) -> bool:
        """True when it will not change."""
        return self not in (Phase.QUEUED, Phase.RUNNING)


@dataclass(frozen=True, slots=True)
class Sighting:
    """What one look showed."""

    phase: Phase
    progress: float | None = None
    """Share done, 0-1, where the provider tells."""
    queue_position: int | None = None
    result: str | None = None
    """Of a success: where the clip is, for `download`."""
    error: I2VError | None = None
    """Of a failure or a cancel by the provider."""
    served: str | None = None
    """The model that the provider says it ran, in its own words; None where it does not tell."""
    run_seconds: float | None = None
    """Seconds of work that the provider tells."""
    usd: float | None = None
    """What it cost, where the answer says so; None: by the card's price."""
    billed: bool | None = None
    """Of a failure or cancel: whether it is charged, where that is known."""


@dataclass(frozen=True, slots=True)
class Downloaded:
    """A result on this machine."""

    path: Path
    bytes: int
    content_type: str
    """As the provider declared it; what it really is, the decoder says."""


Finds = Literal["reference", "listing", "webhook", "nothing"]
"""How a submission whose answer was lost is found again: by our own reference (exact: absent means never
accepted), in a listing of the account (exact by the marker), only when its webhook comes, or not at all."""


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a provider has to offer beside making clips."""

    finds: Finds
    cancels: bool
    """Running work stops (for engines: it may)."""
    webhooks: bool = False
    uploads: bool = True
    """Takes attachments up by an upload of its own; else they travel in the body."""
    paid: bool = True
    """False for engines of one's own: a second submission wastes time and no money."""


class Provider(Protocol):
    """One account at one provider, or one engine. Made by `connect`; used in one event loop."""

    name: str
    """`replicate`, `fal`, `vllm-omni`, …"""
    abilities: Abilities

    async def check(self) -> None:
        """A cheap request that proves address and key.

        Raises:
            ProviderAuth: the key is refused.
            ProviderUnavailable, RateLimited: it cannot be said.
        """
        ...

    async def upload(self, attachment: Attachment) -> str:
        """Put an input where the provider can read it; returns what the body names it by. Costs nothing.

        Raises:
            ProviderError: typed; may be tried again.
        """
        ...

    def prepare(
        self, wanted: Wanted, inputs: Mapping[Role, str], files: Mapping[Role, Attachment]
    ) -> Prepared:
        """The exact request. Pure.

        Args:
            wanted: The planned clip.
            inputs: What `upload` returned, by role; empty where `abilities.uploads` is False.
            files: The attachments themselves; empty where they were uploaded.

        Raises:
            InputRefused: the schema of this model cannot say what is wanted (names the field).
        """
        ...

    async def submit(self, prepared: Prepared) -> Ticket:
        """Send it, once.

        Raises:
            ProviderUnavailable, RateLimited: certainly not accepted; may be tried again.
            OutcomeUnknown: it may have been accepted (the answer was lost, or is no answer).
            ProviderAuth, QuotaExhausted, ContentRefused, InputRefused, ModelRetired, SchemaChanged: refused.
        """
        ...

    async def look(self, ticket: Ticket) -> Sighting:
        """Where the call stands.

        Raises:
            ProviderUnavailable, RateLimited, ProviderAuth: it cannot be said now; look again later.
        """
        ...

    async def find(
        self, reference: str, marker: Mapping[str, Any], since: float, known: Collection[str]
    ) -> Ticket | None:
        """The submission of an intent whose answer never came; None when it certainly was not accepted.

        Args:
            reference: `Prepared.reference`.
            marker: `Prepared.marker`, as stored.
            since: When the intent was stored, Unix seconds; clocks may differ by minutes.
            known: Ticket ids that other calls of ours hold.

        Raises:
            OutcomeUnknown: this provider has no means to tell.
            ProviderError: it cannot be said now; ask again.
        """
        ...

    async def cancel(self, ticket: Ticket) -> None:
        """Ask that the work stops; a call that is over (or unknown) is no error. Look afterwards.

        Raises:
            ProviderError: it was not heard; ask again.
        """
        ...

    async def download(self, sighting: Sighting, ticket: Ticket, to: Path, limit: int) -> Downloaded:
        """Stream the result of a success into a file.

        Raises:
            ResultUnusable: it is gone, larger than `limit` bytes, or declared as something else than a video.
            ProviderUnavailable: the transfer broke off; may be tried again.
        """
        ...

    async def close(self) -> None:
        """Give back connections."""
        ...


@dataclass(frozen=True, slots=True)
class Account:
    """How a provider is reached. The key never shows in its `repr`."""

    provider: str
    key: str | None = field(default=None, repr=False)
    url: str | None = None
    """Base URL; None: the provider's public one."""
    connections: int = 32
    """Most connections at once."""
    webhook_secret: str | None = field(default=None, repr=False)
    """Signing secret of webhooks, where the operator gives it; None: it is fetched with the key."""


class WebhookVerifier(Protocol):
    """Checks who sent a webhook. Made by a provider module's `verifier`."""

    async def verify(self, headers: Mapping[str, str], body: bytes, now: float) -> str:
        """The provider's ticket id that the message is about.

        Args:
            headers: Lower-case names.
            body: The raw bytes, as signed.
            now: Unix seconds.

        Raises:
            WebhookRefused: forged, too old, or not readable.
            ProviderUnavailable: the keys to check it with cannot be had now; the sender may try again.
        """
        ...


class WebhookRefused(Exception):
    """A webhook that is not what it says; its message may be logged, it holds no secret."""
