"""Health of offers, from how their attempts of late have ended."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from models.errors import (
    EncodeFailed,
    OutcomeUnknown,
    ProviderError,
    ProviderFault,
    ProviderUnavailable,
    RankLost,
    ResultUnusable,
    RunnerError,
    Stalled,
)
from policies.breaker import Outcome, Verdict, verdict
from router.jobs.records import AttemptStatus, Ended
from router.jobs.retry import LOST

OfferKey = tuple[str, str]
"""Card id and offer id."""

FAULTS = frozenset(
    {
        *(LOST, RankLost.code, Stalled.code, EncodeFailed.code, RunnerError.code, ProviderError.code),
        *(ProviderUnavailable.code, ProviderFault.code, ResultUnusable.code, OutcomeUnknown.code),
    }
)
"""Errors that speak against the offer's machines, ours or a provider's. A refused input, a clip that does not
fit and a media store that is away do not: the job, or something else, is at fault. Neither do a limit of the
account, its key or its money: they are the whole account's, and its worker tells of them."""


def verdicts(ended: Iterable[Ended], now: float) -> Mapping[OfferKey, Verdict]:
    """The breaker's state of every offer that ran lately; `ended` oldest first, times in Unix seconds."""
    seen: dict[OfferKey, list[Outcome]] = defaultdict(list)
    for attempt in ended:
        if (outcome := _outcome(attempt)) is not None:
            seen[attempt.model, attempt.offer].append(outcome)
    return {offer: verdict(outcomes, now) for offer, outcomes in seen.items()}


def _outcome(attempt: Ended) -> Outcome | None:
    """None where the end says nothing about the offer."""
    if attempt.status is AttemptStatus.COMPLETED:
        return Outcome(attempt.at, attempt.job_id)
    fault = LOST if attempt.status is AttemptStatus.LOST else attempt.code
    if fault not in FAULTS or attempt.status is AttemptStatus.CANCELLED:
        return None
    return Outcome(attempt.at, attempt.job_id, fault)
