"""What a run comes to, in figures. Seconds are simulated, money is USD, shares are of all arrivals.

Refused and failed jobs are misses. A clip is worth the chance that it is liked, when it is in time and within
the budget, and nothing otherwise.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import exp
from statistics import fmean
from typing import TYPE_CHECKING, Any, TypeVar

from policies.simulate.bounds import chances

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from policies.simulate.events import Run, Tale
    from policies.simulate.menu import Menu
    from policies.simulate.world import World

T = TypeVar("T")

Q90 = 1.2816
"""The 90th percentile of a standard normal."""
LEARNED = 20
"""Samples after which a prediction counts as learned."""
FEASIBLE = 0.05
"""A job is feasible when an idle fleet would make it in time with at least this chance (the profiles' own
limit of a hopeless deadline)."""
BINS = 10
LEAST_JOBS = 5
"""Tenants with fewer jobs say nothing about fairness."""


@dataclass(frozen=True, slots=True)
class Metrics:
    """One policy on one workload."""

    arrivals: int
    slo_attainment: float
    """On time, of all arrivals."""
    slo_feasible: float | None
    """On time, of the arrivals that an idle fleet could serve in time and within the budget."""
    slo_ceiling: float
    """The best chance that an idle fleet has of each job, on average: nobody's `slo_attainment` is expected
    above it."""
    utility: float
    """Mean worth."""
    utility_expected: float
    """The same by ratings alone, without the luck of taste."""
    regret: float
    """What is missing to a fleet without queues, in the same expected worth."""
    in_budget: float
    rejected: float
    capability_violations: int
    budget_violations: int
    usd_per_clip: float | None
    """Of the clips with a known price."""
    latency_p50: float | None
    latency_p99: float | None
    wait_mean: float | None
    """From arrival to the start of the last run."""
    mape_cold: float | None
    """Mean |predicted / actual - 1| of runs of a way of running not seen before, of own machines."""
    mape_learned: float | None
    """After `LEARNED` samples."""
    bias_cold: float | None
    """The same against the true median, so without the luck of single runs."""
    bias_learned: float | None
    mape_cold_hosted: float | None
    mape_learned_hosted: float | None
    bias_learned_hosted: float | None
    q90_coverage: float | None
    """Share of runs that end within the predicted 90th percentile."""
    q90_coverage_learned: float | None
    on_time_error: float | None
    """Mean |promised - observed| over the bins of `reliability`, weighed by their jobs."""
    jain_tenants: float | None
    """Jain's index over tenants' on-time shares."""
    failed_runs: int

    def row(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def measure(tales: Sequence[Tale], world: World, menu: Menu) -> Metrics:
    """The figures of one run."""
    count = len(tales)
    done = [tale for tale in tales if tale.finished is not None]
    best = [max((worth for _, worth, _ in chances(tale.job, menu)), default=0.0) for tale in tales]
    feasible = [tale for tale in tales if _feasible(tale, menu)]
    expected = sum(world.rated(tale.model) for tale in done if _counts(tale)) / count
    latencies = sorted(tale.finished - tale.job.at for tale in done if tale.finished is not None)
    prices = [tale.usd for tale in done if tale.usd is not None]
    runs = [run for tale in done for run in tale.runs if not run.fails]
    own = [run for run in runs if world.lanes[run.order.pool].pool.gpu != "hosted"]
    hosted = [run for run in runs if world.lanes[run.order.pool].pool.gpu == "hosted"]
    table = reliability(tales)
    return Metrics(
        arrivals=count,
        slo_attainment=sum(map(_on_time, tales)) / count,
        slo_feasible=_share(feasible, _on_time),
        slo_ceiling=fmean(max(menu.in_time(tale.job), default=0.0) for tale in tales),
        utility=sum(world.quality(tale.job, tale.model) for tale in done if _counts(tale)) / count,
        utility_expected=expected,
        regret=fmean(best) - expected,
        in_budget=sum(_in_budget(tale) for tale in done) / count,
        rejected=sum(tale.rejected for tale in tales) / count,
        capability_violations=sum(_incapable(tale, menu) for tale in done),
        budget_violations=sum(not _in_budget(tale) for tale in done),
        usd_per_clip=fmean(prices) if prices else None,
        latency_p50=_quantile(latencies, 0.5),
        latency_p99=_quantile(latencies, 0.99),
        wait_mean=_mean([tale.runs[-1].began - tale.job.at for tale in done]),
        mape_cold=_mean(_errors(own, lambda run: run.order.samples == 0)),
        mape_learned=_mean(_errors(own, lambda run: run.order.samples >= LEARNED)),
        bias_cold=_mean(_biases(own, world, lambda run: run.order.samples == 0)),
        bias_learned=_mean(_biases(own, world, lambda run: run.order.samples >= LEARNED)),
        mape_cold_hosted=_mean(_errors(hosted, lambda run: run.order.samples == 0)),
        mape_learned_hosted=_mean(_errors(hosted, lambda run: run.order.samples >= LEARNED)),
        bias_learned_hosted=_mean(_biases(hosted, world, lambda run: run.order.samples >= LEARNED)),
        q90_coverage=_share(runs, _within_q90),
        q90_coverage_learned=_share([run for run in runs if run.order.samples >= LEARNED], _within_q90),
        on_time_error=_table_error(table),
        jain_tenants=_jain(tales),
        failed_runs=sum(run.fails for tale in tales for run in tale.runs),
    )


def reliability(tales: Sequence[Tale]) -> list[dict[str, float]]:
    """Promised against observed: mean promise, share on time and jobs, in ten bins of the promise.

    A promise is the chance told at admission. Jobs without a deadline were promised nothing.
    """
    bins: list[list[Tale]] = [[] for _ in range(BINS)]
    for tale in tales:
        if tale.promised is not None and tale.job.request.deadline_s is not None:
            bins[min(BINS - 1, int(tale.promised * BINS))].append(tale)
    return [
        {
            "from": index / BINS,
            "jobs": float(len(found)),
            "promised": fmean(tale.promised or 0.0 for tale in found),
            "observed": fmean(map(_on_time, found)),
        }
        for index, found in enumerate(bins)
        if found
    ]


def _table_error(table: Sequence[dict[str, float]]) -> float | None:
    jobs = sum(row["jobs"] for row in table)
    if not jobs:
        return None
    return sum(row["jobs"] * abs(row["promised"] - row["observed"]) for row in table) / jobs


def _on_time(tale: Tale) -> bool:
    return tale.finished is not None and tale.finished <= tale.job.due


def _in_budget(tale: Tale) -> bool:
    limit = tale.job.request.max_cost_usd
    return limit is None or (tale.usd is not None and tale.usd <= limit)


def _counts(tale: Tale) -> bool:
    return _on_time(tale) and _in_budget(tale)


def _incapable(tale: Tale, menu: Menu) -> bool:
    return tale.model not in {option.pool.model for option in menu.capable(tale.job)}


def _feasible(tale: Tale, menu: Menu) -> bool:
    return any(chance >= FEASIBLE for chance in menu.in_time(tale.job))


def _errors(runs: Iterable[Run], which: Callable[[Run], bool]) -> list[float]:
    return [abs(run.order.predicted_s / (run.ends - run.began) - 1.0) for run in runs if which(run)]


def _biases(runs: Iterable[Run], world: World, which: Callable[[Run], bool]) -> list[float]:
    found = []
    for run in runs:
        if which(run):
            true = run.order.formula_s * world.truth.bias(world.lanes[run.order.pool].pool, run.order.gpus)
            found.append(abs(run.order.predicted_s / true - 1.0))
    return found


def _within_q90(run: Run) -> bool:
    return run.ends - run.began <= run.order.predicted_s * exp(Q90 * run.order.sigma)


def _jain(tales: Sequence[Tale]) -> float | None:
    by_tenant: dict[str, list[bool]] = {}
    for tale in tales:
        by_tenant.setdefault(tale.job.request.tenant, []).append(_on_time(tale))
    shares = [fmean(found) for found in by_tenant.values() if len(found) >= LEAST_JOBS]
    squares = sum(share * share for share in shares)
    return sum(shares) ** 2 / (len(shares) * squares) if squares > 0.0 else None


def _share(found: Sequence[T], which: Callable[[T], bool]) -> float | None:
    return sum(map(which, found)) / len(found) if found else None


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None


def _quantile(ordered: Sequence[float], q: float) -> float | None:
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))] if ordered else None
