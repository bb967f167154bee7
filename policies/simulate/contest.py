"""All policies on the same jobs in the same world, as rows of figures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

from models.errors import InvalidRequest
from policies.engine import Engine
from policies.simulate.ablations import ablations, production
from policies.simulate.baselines import Forwarding, rules
from policies.simulate.bounds import with_capacity, without_queues
from policies.simulate.events import Yard
from policies.simulate.menu import Menu
from policies.simulate.metrics import measure, reliability

if TYPE_CHECKING:
    from policies.profile import Profile
    from policies.simulate.baselines import Rule
    from policies.simulate.events import Kind, Policy
    from policies.simulate.world import Arrival, World

PRODUCTION = "production"
GROUPS = ("production", "baselines", "ablations", "all")


@dataclass(frozen=True, slots=True)
class Entrant:
    """A policy that may take part. `make` gives a fresh one, since policies keep queues and learn."""

    name: str
    kind: Kind
    make: Callable[[World, Menu, Mapping[str, Profile]], Policy]


def entrants() -> list[Entrant]:
    """Production, every baseline, every ablation, in the order of reports."""
    found = [Entrant(PRODUCTION, "production", lambda world, _, profiles: production(world, profiles))]
    for rule in rules():
        found.append(Entrant(rule.name, "baseline", _forwarding(type(rule))))
    for name, ablated in ablations().items():
        found.append(Entrant(name, "ablation", _ablated(name, ablated)))
    return found


def chosen(names: Iterable[str] | None) -> list[Entrant]:
    """Entrants by name or group (`production`, `baselines`, `ablations`, `all`); None is all.

    Raises:
        InvalidRequest: a name is not known; lists those that are.
    """
    known = entrants()
    if names is None:
        return known
    wanted: set[str] = set()
    for name in names:
        if name in ("baselines", "ablations", "all"):
            wanted |= {e.name for e in known if name == "all" or e.kind == name.removesuffix("s")}
        elif name in {entrant.name for entrant in known}:
            wanted.add(name)
        else:
            allowed = [*GROUPS, *(e.name for e in known if e.name != PRODUCTION)]
            raise InvalidRequest(
                f"no policy is called {name!r}; known: {', '.join(allowed)}",
                param="policies",
                allowed=allowed,
            )
    return [entrant for entrant in known if entrant.name in wanted]


def compete(
    world: World,
    jobs: Sequence[Arrival],
    profiles: Mapping[str, Profile],
    policies: Sequence[Entrant],
) -> list[dict[str, Any]]:
    """A row for each policy: name, kind and its metrics.

    Args:
        world: Where.
        jobs: What comes.
        profiles: Production's.
        policies: Who takes part.
    """
    menu = Menu(world, Engine(world.catalog, world.gpus, profiles))
    rows = []
    for entrant in policies:
        policy = entrant.make(world, menu, profiles)
        began = perf_counter()
        tales = Yard(world, policy).play(jobs)
        spent = perf_counter() - began
        row: dict[str, Any] = {"policy": entrant.name, "kind": entrant.kind}
        row |= measure(tales, world, menu).row()
        row["reliability"] = reliability(tales)
        row["decisions"] = policy.decisions
        row["decisions_per_s"] = policy.decisions / spent if spent > 0.0 else 0.0
        rows.append(row)
    return rows


def ceilings(world: World, jobs: Sequence[Arrival], profiles: Mapping[str, Profile]) -> dict[str, float]:
    """What nobody exceeds (see `policies.simulate.bounds`), and the share of jobs that anyone can afford."""
    menu = Menu(world, Engine(world.catalog, world.gpus, profiles))
    return {
        "bound_without_queues": without_queues(jobs, menu),
        "bound_with_capacity": with_capacity(jobs, menu, world),
        "budget_feasible": sum(bool(menu.in_budget(job)) for job in jobs) / len(jobs),
    }


def _forwarding(rule: type[Rule]) -> Callable[[World, Menu, Mapping[str, Profile]], Policy]:
    return lambda world, menu, profiles: Forwarding(rule(), menu)


def _ablated(
    name: str, make: Callable[[World, Mapping[str, Profile]], Policy]
) -> Callable[[World, Menu, Mapping[str, Profile]], Policy]:
    def made(world: World, menu: Menu, profiles: Mapping[str, Profile]) -> Policy:
        del menu
        policy = make(world, profiles)
        policy.name, policy.kind = name, "ablation"
        return policy

    return made
