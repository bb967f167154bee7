"""Gathering: every candidate that passes the filters, and why each offer that has none is out.

Deciding again is what costs, so what does not change between decisions is kept: which offers a kind of
request admits, what each pool has in hand, which filters can say anything about a mode or a pool. What is
kept follows from its key alone: keeping it changes no decision.
"""

from __future__ import annotations

from bisect import bisect_right
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

from policies.base import Candidate, Rejected
from policies.calibration import slice_of
from policies.candidates import Candidates, PlanKey, make_room, predict
from policies.durations import default_seconds
from policies.fairness import BANDS
from policies.filters.lifecycle import gone
from policies.load import roll_forward
from policies.quality import Rating, Standing, adapted, evidence, expected, standing, use_case

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from models.catalog import Catalog
    from models.gpus import GpuType
    from policies.base import Beliefs, Fleet, Pool, RouteRequest
    from policies.candidates import OfferEntry, Planned, Row
    from policies.load import Backlog
    from policies.profile import CandidateReject, OfferReject, Profile

    Filters = tuple[tuple[str, CandidateReject], ...]
    Sweep = Callable[
        [OfferEntry, Row, Planned, Sequence["Rolled"], tuple[float, Rating], list[Candidate]],
        tuple[str, str] | None,
    ]

MOST_KINDS = 512
"""Kinds of request whose admitted offers are kept (1 kB each for fifty cards)."""

UNUSED = 0.0
"""Default duration of a request that says how long its clip shall be: equal wishes share their plans."""
NOT_RATED = Rating(0.0, 0.0)

_new = tuple.__new__
"""Makes named tuples by the hundred: their own constructors take twice as long."""


class Rolled(NamedTuple):
    """A pool with its work in hand rolled forward."""

    pool: Pool
    backlog: Backlog
    masks: dict[str, int]
    """By profile: which of its candidate filters can say something about the pool, as bits in their order."""


class Serving(NamedTuple):
    """The pools of one offer."""

    pools: list[Rolled]
    largest_gang: int


class Terms(NamedTuple):
    """A profile, compiled for gathering."""

    profile: Profile
    leading: int
    """How many offer filters, from the first, say what they read of a request."""
    modes: tuple[int, ...]
    """By row: which candidate filters can say something about its mode, as bits in their order."""
    by_mask: dict[int, Filters]
    """Candidate filters of each set of bits that came up."""


