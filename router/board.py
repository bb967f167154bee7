"""What one tick of the dispatcher knows: the fleet, and the room of each pool."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from models.types import Priority
from policies.base import Fleet, Pool, Waiting
from policies.fairness import room as held_back
from router.accounts import loaded
from router.fleet import LiveFleet, band, healed
from router.health import OfferKey
from router.jobs.records import Attempt, Job, PoolRecord, Worker


def free_slots(
    pools: Sequence[PoolRecord], workers: Sequence[Worker], running: Sequence[Attempt], *, waiting: int
) -> Counter[str]:
    """How many more jobs each pool may be handed now. Pure.

    Ready slots less attempts in hand; one more while the pool may still grow and no call of ours waits in it,
    since Serve scales on calls that wait (from zero, and upwards when all replicas are busy).
    """
    slots: Counter[str] = Counter()
    live: Counter[str] = Counter()
    for worker in workers:
        if worker.state == "ready":
            slots[worker.pool] += worker.slots
        live[worker.pool] += 1
    held: Counter[str] = Counter(attempt.pool for attempt in running)
    room: Counter[str] = Counter()
    for pool in pools:
        free = slots[pool.name] - held[pool.name]
        grows = live[pool.name] < pool.max_replicas and held[pool.name] <= slots[pool.name]
        room[pool.name] = max(free, 1 if grows and waiting else 0, 0)
    return room


def follow_slots(workers: Sequence[Worker], running: Sequence[Attempt]) -> Counter[str]:
    """How many more jobs with a call under way each pool's workers take that may send nothing new. Pure."""
    away: Counter[str] = Counter()
    ready: Counter[str] = Counter()
    for worker in workers:
        if worker.state == "away":
            away[worker.pool] += worker.slots
        elif worker.state == "ready":
            ready[worker.pool] += worker.slots
    held: Counter[str] = Counter(attempt.pool for attempt in running)
    return Counter({pool: max(0, slots - max(0, held[pool] - ready[pool])) for pool, slots in away.items()})


@dataclass(slots=True)
class Board:
    """Changes as jobs are placed, so that each decision of a tick sees the ones before it."""

    fleet: LiveFleet
    room: Counter[str]
    under_way: Counter[OfferKey] = field(default_factory=Counter)
    """Attempts that hold a lease, by offer."""
    follow_room: Counter[str] = field(default_factory=Counter)
    """Places beyond `room` that take only jobs whose call is under way: workers that may send nothing new."""

    @property
    def full(self) -> bool:
        """True when no pool has room for new work."""
        return not any(self.room.values())

    @property
    def healed(self) -> Fleet:
        """The fleet as it would be if every pool that may recover had."""
        return healed(self.fleet)

    def has_room(self, pool: Pool, priority: Priority) -> bool:
        """True when a job of this priority may be handed to the pool now.

        A pool that cannot grow holds slots back from lower bands, except an account, where they fall free all
        the time; an offer on probation takes one attempt.
        """
        if self.room[pool.name] < 1:
            return False
        offer = (pool.model, pool.offer)
        if offer in self.fleet.probation and self.under_way[offer] > 0:
            return False
        if pool.name in self.fleet.accounts:
            return True
        busy = len(pool.busy_seconds)
        return pool.replicas < pool.max_replicas or busy < held_back(priority, pool.replicas * pool.slots)

    def takes_follow_up(self, name: str) -> bool:
        """True when a job whose call is under way may be handed to the pool of that name now."""
        return self.room[name] > 0 or self.follow_room[name] > 0

    def knows_no_room(self, model: str) -> bool:
        """True when the model has pools here, and none of them has room."""
        names = {pool.name for pool in self.fleet.pools if pool.model == model}
        return bool(names) and not any(self.room[name] for name in names)

    def rest(self, resting: Mapping[str, str]) -> None:
        """Pools that turned a job away a moment ago are not asked now."""

        def rested(pool: Pool) -> Pool:
            return replace(pool, healthy=False, reason=resting[pool.name])

        for name in resting:
            self._change(name, rested)

    def occupy(self, pool: Pool, seconds: float, gpus: int = 1) -> None:
        """A job was handed to the pool, to run on so many GPUs of one of its replicas."""
        self.room[pool.name] -= 1
        self.under_way[pool.model, pool.offer] += 1
        self._load(pool.name, seconds, gpus)

    def occupy_following(self, name: str, offer: OfferKey, seconds: float, gpus: int) -> None:
        """A job was handed to the pool of that name to follow its call."""
        (self.room if self.room[name] > 0 else self.follow_room)[name] -= 1
        self.under_way[offer] += 1
        self._load(name, seconds, gpus)

    def _load(self, name: str, seconds: float, gpus: int) -> None:
        places = self.fleet.accounts.get(name)
        if places is not None:
            places = places.taken(seconds)
            accounts = {**self.fleet.accounts, name: places}
            self.fleet = replace(self.fleet, accounts=accounts, pools=loaded(self.fleet.pools, name, places))
            return

        def occupied(pool: Pool) -> Pool:
            widths = () if pool.gang_size == 1 else (*pool.busy_gpus, gpus)
            return replace(pool, busy_seconds=(*pool.busy_seconds, seconds), busy_gpus=widths)

        self._change(name, occupied)

    def promise(self, name: str, job: Waiting) -> None:
        """A job waits for the pool."""
        # Pools that share what waits go on sharing it: policies roll it forward once for all of them.
        grown: dict[int, tuple[Waiting, ...]] = {}

        def joined(pool: Pool) -> Pool:
            known = id(pool.waiting)
            if known not in grown:
                grown[known] = (*pool.waiting, job)
            return replace(pool, waiting=grown[known])

        self._change(name, joined)

    def promise_as_estimated(self, job: Job) -> None:
        """A job waits that was not decided anew: it waits where its last decision put it."""
        chosen = job.routing.get("chosen")
        if not chosen:
            return
        offer, seconds = (chosen["model"], chosen["offer"]), float(chosen["predicted"]["seconds"])
        due, gpus = job.due_at - self.fleet.now, int(chosen.get("gpus", 1))
        for pool in self.fleet.pools:
            if (pool.model, pool.offer) == offer:
                width = min(gpus, pool.gang_size)
                self.promise(pool.name, Waiting(due, band(job.priority), seconds, width))
                return

    def _change(self, name: str, change: Callable[[Pool], Pool]) -> None:
        """Change every pool of that name: offers that share replicas share their load."""
        pools = tuple(change(pool) if pool.name == name else pool for pool in self.fleet.pools)
        self.fleet = replace(self.fleet, pools=pools)
