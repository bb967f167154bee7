"""All policies on the same clips, as rows of figures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from time import process_time
from typing import TYPE_CHECKING, Any, Literal

from models.errors import InvalidRequest
from policies.gang import GangPolicy
from policies.gang_scheduler import GangScheduler
from policies.simulate.gang.baselines import Fixed, Greedy, Program, Static
from policies.simulate.gang.metrics import measure
from policies.simulate.gang.notes import NotesPlanner
from policies.simulate.gang.pool import Pool

if TYPE_CHECKING:
    from policies.simulate.gang.workload import Job

PRODUCTION = "production"
ROUNDS = (5.0, 15.0, 30.0)
"""Seconds of a round."""
GROUPS = ("production", "baselines", "ablations", "all")


@dataclass(frozen=True, slots=True)
class Entrant:
    """A policy that may take part; `make` gives a fresh one. With `period` it decides so often only."""

    name: str
    kind: Literal["production", "baseline", "ablation"]
    make: Callable[[], GangPolicy]
    period: float | None = None


def entrants() -> list[Entrant]:
    """Production, every baseline, every ablation, in the order of reports."""
    return [Entrant(PRODUCTION, "production", GangScheduler), *_baselines(), *_parts(), *_earlier()]


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


def compete(jobs: Sequence[Job], nodes: Sequence[int], policies: Sequence[Entrant]) -> list[dict[str, Any]]:
    """A row for each policy: name, kind, its metrics, and production's lead in points of SLO (paired)."""
    rows = []
    for entrant in policies:
        pool = Pool(nodes, entrant.make(), entrant.period)
        began = process_time()
        tales = pool.play(jobs)
        spent = process_time() - began
        row: dict[str, Any] = {"policy": entrant.name, "kind": entrant.kind} | measure(tales).row()
        row["decisions"] = pool.decisions
        row["decisions_per_s"] = pool.decisions / spent if spent > 0.0 else 0.0
        rows.append(row)
    ours = next((row["slo_attainment"] for row in rows if row["policy"] == PRODUCTION), None)
    for row in rows:
        if ours is not None and row["policy"] != PRODUCTION:
            row["lead_points"] = 100.0 * (ours - row["slo_attainment"])
    return rows


def _baselines() -> list[Entrant]:
    found = [
        Entrant(f"fixed{k}_{queue}", "baseline", _fixed(k, queue))
        for queue in ("fifo", "edf")
        for k in (1, 2, 4, 8)
    ]
    found += [
        Entrant("rssp_fifo", "baseline", lambda: Static("fifo")),
        Entrant("rssp_edf", "baseline", lambda: Static("edf")),
        Entrant("tridentserve_ilp", "baseline", Program),
        Entrant("ddit_greedy", "baseline", Greedy),
    ]
    return found + [
        Entrant(f"tetriserve_rounds_{period:g}", "baseline", _rounds(period), period) for period in ROUNDS
    ]


def _parts() -> list[Entrant]:
    """Production with one part taken out or changed."""
    parts: dict[str, Callable[[], GangPolicy]] = {
        "no_rescue": lambda: GangScheduler(rescues=False),
        "no_overhang_limit": lambda: GangScheduler(overhang_s=1e9),
        "no_company_for_decodes": lambda: GangScheduler(company=1),
        "no_insistence": lambda: GangScheduler(insistence=1.0),
        "no_second_promise": lambda: GangScheduler(patience_s=1e6),
        "patience_250": lambda: GangScheduler(patience_s=250.0),
        "patience_1000": lambda: GangScheduler(patience_s=1000.0),
        "insistence_1.5": lambda: GangScheduler(insistence=1.5),
        "top_degree_4": lambda: GangScheduler(top=4),
        "quantum_5s": lambda: GangScheduler(quantum_s=5.0),
        "no_margin": lambda: GangScheduler(margin=1.0),
    }
    found = [Entrant(name, "ablation", make) for name, make in parts.items()]
    return found + [
        Entrant(f"production_rounds_{period:g}", "ablation", _production_rounds(period), period)
        for period in ROUNDS
    ]


def _earlier() -> list[Entrant]:
    """The planner before this one, and its parts."""
    parts: dict[str, Callable[[], GangPolicy]] = {
        "notes": NotesPlanner,
        "notes_floor_0.5": lambda: NotesPlanner(floor=0.5),
        "notes_floor_0.8": lambda: NotesPlanner(floor=0.8),
        "notes_quantum_2": lambda: NotesPlanner(quantum=2),
        "notes_quantum_4": lambda: NotesPlanner(quantum=4),
        "notes_order_edf": lambda: NotesPlanner(order="edf"),
        "notes_order_llf": lambda: NotesPlanner(order="llf"),
        "notes_order_area": lambda: NotesPlanner(order="area"),
        "notes_no_growth": lambda: NotesPlanner(floor=None),
        "notes_decode_on_all": lambda: NotesPlanner(decode_on_all=True),
        "notes_no_preemption": lambda: NotesPlanner(preempts=False),
        "notes_fixed_degree": lambda: NotesPlanner(changes_degree=False),
        "notes_k_star": lambda: NotesPlanner(smallest=False),
    }
    return [Entrant(name, "ablation", make) for name, make in parts.items()]


def _fixed(degree: int, queue: str) -> Callable[[], GangPolicy]:
    return lambda: Fixed(degree, "edf" if queue == "edf" else "fifo")


def _rounds(period: float) -> Callable[[], GangPolicy]:
    return lambda: NotesPlanner(round_s=period)


def _production_rounds(period: float) -> Callable[[], GangPolicy]:
    return lambda: GangScheduler(quantum_s=period)