class Gatherer:
    """Finds the candidates of requests on fleets, over one catalog."""

    def __init__(
        self, catalog: Catalog, gpus: Mapping[str, GpuType], profiles: Mapping[str, Profile]
    ) -> None:
        self._candidates = Candidates(catalog, gpus)
        self._standings = _standings(self._candidates.entries)
        self._terms = {name: self._compiled(profile) for name, profile in profiles.items()}
        self._gone = [Rejected(card.id, "", "lifecycle", gone(card)) for card in catalog if not card.offers]
        self._admitted: dict[tuple[Any, ...], tuple[Rejected | None, ...]] = {}
        self._rolled: dict[int, Rolled] = {}
        self._last: tuple[Fleet, tuple[Serving | Rejected, ...]] | None = None

    def gather(
        self, request: RouteRequest, fleet: Fleet, profile: Profile, exclude: frozenset[str]
    ) -> tuple[list[Candidate], list[Rejected]]:
        """Candidates that pass every filter, and one row for each offer or mode that has none."""
        terms = self._terms[profile.name]
        photo = request.features.image.size
        key = PlanKey(
            photo.aspect,
            request.wish,
            profile.tolerance,
            default_seconds(request) if request.wish.seconds is None else UNUSED,
            request.has_last_image,
            request.driving_seconds,
            request.audio_seconds,
        )
        sheet = self._candidates.sheet(key)
        plans = sheet.plans
        applying = [
            (name, reject)
            for name, reject, applies in profile.offer_filters[terms.leading :]
            if applies(request)
        ]
        judge = self._judge(request, fleet, profile)
        sweep = self._sweep(request, terms)
        kept: list[Candidate] = []
        rejected = list(self._gone)
        for entry, refused, serving in zip(
            self._candidates.entries, self._admits(request, terms), self._serving(fleet), strict=True
        ):
            if refused is not None:
                rejected.append(refused)
                continue
            if isinstance(serving, Rejected):
                rejected.append(serving)
                continue
            out = _asked(applying, request, entry, exclude)
            if out is not None:
                rejected.append(out)
                continue
            pools = serving.pools
            quality: tuple[float, Rating] | None = None
            for row in entry.rows:
                planned = plans[row.limits]
                if planned is None:
                    planned = self._candidates.planned(row, photo, key, sheet)
                if isinstance(planned, str):
                    if row.spare:
                        continue
                    rejected.append(_new(Rejected, (*entry.key, "geometry", row.prefix + planned)))
                    continue
                if quality is None:
                    quality = judge(entry)
                said = sweep(entry, row, planned, pools, quality, kept)
                if said is not None:
                    rejected.append(_new(Rejected, (*entry.key, said[0], row.prefix + said[1])))
        return kept, rejected

    def _sweep(self, request: RouteRequest, terms: Terms) -> Sweep:
        """What adds the candidates of one mode to those kept, or tells who rejected the last one and why.

        Of several rejected candidates the one that was nearest to an answer speaks: it passed most filters,
        then it is the soonest under a deadline and the cheapest without.

        A closure, since it is called for every mode of every offer: what is the same for all of them is
        looked up once.
        """
        profile, modes, by_mask = terms.profile, terms.modes, terms.by_mask
        name, place = profile.name, profile.place
        applying = 0
        for bit, (_, _, applies) in enumerate(profile.candidate_filters):
            applying |= applies(request) << bit
        deadline_s, with_audio = request.deadline_s, request.generate_audio
        band = BANDS[request.priority]
        asked_place = (band, inf if deadline_s is None else deadline_s)
        price = self._candidates.priced

        def sweep(
            entry: OfferEntry,
            row: Row,
            planned: Planned,
            pools: Sequence[Rolled],
            quality: tuple[float, Rating],
            kept: list[Candidate],
        ) -> tuple[str, str] | None:
            before = len(kept)
            furthest: tuple[float, ...] = ()
            out: tuple[str, str] | None = None
            card, offer, degrees, whole = entry.card, entry.offer, entry.degrees, entry.whole
            mode, known, by_gpu = row.mode, row.priced, row.by_gpu
            plan, made_as = planned
            chance, rating = quality
            asked = applying & modes[row.number]
            for pool, backlog, masks in pools:
                bits = asked & (masks[name] if name in masks else _pool_mask(profile, pool, masks))
                filters = by_mask.get(bits)
                if filters is None:
                    filters = by_mask[bits] = _of_bits(profile, bits)
                gang, gpu = pool.gang_size, pool.gpu
                # As `Backlog.waits`, which is asked once for each mode and pool.
                places, starts, congestion = backlog
                waits = starts[band][bisect_right(places, asked_place) if places else 0]
                for gpus in (gang,) if whole else degrees:
                    if gpus > gang:
                        break
                    priced = known.get((made_as, gpu, gpus, with_audio))
                    if priced is None:
                        priced = price(entry, row, planned, pool, gpus, with_audio)
                    wait = waits[gpus.bit_length() - 1]
                    predicted = predict(priced, pool, wait, chance, deadline_s, by_gpu, congestion, rating)
                    made = _new(Candidate, (card, offer, mode, plan, gpus, pool, predicted))
                    for filtered_by, reject in filters:
                        reason = reject(request, made)
                        if reason is not None:
                            if len(kept) == before:
                                near = (place[filtered_by], *_nearness(request, made))
                                if near > furthest:
                                    furthest, out = near, (filtered_by, reason)
                            break
                    else:
                        kept.append(made)
            return None if len(kept) > before else out

        return sweep

    def _judge(
        self, request: RouteRequest, fleet: Fleet, profile: Profile
    ) -> Callable[[OfferEntry], tuple[float, Rating]]:
        """What tells the expected preference of the clips of an offer's card, and the rating behind it."""
        standings, seen, use = self._standings, evidence(request), use_case(request)
        held_out = slice_of(request.draw, request.objective) == "hold_out"
        beliefs: Beliefs = {} if held_out else fleet.beliefs
        reference = profile.reference_elo
        last: Standing | None = None
        found = (0.0, NOT_RATED)

        def judge(entry: OfferEntry) -> tuple[float, Rating]:
            nonlocal last, found
            # Offers of one card stand next to each other, and most of them in the same standing.
            mine = standings[entry.number]
            if mine is not last:
                last = mine
                belief = beliefs.get((entry.card.id, use)) if beliefs else None
                found = expected(mine, seen, belief, reference)
            return found

        return judge

    def _compiled(self, profile: Profile) -> Terms:
        leading = 0
        for reads in profile.offer_reads:
            if reads is None:
                break
            leading += 1
        rows = sorted(
            (row for entry in self._candidates.entries for row in entry.rows), key=lambda row: row.number
        )
        modes = tuple(
            sum(
                (on_mode is None or not on_mode(row.mode)) << bit
                for bit, (on_mode, _) in enumerate(profile.silences)
            )
            for row in rows
        )
        return Terms(profile, leading, modes, {})

    def _admits(self, request: RouteRequest, terms: Terms) -> tuple[Rejected | None, ...]:
        """For each offer, what the leading offer filters say."""
        profile, leading = terms.profile, terms.leading
        reads = profile.offer_reads[:leading]
        key = (profile.name, *[read(request) for read in reads if read is not None])
        found = self._admitted.get(key)
        if found is None:
            make_room(self._admitted, MOST_KINDS)
            filters = [
                (n, reject) for n, reject, applies in profile.offer_filters[:leading] if applies(request)
            ]
            found = self._admitted[key] = tuple(
                next(
                    (
                        Rejected(*entry.key, name, reason)
                        for name, reject in filters
                        if (reason := reject(request, entry.card, entry.offer)) is not None
                    ),
                    None,
                )
                for entry in self._candidates.entries
            )
        return found

    def _serving(self, fleet: Fleet) -> tuple[Serving | Rejected, ...]:
        """Who serves each offer, or why nobody does. Decisions in a row see the same fleet, or most of it."""
        last = self._last
        if last is None or last[0] is not fleet:
            known = self._rolled
            roll = _Rolling()
            self._rolled = {
                id(pool): known.get(id(pool)) or Rolled(pool, roll(pool), {}) for pool in fleet.pools
            }
            by_offer: dict[tuple[str, str], list[Rolled]] = {}
            for rolled in self._rolled.values():
                by_offer.setdefault((rolled.pool.model, rolled.pool.offer), []).append(rolled)
            last = self._last = (
                fleet,
                tuple(_served(entry, by_offer.get(entry.key)) for entry in self._candidates.entries),
            )
        return last[1]


