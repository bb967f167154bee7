"""What an unknown outcome means for its job: how much more may be spent on it, and when it ends. Pure.

A paid call whose outcome cannot be found out may have been accepted and charged. The rule:

1. Its offer is never asked again for this job.
2. Its price counts as spent.
3. The job goes on to its next candidate while what is left of its budget covers it. The budget is the
   client's `max_cost_usd`. A client that gave none was promised a clip at a price, so the job may spend that
   price once more after its first unknown outcome, and no more after a second: at most twice the promise.
4. Otherwise it ends `failed` with the code `outcome_unknown`, and the message says what may have been paid.
"""

from __future__ import annotations

from policies.words import usd_word

EXACT = 9
"""Decimals of a USD that count: sums of prices are compared with prices."""


def ceiling_usd(
    *, max_cost_usd: float | None, ceiling_usd: float | None, spent_usd: float, promised_usd: float
) -> float:
    """Most that a job may cost in all, in USD, after one more of its calls had an unknown outcome.

    Args:
        max_cost_usd: The client's budget; None: none was given.
        ceiling_usd: What this function said at the job's unknown outcome before; None: this is the first.
        spent_usd: What the job has cost, the price of the unknown call with it.
        promised_usd: The price of the unknown call.
    """
    if max_cost_usd is not None:
        return max_cost_usd
    return spent_usd + promised_usd if ceiling_usd is None else ceiling_usd


def left_usd(*, max_cost_usd: float | None, ceiling_usd: float | None, spent_usd: float) -> float | None:
    """What the next candidate of a job may cost, in USD; None: as much as it likes.

    What known failures cost lowers a client's budget too. Where no limit was given and no outcome was unknown
    nothing is held against the job.
    """
    limits = [limit for limit in (max_cost_usd, ceiling_usd) if limit is not None]
    return max(0.0, round(min(limits) - spent_usd, EXACT)) if limits else None


def ending(*, spent_usd: float, left_usd: float) -> str:
    """The message of a job that ends so; USD."""
    return (
        "What became of a paid call for this clip cannot be found out, so it is not made there again. "
        f"Up to {usd_word(spent_usd)} may have been paid, and no other model can make the clip for the "
        f"{usd_word(left_usd)} that are left."
    )
