"""The seam through which the Gateway has webhooks of providers checked; `deployments.hooks` implements it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Hooks(Protocol):
    """Who sent a webhook, and what it is about."""

    async def verified(self, provider: str, account: str, headers: Mapping[str, str], body: bytes) -> str:
        """The provider's ticket that a webhook speaks of.

        Args:
            provider: Name of the provider, from the path.
            account: Name of our account there, from the path.
            headers: Lower-case names.
            body: As it was sent: it is what the signature is of.

        Raises:
            HookRefused: forged, too old, not readable, or for an account that no worker serves.
            FleetUnavailable: it cannot be checked now; the provider should send it again.
        """
        ...
