"""Other people's rules, written from their descriptions; one file a family."""

from __future__ import annotations

from policies.simulate.baselines.balancing import LeastOutstanding, RoundRobin, TwoChoices
from policies.simulate.baselines.base import Forwarding, Rule
from policies.simulate.baselines.litellm import Adaptive, CostBased, LatencyBased, LeastBusy
from policies.simulate.baselines.llm_d import Headroom
from policies.simulate.baselines.static import BestInTime, StaticBest, StaticBestInBudget
from policies.simulate.baselines.vllm_sr import MultiFactor, MultiFactorCeilings

__all__ = ["Forwarding", "Rule", "rules"]


def rules() -> list[Rule]:
    """One of each, fresh: some keep a turn or a count."""
    return [
        StaticBest(),
        StaticBestInBudget(),
        BestInTime(),
        RoundRobin(),
        LeastOutstanding(),
        TwoChoices(),
        LeastBusy(),
        LatencyBased(),
        CostBased(),
        Adaptive(),
        MultiFactor(),
        MultiFactorCeilings(),
        Headroom(),
    ]
