"""What experience teaches: how long runs really take, and how well clips are really liked. Pure.

Times: a running mean of ln(actual / predicted) for each way of running a model, with the spread that is left.
Quality: for each model and use case an offset to its rating, moved by votes. It is the mean that decides
(greedy); nothing is sampled from it, since Thompson sampling costs more than it finds at the few thousand
votes that a cell ever sees. A slice of requests is decided without the offsets, so that they can be shown to
help, and are ignored when they do harm.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from models.types import Objective

# --- times ----------------------------------------------------------------------------------------

ALPHA = 0.1
"""Weight of the newest run once many were seen: the fit remembers about the last twenty."""
FORMULA_ERROR = 0.10
"""Prior standard deviation of the formula's own ln error on machines of ours: fitted to 1 and 4 GPUs it
misses 8 GPUs by 7.5-8.4 % (the Wan-Video/Wan2.2 table for H20, A100, H100): the mean of |N(0, 0.10)|."""
HOSTED_ERROR = 0.30
"""The same for hosted offers, whose published latencies are single runs of another day. Our choice."""
PRIOR_RUNS = 5.0
"""How many runs the prior spread counts for. Our choice: five agreeing runs are no proof of no spread."""
LEAST_SIGMA = 0.02
"""Below this a spread is luck: frames are muxed and files written by shared cores. Our choice."""


@dataclass(frozen=True, slots=True)
class TimeFit:
    """Running fit of ln(actual / predicted) for one (model, offer, GPU type, GPUs).

    Attributes:
        log_ratio: Weighted mean; the first samples weigh as in a plain average.
        sigma: Standard deviation of the residuals, corrected for few samples; 0 below two samples.
        samples: Runs folded in.
    """

    log_ratio: float = 0.0
    sigma: float = 0.0
    samples: int = 0


def log_ratio(predicted_s: float, actual_s: float) -> float | None:
    """ln(actual / predicted); None when either is not a positive finite time and says nothing."""
    if not all(math.isfinite(value) and value > 0.0 for value in (predicted_s, actual_s)):
        return None
    return math.log(actual_s / predicted_s)


def fold(fit: TimeFit, predicted_s: float, actual_s: float) -> TimeFit:
    """The fit after one more run; unchanged when a time says nothing (zero, negative, not finite).

    Exponentially weighted mean and variance with the bias correction of Adam (Kingma & Ba 2015, section 3),
    so that they are usable from the first run on. `predicted_s` is the formula's own word, before `speed_of`.
    """
    value = log_ratio(predicted_s, actual_s)
    if value is None:
        return fit
    samples = fit.samples + 1
    weight = min(ALPHA / (1.0 - (1.0 - ALPHA) ** samples), 1.0)  # rounding puts the first above 1
    variance = fit.sigma**2 * (1.0 - squares(fit.samples))
    delta = value - fit.log_ratio
    variance = (1.0 - weight) * (variance + weight * delta * delta)
    return TimeFit(
        log_ratio=fit.log_ratio + weight * delta,
        sigma=math.sqrt(variance / (1.0 - squares(samples))) if samples > 1 else 0.0,
        samples=samples,
    )


def squares(samples: int) -> float:
    """Sum of the squared normalised weights of that many samples: the variance of their mean, in samples'."""
    if samples < 1:
        return 1.0
    kept = (1.0 - ALPHA) ** samples
    return ALPHA / (2.0 - ALPHA) * (1.0 + kept) / (1.0 - kept)


def speed_of(fit: TimeFit | None, prior_sigma: float, formula_error: float = FORMULA_ERROR) -> float:
    """Actual over predicted seconds to expect (median): above 1 is slower than the formula.

    The mean of the runs, drawn towards 1 while they are few: posterior mean of a normal whose prior has the
    spread `formula_error`.

    Args:
        fit: The runs seen; None for none.
        prior_sigma: Spread of ln(actual / predicted) to expect of one run, from the card.
        formula_error: Spread of what the formula itself is off by.
    """
    if fit is None or fit.samples < 1:
        return 1.0
    # By the plain count, not by what the fit remembers: the prior loses its say for good.
    noise = _run_variance(fit, prior_sigma) / fit.samples
    return math.exp(fit.log_ratio * formula_error**2 / (formula_error**2 + noise))


def sigma_of(fit: TimeFit | None, prior_sigma: float, formula_error: float = FORMULA_ERROR) -> float:
    """Standard deviation of ln(actual / corrected prediction) to expect of the next run.

    What one run varies by (prior spread and residuals, weighed by runs) and what is not known yet of the
    mean. Arguments as of `speed_of`.
    """
    run = _run_variance(fit, prior_sigma)
    if fit is None or fit.samples < 1:
        return math.sqrt(run + formula_error**2)
    noise = run * squares(fit.samples)
    return max(LEAST_SIGMA, math.sqrt(run + noise * formula_error**2 / (formula_error**2 + noise)))


def _run_variance(fit: TimeFit | None, prior_sigma: float) -> float:
    if fit is None or fit.samples < 2:
        return prior_sigma**2
    # Old runs are forgotten: many samples count as their effective number less one for the mean.
    runs = 1.0 / squares(fit.samples) - 1.0
    return (PRIOR_RUNS * prior_sigma**2 + runs * fit.sigma**2) / (PRIOR_RUNS + runs)


# --- votes ----------------------------------------------------------------------------------------

ELO_LOGIT = math.log(10.0) / 400.0
"""Logits of one Elo point."""
OFFSET_SD = 40.0
"""Elo: prior spread of a use case's offset. No published figures show that subjects reorder models; vendors'
prose suggests 20-40."""
PRIOR_PRECISION = 1.0 / (OFFSET_SD * ELO_LOGIT) ** 2
"""In logits: 18.9, about what 75 votes at even odds weigh."""


