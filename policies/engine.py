"""The engine: filter, score, pick, and explain. Pure, so that production and the simulator share it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from models.errors import ConfigError
from models.types import Objective
from policies.advice import advise
from policies.base import Decision, Scored
from policies.calibration import slice_of
from policies.clash import find_clashes
from policies.counter import counter_offers as find_counter_offers
from policies.fleet import idle_fleet
from policies.gather import Gatherer
from policies.longer import long_clip_note
from policies.ordering import EQUAL
from policies.wishes import AUTO

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from models.catalog import Catalog
    from models.gpus import GpuType
    from policies.base import Candidate, Clash, CounterOffer, Fleet, Rejected, RouteRequest
    from policies.profile import Profile

__all__ = ["Engine", "idle_fleet"]

_new = tuple.__new__
"""Makes named tuples by the hundred: their own constructors take twice as long."""


class Engine:
    """Decides which model, offer, geometry and GPUs make a clip."""

    def __init__(
        self, catalog: Catalog, gpus: Mapping[str, GpuType], profiles: Mapping[str, Profile]
    ) -> None:
        """Compile the catalog.

        Raises:
            ConfigError: an objective has no profile.
        """
        missing = [objective.value for objective in Objective if objective.value not in profiles]
        if missing:
            raise ConfigError(
                f"no profile for {', '.join(missing)}", param="profiles", allowed=sorted(profiles)
            )
        self._catalog = catalog
        self._profiles = dict(profiles)
        self._gatherer = Gatherer(catalog, gpus, profiles)

    def profile(self, objective: Objective) -> Profile:
        """How an objective decides."""
        return self._profiles[objective.value]

    def decide(
        self,
        request: RouteRequest,
        fleet: Fleet,
        *,
        counter_offers: bool = True,
        exclude: frozenset[str] = frozenset(),
    ) -> Decision:
        """The decision for one request on the fleet as it is now.

        Args:
            request: What is asked.
            fleet: Pools and their load.
            counter_offers: When nothing fits, look for the smallest changes under which something does.
            exclude: Offers (`model/offer`) that already refused this job.

        Raises:
            UnknownModel: `request.model` names no card.
        """
        if request.model != AUTO:
            named = self._catalog.get(request.model).id
            request = request if named == request.model else replace(request, model=named)
        profile = self._profiles[request.objective.value]
        kept, rejected = self._gatherer.gather(request, fleet, profile, exclude)
        ordered = profile.picker.order(request, _score(profile, request, kept)) if kept else ()
        chosen = ordered[0] if ordered else None
        counters: Sequence[CounterOffer] = ()
        clashes: Sequence[Clash] = ()
        if chosen is None and counter_offers:
            known: dict[RouteRequest, Decision] = {}

            def decide(changed: RouteRequest) -> Decision:
                found = known.get(changed)
                if found is None:
                    found = self.decide(changed, fleet, counter_offers=False, exclude=exclude)
                    known[changed] = found
                return found

            clashes = find_clashes(request, decide)
            counters = find_counter_offers(request, decide, self._catalog)
        return Decision(
            profile=profile.name,
            features=request.features,
            chosen=chosen,
            fallbacks=_fallbacks(ordered, profile.fallbacks),
            candidates=tuple(ordered),
            rejected=_own_first(rejected, request.model),
            counter_offers=tuple(counters),
            advice=advise(request, chosen),
            clashes=tuple(clashes),
            notes=_notes(request, fleet, ordered),
        )


def _own_first(rejected: Sequence[Rejected], model: str) -> tuple[Rejected, ...]:
    """What is said of the asked model first, what is said of retired ones last."""
    ordered: tuple[list[Rejected], ...] = ([], [], [])
    for row in rejected:
        ordered[0 if row.model == model else 2 if row.filter == "lifecycle" else 1].append(row)
    own, others, gone = ordered
    return (*own, *others, *gone)


def _notes(request: RouteRequest, fleet: Fleet, ordered: Sequence[Scored]) -> tuple[str, ...]:
    """How the choice was made where that is not the rule, and why a long clip is made as it is."""
    told = (*_learning(request, fleet, ordered), long_clip_note(ordered))
    return tuple(note for note in told if note is not None)


def _learning(request: RouteRequest, fleet: Fleet, ordered: Sequence[Scored]) -> tuple[str, ...]:
    """Where the choice is not by the highest utility and all that is known."""
    part = slice_of(request.draw, request.objective)
    if part == "hold_out" and fleet.beliefs:
        return ("held out: decided without what votes have taught, so that their worth can be measured",)
    if part == "explore" and ordered:
        best = max(ordered, key=lambda scored: scored.utility)
        chosen = ordered[0]
        behind = best.utility - chosen.utility
        if behind > EQUAL:
            return (
                f"explored: {chosen.candidate.card.id} is tried although {best.candidate.card.id} is valued "
                f"{behind:.3f} higher",
            )
    return ()


def _score(profile: Profile, request: RouteRequest, kept: Sequence[Candidate]) -> list[Scored]:
    columns = profile.scorers
    values = [_clamped(scorer.score(request, kept)) for scorer, _ in columns]
    return [
        _new(Scored, (made, 0.0, row, columns, request))
        for made, row in zip(kept, zip(*values, strict=True), strict=True)
    ]


def _clamped(values: Sequence[float]) -> Sequence[float]:
    if min(values) >= 0.0 and max(values) <= 1.0:
        return values
    return [min(1.0, max(0.0, value)) for value in values]


def _fallbacks(ordered: Sequence[Scored], most: int) -> tuple[Scored, ...]:
    """The best candidate of each offer other than the chosen one, in order."""
    seen: set[tuple[str, str]] = set()
    best = []
    for scored in ordered:
        key = (scored.candidate.card.id, scored.candidate.offer.id)
        if key not in seen:
            seen.add(key)
            best.append(scored)
            if len(best) > most:
                break
    return tuple(best[1:])
