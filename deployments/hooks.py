"""Checks webhooks of hosted accounts. Which accounts there are, their workers say in the job store."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass

from deployments.provider_keys import read_key
from models.errors import ConfigError, FleetUnavailable, HookRefused, ProviderError
from models.providers.base import Account, WebhookRefused, WebhookVerifier
from models.providers.registry import spec
from router.jobs.store import JobStore
from router.settings import Settings

STALE_S = 3600.0
"""An account whose workers fell silent less than this long ago is still known: they may be starting anew."""


@dataclass(frozen=True, slots=True)
class HookAccount:
    """Where an account is and by which name its key goes; a worker's row says so, the key it never holds."""

    provider: str
    account: str
    url: str | None
    key_env: str | None


class AccountHooks:
    """A `router.hooks.Hooks` over the workers' rows; verifiers are kept, as they keep fetched keys."""

    def __init__(self, store: JobStore, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self._verifiers: dict[HookAccount, tuple[str | None, WebhookVerifier]] = {}
        """By account, with the digest of its key: a key that is set or changed later is used."""

    async def verified(self, provider: str, account: str, headers: Mapping[str, str], body: bytes) -> str:
        """See `router.hooks.Hooks.verified`."""
        verifier = await self._verifier(provider, account)
        try:
            return await verifier.verify(headers, body, time.time())
        except WebhookRefused as error:
            raise HookRefused(f"webhook of {provider} refused: {error}") from error
        except ProviderError as error:
            told = f"the keys to check webhooks of {provider} cannot be had now: {error.message}"
            raise FleetUnavailable(told) from error

    async def _verifier(self, provider: str, account: str) -> WebhookVerifier:
        known = await self._account(provider, account)
        make = spec(provider).verifier
        if make is None:
            raise HookRefused(f"{provider} sends no webhooks")
        try:
            key = None if known.key_env is None else read_key(known.key_env, self._settings.secrets)
        except ConfigError as error:
            # Whoever sends webhooks learns nothing of our variables and paths.
            raise FleetUnavailable(f"the key of account {account} of {provider} cannot be read") from error
        digest = None if key is None else hashlib.sha256(key.encode()).hexdigest()
        kept = self._verifiers.get(known)
        if kept is not None and kept[0] == digest:
            return kept[1]
        verifier = make(Account(provider, key, known.url))
        self._verifiers[known] = digest, verifier
        return verifier

    async def _account(self, provider: str, account: str) -> HookAccount:
        for worker in await self._store.workers(stale_after_s=STALE_S):
            told = worker.detail
            if (told.get("provider"), told.get("account")) == (provider, account):
                return HookAccount(provider, account, told.get("url"), told.get("key_env"))
        raise HookRefused(f"no worker serves account {account} of {provider}")