class _Rolling:
    """Rolls pools of one fleet forward, those that share their load (offers of one account) once."""

    def __init__(self) -> None:
        self._known: dict[tuple[float, ...], Backlog] = {}

    def __call__(self, pool: Pool) -> Backlog:
        # Identities: the fleet holds the tuples as long as this lives, and comparing them takes too long.
        key = (
            *(id(pool.waiting), id(pool.busy_seconds), id(pool.busy_gpus), pool.replicas, pool.gang_size),
            *(pool.cold_start_s, pool.queued_seconds, pool.congestion, pool.gpu == "hosted"),
        )
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = roll_forward(pool)
        return found


def _standings(entries: Sequence[OfferEntry]) -> tuple[Standing, ...]:
    """By entry; offers of one card that rate alike share one."""
    shared: dict[tuple[str, float], Standing] = {}
    by_entry = []
    for entry in entries:
        offset = adapted(entry.offer)
        key = (entry.card.id, offset)
        if key not in shared:
            shared[key] = standing(entry.card, offset)
        by_entry.append(shared[key])
    return tuple(by_entry)


def _asked(
    filters: Sequence[tuple[str, OfferReject]],
    request: RouteRequest,
    entry: OfferEntry,
    exclude: frozenset[str],
) -> Rejected | None:
    """What takes an offer out that is asked afresh each time."""
    for name, reject in filters:
        reason = reject(request, entry.card, entry.offer)
        if reason is not None:
            return Rejected(*entry.key, name, reason)
    if exclude and entry.name in exclude:
        return Rejected(*entry.key, "excluded", "this offer has already refused the job")
    return None


def _served(entry: OfferEntry, pools: list[Rolled] | None) -> Serving | Rejected:
    if pools is None:
        return Rejected(*entry.key, "health", "no replica of this offer is deployed")
    largest = max(rolled.pool.gang_size for rolled in pools)
    least = 1 if entry.whole else entry.degrees[0] if entry.degrees else 0
    if not 1 <= least <= largest:
        return Rejected(*entry.key, "gang", f"one clip needs {least} GPUs; its largest gang has {largest}")
    return Serving(pools, largest)


def _pool_mask(profile: Profile, pool: Pool, masks: dict[str, int]) -> int:
    mask = masks[profile.name] = sum(
        (on_pool is None or not on_pool(pool)) << bit for bit, (_, on_pool) in enumerate(profile.silences)
    )
    return mask


def _of_bits(profile: Profile, bits: int) -> Filters:
    return tuple(
        (name, reject) for bit, (name, reject, _) in enumerate(profile.candidate_filters) if bits >> bit & 1
    )


def _nearness(request: RouteRequest, made: Candidate) -> tuple[float, float]:
    prediction = made.prediction
    if request.deadline_s is not None:
        return prediction.on_time, -prediction.seconds
    return 0.0, -(prediction.usd if prediction.usd is not None else prediction.gpu_seconds)
