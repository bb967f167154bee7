"""Whether an account may be sent work now, from how its requests of late went. Pure: the clock is given."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from models.errors import (
    AccountFull,
    I2VError,
    ModelRetired,
    ProviderAuth,
    ProviderFault,
    ProviderUnavailable,
    QuotaExhausted,
    SchemaChanged,
    SpendCapReached,
)
from policies.breaker import Circuit, Outcome, verdict

REMEMBERED = 200
"""Outcomes kept for the circuit; it looks at the last twenty and at rows of five."""
FLAGGED_S = 6 * 3600.0
"""A schema that changed or a model that went is tried again after so long. Our choice."""
AUTH_S = 60.0
QUOTA_S = 300.0
CAP_S = 60.0
FULL_S = 30.0
"""Between trials whether a key works again, somebody has paid, the cap has room, others' calls have ended."""


@dataclass(frozen=True, slots=True)
class Out:
    """Why the whole account is out, and when that is looked at again."""

    reason: str
    until: float
    checkable: bool
    """A request that costs nothing can tell (a key); else the next job does (money)."""


class AccountHealth:
    """A fold over what requests came to."""

    def __init__(self) -> None:
        self._outcomes: deque[Outcome] = deque(maxlen=REMEMBERED)
        self._out: Out | None = None
        self._flags: dict[str, tuple[str, float]] = {}

    def note(self, key: str, job: str, error: I2VError | None, now: float) -> None:
        """One request went well (None) or failed.

        Args:
            key: `model/offer` that it was for.
            job: Whose it was.
            error: What came back.
            now: Seconds, on any one clock.
        """
        match error:
            case None:
                self._outcomes.append(Outcome(now, job))
                if self._out is not None and self._out.checkable:
                    self._out = None
            case ProviderAuth():
                self._out = Out(error.message, now + AUTH_S, checkable=True)
            case QuotaExhausted():
                self._out = Out(error.message, now + QUOTA_S, checkable=False)
            case SpendCapReached():
                self._out = Out(error.message, now + CAP_S, checkable=False)
            case AccountFull():
                self._out = Out(error.message, now + FULL_S, checkable=False)
            case SchemaChanged() | ModelRetired():
                self._flags[key] = (error.message, now + FLAGGED_S)
            case ProviderUnavailable() | ProviderFault():
                self._outcomes.append(Outcome(now, job, error.code))

    def flagged(self, now: float) -> Mapping[str, str]:
        """Offers (`model/offer`) that are out by themselves, with the reason."""
        self._flags = {key: flag for key, flag in self._flags.items() if now < flag[1]}
        return {key: reason for key, (reason, _) in self._flags.items()}

    def reason(self, now: float) -> str:
        """Why nothing new may be sent now; empty when it may."""
        if self._out is not None:
            if self._out.checkable or now < self._out.until:
                return self._out.reason
            self._out = None
        state = verdict(self._outcomes, now)
        return "" if state.circuit is Circuit.CLOSED else state.reason

    def to_check(self, now: float) -> bool:
        """Whether a request that costs nothing should find out now if the account works again."""
        if self._out is not None and self._out.checkable:
            return now >= self._out.until
        return verdict(self._outcomes, now).circuit is Circuit.HALF_OPEN
