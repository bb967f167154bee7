"""The engine: filter, score, pick, and explain. Pure, so that production and the simulator share it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from models.errors import ConfigError
from models.types import Objective
from policies.advice import advise
from policies.base import Candidate, Decision, Rejected, Scored
from policies.candidates import Candidates, PlanKey, predict
from policies.counter import counter_offers as find_counter_offers
from policies.durations import default_seconds
from policies.fleet import idle_fleet
from policies.load import wait_seconds
from policies.quality import preference

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from models.catalog import Catalog
    from models.gpus import GpuType
    from policies.base import CounterOffer, Fleet, Pool, RouteRequest
    from policies.candidates import OfferEntry, Planned, Row
    from policies.profile import CandidateReject, OfferReject, Profile

__all__ = ["Engine", "idle_fleet"]

AUTO = "auto"


class Serving(NamedTuple):
    """The pools of one offer, each with the seconds that a new clip waits there."""

    pools: list[tuple[Pool, float]]
    largest_gang: int


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
        self._candidates = Candidates(catalog, gpus)
        self._last: tuple[Fleet, dict[tuple[str, str], Serving]] | None = None

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
            self._catalog.get(request.model)
        profile = self._profiles[request.objective.value]
        kept, rejected = self._gather(request, fleet, profile, exclude)
        ordered = profile.picker.order(request, _score(profile, request, kept)) if kept else ()
        chosen = ordered[0] if ordered else None
        counters: Sequence[CounterOffer] = ()
        if chosen is None and counter_offers:
            counters = find_counter_offers(
                request,
                lambda changed: self.decide(changed, fleet, counter_offers=False, exclude=exclude),
                self._catalog,
            )
        return Decision(
            profile=profile.name,
            features=request.features,
            chosen=chosen,
            fallbacks=_fallbacks(ordered, profile.fallbacks),
            candidates=tuple(ordered),
            rejected=tuple(rejected),
            counter_offers=tuple(counters),
            advice=advise(request, chosen),
        )

    def _gather(
        self, request: RouteRequest, fleet: Fleet, profile: Profile, exclude: frozenset[str]
    ) -> tuple[list[Candidate], list[Rejected]]:
        """Candidates that pass every filter, and one row for each offer or mode that has none."""
        pools = self._serving(fleet)
        photo = request.features.image.size
        key = PlanKey(
            photo.aspect,
            request.wish,
            profile.tolerance,
            default_seconds(request),
            request.has_last_image,
            request.driving_seconds,
            request.audio_seconds,
        )
        sheet = self._candidates.sheet(key)
        offer_filters = [(n, reject) for n, reject, applies in profile.offer_filters if applies(request)]
        filters = [(n, reject) for n, reject, applies in profile.candidate_filters if applies(request)]
        kept: list[Candidate] = []
        rejected: list[Rejected] = []
        for entry in self._candidates.entries:
            serving = pools.get(entry.key)
            out = _reject_offer(offer_filters, request, entry, serving, exclude)
            if out is not None:
                rejected.append(Rejected(*entry.key, *out))
            if out is not None or serving is None:
                continue
            for row in entry.rows:
                planned = self._candidates.planned(row, photo, key, sheet)
                if isinstance(planned, str):
                    rejected.append(Rejected(*entry.key, "geometry", row.prefix + planned))
                    continue
                out = self._row(request, profile, filters, entry, row, planned, serving, kept)
                if out is not None:
                    rejected.append(Rejected(*entry.key, out[0], row.prefix + out[1]))
        return kept, rejected

    def _serving(self, fleet: Fleet) -> dict[tuple[str, str], Serving]:
        """Who serves each (model, offer). Many decisions in a row see the same fleet."""
        last = self._last
        if last is None or last[0] is not fleet:
            last = self._last = (fleet, _serving(fleet))
        return last[1]

    def _row(
        self,
        request: RouteRequest,
        profile: Profile,
        filters: Sequence[tuple[str, CandidateReject]],
        entry: OfferEntry,
        row: Row,
        planned: Planned,
        serving: Serving,
        kept: list[Candidate],
    ) -> tuple[str, str] | None:
        """Add this mode's candidates to `kept`; when there is none, the (filter, reason) that came last.

        Of several rejected candidates the one that was nearest to an answer speaks: it passed most filters,
        then it is the soonest under a deadline and the cheapest without.
        """
        any_kept = False
        furthest: tuple[float, ...] = ()
        out: tuple[str, str] | None = None
        card, offer, mode, plan = entry.card, entry.offer, row.mode, planned.plan
        quality = preference(card.quality.rating[0], profile.reference_elo)
        for pool, wait in serving.pools:
            gang = pool.gang_size
            for gpus in entry.degrees:
                if gpus > gang:
                    break
                priced = self._candidates.priced(entry, row, planned, pool, gpus, request.generate_audio)
                prediction = predict(priced, pool, wait, quality, request.deadline_s, row.by_gpu)
                made = Candidate(card, offer, mode, plan, gpus, pool, prediction)
                for name, reject in filters:
                    reason = reject(request, made)
                    if reason is not None:
                        if not any_kept:
                            near = (profile.place[name], *_nearness(request, made))
                            if near > furthest:
                                furthest, out = near, (name, reason)
                        break
                else:
                    kept.append(made)
                    any_kept = True
        return None if any_kept else out


def _serving(fleet: Fleet) -> dict[tuple[str, str], Serving]:
    by_offer: dict[tuple[str, str], list[tuple[Pool, float]]] = {}
    for pool in fleet.pools:
        by_offer.setdefault((pool.model, pool.offer), []).append((pool, wait_seconds(pool)))
    return {
        offer: Serving(pools, max(pool.gang_size for pool, _ in pools)) for offer, pools in by_offer.items()
    }


def _reject_offer(
    filters: Sequence[tuple[str, OfferReject]],
    request: RouteRequest,
    entry: OfferEntry,
    serving: Serving | None,
    exclude: frozenset[str],
) -> tuple[str, str] | None:
    """(filter, reason) that takes the whole offer out, or None."""
    for name, reject in filters:
        reason = reject(request, entry.card, entry.offer)
        if reason is not None:
            return name, reason
    if entry.name in exclude:
        return "excluded", "this offer has already refused the job"
    if serving is None:
        return "health", "no replica of this offer is deployed"
    least = entry.degrees[0] if entry.degrees else 0
    if not 1 <= least <= serving.largest_gang:
        return "gang", f"one clip needs {least} GPUs; its largest gang has {serving.largest_gang}"
    return None


def _nearness(request: RouteRequest, made: Candidate) -> tuple[float, float]:
    prediction = made.prediction
    if request.deadline_s is not None:
        return prediction.on_time, -prediction.seconds
    return 0.0, -(prediction.usd if prediction.usd is not None else prediction.gpu_seconds)


def _score(profile: Profile, request: RouteRequest, kept: Sequence[Candidate]) -> list[Scored]:
    columns = profile.scorers
    values = [_clamped(scorer.score(request, kept)) for scorer, _ in columns]
    return [
        Scored(made, 0.0, row, columns, request)
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