@dataclass(frozen=True, slots=True)
class Belief:
    """What votes say of one model in one use case.

    Attributes:
        offset: Elo, added to the prior rating.
        precision: How firmly, in inverse squared logits.
        votes: How many were counted.
    """

    offset: float = 0.0
    precision: float = PRIOR_PRECISION
    votes: int = 0

    @property
    def sd(self) -> float:
        """Standard deviation of the offset in Elo."""
        return 1.0 / (math.sqrt(self.precision) * ELO_LOGIT)


Beliefs = Mapping[tuple[str, str], Belief]
"""By card id and use case."""


def liked(belief: Belief, prior_elo: float, reference_elo: float, like: bool) -> Belief:
    """The belief after a thumb: Gaussian update of a logit by one Bernoulli vote.

    With p = 1 / (1 + exp(-mu)): precision += p (1 - p), mu += (vote - p) / precision. That is the
    regularised logistic regression of Chapelle & Li (NIPS 2011), taken one vote at a time.

    Args:
        belief: Before the vote.
        prior_elo: Rating of the model for this use case without the belief.
        reference_elo: Rating at which a clip is liked as often as not.
        like: Thumb up or down.
    """
    chance = _chance(prior_elo + belief.offset - reference_elo)
    return _moved(belief, chance, (1.0 if like else 0.0) - chance)


def compared(winner: Belief, winner_elo: float, loser: Belief, loser_elo: float) -> tuple[Belief, Belief]:
    """Both beliefs after a person preferred one clip over another (Bradley & Terry 1952).

    The ratings are those without the beliefs. A surprise moves the less sure of the two more.
    """
    chance = _chance(winner_elo + winner.offset - loser_elo - loser.offset)
    surprise = 1.0 - chance
    return _moved(winner, chance, surprise), _moved(loser, chance, -surprise)


def _moved(belief: Belief, chance: float, surprise: float) -> Belief:
    precision = belief.precision + chance * (1.0 - chance)
    return Belief(belief.offset + surprise / precision / ELO_LOGIT, precision, belief.votes + 1)


def _chance(elo: float) -> float:
    return float(1.0 / (1.0 + 10.0 ** (-elo / 400.0)))


# --- who learns, and whether it helps ----------------------------------------------------------------

EXPLORE_BELOW = 0.03
"""Share of requests that try a near-best candidate, where trying is cheap. Our choice."""
EXPLORE_MARGIN = 0.05
"""Utility by which a tried candidate may be worse than the best. Our choice."""
EXPLORING = frozenset({Objective.SPEED, Objective.COST, Objective.PREVIEW})
"""Objectives that explore: nobody who asked for quality is experimented on."""
HOLD_OUT_FROM = 0.95
"""Draws from here on are decided on priors alone: the slice that learning is measured against."""
LEAST_VOTES = 100
"""Thumbs in each slice before they are compared. Our choice: 100 votes are +- 10 points of like rate."""
ROLLBACK_Z = 3.0
"""Standard errors by which the learned slice must be worse. The comparison is repeated at every vote, so the
usual 1.96 would cry wolf; at 3 about one run in a hundred does (policies/simulate, equal slices)."""

Slice = Literal["explore", "learned", "hold_out"]


def slice_of(draw: float | None, objective: Objective) -> Slice:
    """How a request with this draw in [0, 1) is decided; None never explores and is no part of a hold-out."""
    if draw is None:
        return "learned"
    if draw >= HOLD_OUT_FROM:
        return "hold_out"
    return "explore" if draw < EXPLORE_BELOW and objective in EXPLORING else "learned"


@dataclass(frozen=True, slots=True)
class Tally:
    """Thumbs of one slice."""

    likes: int = 0
    votes: int = 0

    @property
    def rate(self) -> float:
        """Share of likes; 0 without votes."""
        return self.likes / self.votes if self.votes else 0.0

    def counted(self, like: bool) -> Tally:
        """One more thumb."""
        return Tally(self.likes + like, self.votes + 1)


@dataclass(frozen=True, slots=True)
class Ledger:
    """Thumbs on clips that were decided with beliefs and without.

    What was decided while beliefs were ignored counts as held out, whatever its draw: the learned slice then
    stands still, and a rollback holds until an operator clears the ledger.
    """

    learned: Tally = field(default_factory=Tally)
    held_out: Tally = field(default_factory=Tally)

    def voted(self, decided: Slice, like: bool) -> Ledger:
        """The ledger after one more thumb; tried candidates count for neither side."""
        if decided == "explore":
            return self
        if decided == "hold_out":
            return replace(self, held_out=self.held_out.counted(like))
        return replace(self, learned=self.learned.counted(like))

    @property
    def harm(self) -> float | None:
        """How much lower the learned like rate is, in standard errors; None before there are enough votes."""
        a, b = self.learned, self.held_out
        if min(a.votes, b.votes) < LEAST_VOTES:
            return None
        pooled = (a.likes + b.likes) / (a.votes + b.votes)
        error = math.sqrt(pooled * (1.0 - pooled) * (1.0 / a.votes + 1.0 / b.votes))
        return (b.rate - a.rate) / error if error > 0.0 else 0.0

    @property
    def rolled_back(self) -> bool:
        """True when clips decided with beliefs are liked less, with confidence."""
        harm = self.harm
        return harm is not None and harm >= ROLLBACK_Z


def in_force(beliefs: Beliefs, ledger: Ledger) -> Beliefs:
    """The beliefs that decisions may use: none when they were shown to do harm."""
    return {} if ledger.rolled_back else beliefs
