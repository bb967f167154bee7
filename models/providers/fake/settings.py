"""What a fake is told when it starts."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field

DEFAULT_WEBHOOK_SECRET = "whsec_" + base64.b64encode(b"a fake's secret, known to all").decode()


@dataclass(frozen=True, slots=True)
class FakeSettings:
    """One fake server."""

    provider: str
    """A name of `models.providers.registry.SHIPPED`."""
    key: str | None = field(default=None, repr=False)
    """The one key that is accepted. None: any key that is not empty (engines: none is needed)."""
    latency_s: float = 2.0
    """From acceptance to the end of a call; its first quarter is spent in the queue."""
    webhook_secret: str = field(default=DEFAULT_WEBHOOK_SECRET, repr=False)
    """Replicate's signing secret (`whsec_…`). fal signs with a key pair made at start."""
    submits_per_minute: int | None = None
    """More are refused with 429 and the time until the next one is due, as Replicate does above 600; None: no
    limit."""
    full_size: bool = False
    """Render the size that was asked; else at most 256 pixels on the long side."""
    host: str = "127.0.0.1"
    port: int = 0
    """0: any free port."""
