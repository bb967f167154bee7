"""From cards to candidates: offers, modes, planned geometries, GPU counts, each with its prediction.

The catalog is compiled once. Plans are kept by photograph shape and wish, and cost estimates by the shape
that is generated, so deciding again (at submission, then late, then for the next job) costs little. What is
kept is a function of its key alone: keeping it changes no decision.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import count
from math import erf, log, sqrt
from typing import TYPE_CHECKING, Any, NamedTuple

from models.card import HOSTED, PricePerGpuSecond
from models.cost import estimate, price_of
from models.cost import usd as list_price
from models.errors import ConfigError
from models.limits import StretchedMode, stretched
from models.sharding import DEGREES
from policies.base import Prediction
from policies.geometry import no_size, plan_length, plan_made, reframed
from policies.sizes import framing, listed, nearest_listed, nearest_size

if TYPE_CHECKING:
    from collections.abc import Mapping

    from models.card import Card, Mode, Offer, Price
    from models.catalog import Catalog
    from models.gpus import GpuType
    from models.types import ClipPlan, ClipWish, Framing, Size
    from policies.base import Pool
    from policies.geometry import Lasting, Tolerance
    from policies.quality import Rating
    from policies.sizes import Listed

MOST_SHEETS = 1024
"""Plans are kept for that many pairs of photograph shape and wish (20 kB each for fifty cards)."""
MOST_PRICED = 2048
"""Estimates are kept for that many shapes and pools of a mode (0.3 kB each)."""
MOST_ASPECTS = 512
"""Sizes and framings are kept for that many shapes of photographs (8 kB each for fifty cards)."""
MOST_WISHES = 128
"""What plans share is kept for that many wishes."""
MOST_MADE = 512
"""Clips of one wish that are kept (1 kB each)."""
MOST_SHAPES = 65_536
"""Shapes are told apart for that many at a time."""

WAIT_SIGMA = 0.6
"""Standard deviation of actual over predicted wait. Runs ahead end when they will, and more urgent jobs come
between: in the simulated catalog eight waits in ten were 0.4 to 6 times as long as predicted. Of three values
tried (0.6 times the run's own spread, 0.3, 0.6) the last had most clips on time in a crowded toy world."""

_new = tuple.__new__
"""Makes named tuples by the hundred: their own constructors take twice as long."""
_SQRT2 = sqrt(2.0)

Priced = tuple[float, float, int, bool, "float | None"]
"""Seconds, GPU-seconds, peak bytes, whether that fits, and list price in USD, before calibration.

A flat tuple of numbers, not the estimate itself: thousands are kept, and the garbage collector does not visit
tuples that hold nothing it could collect.
"""


class Planned(NamedTuple):
    """A plan, and a number for the shape that is generated for it (equal shapes cost the same)."""

    plan: ClipPlan
    made: int


@dataclass(frozen=True, slots=True)
class Row:
    """One mode of an offer."""

    mode: Mode
    number: int
    """Its place among all rows."""
    limits: int
    """Number of its geometry limits; modes of equal limits share their plans."""
    sizes: int
    """Number of its sizes; modes of equal sizes share the nearest size to a photograph."""
    length: int
    """Number of all that its length depends on, likewise."""
    listed: bool
    """Its sizes are a list."""
    hosted: bool
    """A provider runs it: the frame size has no say in time and price."""
    prefix: str
    """Begins reasons where the offer has several modes."""
    spare: bool
    """It makes clips that are too long for another row: that it makes no plan is nothing to tell."""
    price: Price | None
    by_gpu: bool
    """The price is GPU-seconds at the hourly rate, so it follows the calibrated speed."""
    priced: dict[tuple[int, str, int, bool], Priced] = field(default_factory=dict)
    """By what is made, GPU type, GPUs and whether sound is generated."""


@dataclass(frozen=True, slots=True)
class OfferEntry:
    """One offer of a card, compiled."""

    number: int
    """Its place among all offers."""
    card: Card
    offer: Offer
    key: tuple[str, str]
    name: str
    """`model/offer`."""
    rows: tuple[Row, ...]
    degrees: tuple[int, ...]
    hosted: bool
    whole: bool
    """An engine, which puts all its GPUs on every clip, whatever the card's degrees."""


class PlanKey(NamedTuple):
    """All that a plan depends on beside the mode."""

    aspect: float
    """Of the photograph."""
    wish: ClipWish
    tolerance: Tolerance
    default_seconds: float
    whole: bool
    driving_seconds: float | None = None
    audio_seconds: float | None = None

    def wish_of(self, mode: Mode) -> ClipWish:
        """The wish as the mode sees it: where the clip follows an input, that input says how long."""
        if mode.length.kind != "follows":
            return self.wish
        seconds = self.driving_seconds if mode.length.of == "driving_video" else self.audio_seconds
        return self.wish if seconds is None else replace(self.wish, seconds=seconds)


@dataclass(frozen=True, slots=True)
class Lengths:
    """What plans of one wish share whatever the photograph's shape."""

    lengths: list[Lasting | None]
    """By number of lengths; None where nobody has asked yet."""
    sizes: dict[int, Size] = field(default_factory=dict)
    """By number of sizes, where a size was asked: the photograph has no say in it."""
    made: dict[tuple[int, int, int], Planned | str] = field(default_factory=dict)
    """By number of limits, width and height."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What plans for photographs of one shape share whatever the wish."""

    sizes: dict[int, Size] = field(default_factory=dict)
    """By number of sizes, where no size was asked."""
    framings: dict[tuple[int, int], Framing] = field(default_factory=dict)
    """By width and height of the frame."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """Plans of one wish for photographs of one shape."""

    plans: list[Planned | str | None]
    """By number of limits, or the reason why there is none; None where nobody has asked yet."""
    shared: Lengths
    sizes: dict[int, Size]
    """By number of sizes: the nearest to the photograph and wish."""
    framings: dict[tuple[int, int], Framing]
    """By width and height of the frame."""


class Candidates:
    """The catalog and GPU types, compiled for planning and prediction."""

    def __init__(self, catalog: Catalog, gpus: Mapping[str, GpuType]) -> None:
        self.gpus = gpus
        self._limits: dict[object, int] = {}
        self._sizes: dict[object, int] = {}
        self._spans: dict[object, int] = {}
        self._rows = count()
        self._listed: dict[int, Listed] = {}
        self._ends: dict[tuple[int, bool], Size | None] = {}
        self._shapes: dict[tuple[float, float], Shape] = {}
        self._numbers_of: dict[tuple[float, ...], int] = {}
        self._numbers = count()
        self._sheets: dict[PlanKey, Sheet] = {}
        self._lengths: dict[tuple[object, ...], Lengths] = {}
        offers = [(card, offer) for card in catalog for offer in card.offers]
        self.entries = tuple(self._entry(number, *pair) for number, pair in enumerate(offers))

    def sheet(self, key: PlanKey) -> Sheet:
        """The plans kept for this key (see `planned`)."""
        sheet = self._sheets.get(key)
        if sheet is None:
            make_room(self._sheets, MOST_SHEETS)
            shared, shape = self._shared(key), self._shape(key)
            # An asked size leaves the photograph no say.
            sizes = shape.sizes if key.wish.size is None else shared.sizes
            sheet = self._sheets[key] = Sheet([None] * len(self._limits), shared, sizes, shape.framings)
        return sheet

    def planned(self, row: Row, photo: Size, key: PlanKey, sheet: Sheet) -> Planned | str:
        """The plan of one row, or the reason why none is near; kept in `sheet`.

        `photo` is any size of the key's aspect.
        """
        planned = sheet.plans[row.limits]
        if planned is None:
            planned = sheet.plans[row.limits] = self._planned(row, photo, key, sheet)
        return planned

    def _planned(self, row: Row, photo: Size, key: PlanKey, sheet: Sheet) -> Planned | str:
        shared = sheet.shared
        size = sheet.sizes.get(row.sizes)
        if size is None:
            size = self._nearest(row, photo, key.wish.size)
            if size is None:
                return no_size(row.mode, photo, key.wish)
            sheet.sizes[row.sizes] = size
        width, height = size.width, size.height
        laid = sheet.framings.get((width, height))
        if laid is None:
            laid = sheet.framings[width, height] = framing(photo, size, key.tolerance.crop_at_least)
        which = (row.limits, width, height)
        made = shared.made.get(which)
        if made is None:
            made = self._made(row, key, shared, size, laid)
            if row.listed or key.wish.size is not None:
                # Other shapes come to this size too; a size on a lattice is this shape's own.
                make_room(shared.made, MOST_MADE)
                shared.made[which] = made
        if isinstance(made, str) or made.plan.framing is laid:
            return made
        return _new(Planned, (reframed(made.plan, laid), made.made))

    def _made(self, row: Row, key: PlanKey, shared: Lengths, size: Size, laid: Framing) -> Planned | str:
        mode, wish = row.mode, key.wish_of(row.mode)
        length = shared.lengths[row.length]
        if length is None:
            length = shared.lengths[row.length] = plan_length(
                mode, wish, key.tolerance, default_seconds=key.default_seconds, whole=key.whole
            )
        plan = plan_made(mode, wish, key.tolerance, size, length, laid)
        return plan if isinstance(plan, str) else Planned(plan, self._number(plan, row.hosted))

    def priced(
        self, entry: OfferEntry, row: Row, planned: Planned, pool: Pool, gpus: int, with_audio: bool = False
    ) -> Priced:
        """Estimate and price of this plan on that many GPUs of the pool, before calibration.

        Raises:
            ConfigError: the pool's GPU type is not known.
        """
        key = (planned.made, pool.gpu, gpus, with_audio)
        found = row.priced.get(key)
        if found is None:
            gpu = None if entry.hosted else self.gpus.get(pool.gpu)
            if gpu is None and not entry.hosted:
                raise ConfigError(
                    f"pool {pool.name}: GPU type {pool.gpu!r} is not known",
                    param="gpu",
                    allowed=sorted(self.gpus),
                )
            estimated = estimate(entry.card, entry.offer, planned.plan, gpu, gpus)
            make_room(row.priced, MOST_PRICED)
            found = row.priced[key] = (
                estimated.seconds,
                estimated.gpu_seconds,
                estimated.memory_bytes,
                estimated.fits,
                list_price(row.price, planned.plan, estimated, gpu, with_audio=with_audio),
            )
        return found

    def _shared(self, key: PlanKey) -> Lengths:
        shared = self._lengths.get(key[1:])
        if shared is None:
            make_room(self._lengths, MOST_WISHES)
            shared = self._lengths[key[1:]] = Lengths([None] * len(self._spans))
        return shared

    def _nearest(self, row: Row, photo: Size, asked: Size | None) -> Size | None:
        """As `nearest_size`; photographs beyond a mode's narrowest or widest shape all have the same."""
        sizes = row.mode.sizes
        if sizes.kind == "list":
            options = self._listed.get(row.sizes)
            if options is None:
                options = self._listed[row.sizes] = listed(sizes)
            return nearest_listed(options, photo, asked)
        if asked is not None or sizes.aspect_min < photo.aspect < sizes.aspect_max:
            return nearest_size(sizes, photo, asked)
        end = (row.sizes, photo.aspect <= sizes.aspect_min)
        if end not in self._ends:
            self._ends[end] = nearest_size(sizes, photo, None)
        return self._ends[end]

    def _shape(self, key: PlanKey) -> Shape:
        which = (key.aspect, key.tolerance.crop_at_least)
        shape = self._shapes.get(which)
        if shape is None:
            make_room(self._shapes, MOST_ASPECTS)
            shape = self._shapes[which] = Shape()
        return shape

    def _number(self, plan: ClipPlan, hosted: bool) -> int:
        native, clip = plan.native, plan.effective
        # Providers bill by time or by clip, and their published times know no size.
        shape: tuple[float, ...] = (native.num_frames, native.fps, plan.segments)
        if not hosted:
            shape = (
                native.width,
                native.height,
                native.num_frames,
                native.fps,
                plan.segments,
                plan.overlap,
                plan.interpolation,
                clip.width,
                clip.height,
                clip.num_frames,
            )
        number = self._numbers_of.get(shape)
        if number is None:
            make_room(self._numbers_of, MOST_SHAPES)
            # Numbers are not used twice: a forgotten shape is estimated again, never mistaken for another.
            number = self._numbers_of[shape] = next(self._numbers)
        return number

    def _entry(self, number: int, card: Card, offer: Offer) -> OfferEntry:
        several = len(offer.modes) > 1
        hosted = offer.backend in HOSTED
        return OfferEntry(
            number=number,
            card=card,
            offer=offer,
            key=(card.id, offer.id),
            name=f"{card.id}/{offer.id}",
            rows=tuple(
                self._row(offer, row, f"mode {row.name}: " if several or row is not mode else "")
                for mode in offer.modes
                for row in ways(mode)
            ),
            degrees=(1,) if hosted else tuple(d for d in DEGREES if d in offer.degrees),
            hosted=hosted,
            whole=offer.backend == "engine",
        )

    def _row(self, offer: Offer, mode: Mode, prefix: str) -> Row:
        price, hosted = price_of(offer, mode), offer.backend in HOSTED
        sizes = _numbered(self._sizes, mode.sizes)
        trained = mode.trained_frames if isinstance(mode, StretchedMode) else None
        length = _numbered(
            self._spans,
            (
                mode.length,
                mode.fps,
                mode.min_segments,
                mode.max_segments,
                mode.overlap,
                mode.interpolate_to,
                trained,
            ),
        )
        return Row(
            mode=mode,
            number=next(self._rows),
            limits=_numbered(self._limits, (sizes, length, hosted)),
            sizes=sizes,
            length=length,
            listed=mode.sizes.kind == "list",
            hosted=hosted,
            prefix=prefix,
            spare=trained is not None or mode.min_segments > 1,
            price=price,
            by_gpu=isinstance(price, PricePerGpuSecond),
        )


def ways(mode: Mode) -> tuple[Mode, ...]:
    """The rows of a mode: itself, and where its model can be stretched, one longer shot."""
    further = stretched(mode)
    return (mode,) if further is None else (mode, further)


def _numbered(known: dict[object, int], value: object) -> int:
    """The number of a value: equal values have equal ones."""
    return known.setdefault(value, len(known))


def make_room(kept: dict[Any, Any], most: int) -> None:
    """Forget the oldest entry of a full dictionary."""
    if len(kept) >= most:
        del kept[next(iter(kept))]


def predict(
    priced: Priced,
    pool: Pool,
    wait: float,
    quality: float,
    deadline_s: float | None,
    priced_by_gpu: bool,
    congestion: float = 1.0,
    rating: Rating | None = None,
) -> Prediction:
    """What a candidate would deliver: the estimate, corrected by what the pool's runs really took.

    The chance to be on time is that of wait and run together (see `in_time`). Congestion weighs on GPU
    seconds only: a provider charges its list price however busy we are.
    """
    base_seconds, gpu_seconds, memory_bytes, fits, usd = priced
    speed = pool.speed
    seconds = base_seconds * speed
    if priced_by_gpu:
        usd = None if usd is None else usd * speed
    else:
        congestion = 1.0
    sure = 1.0 if deadline_s is None else in_time(deadline_s, wait, seconds, pool.sigma)
    return _new(
        Prediction,
        (seconds, wait, usd, gpu_seconds * speed, quality, sure, memory_bytes, fits, congestion, rating),
    )


def on_time(left_s: float, seconds: float, sigma: float) -> float:
    """Chance that what is predicted to take `seconds` ends within `left_s`.

    Args:
        left_s: Seconds until the deadline.
        seconds: Predicted (median) time.
        sigma: Standard deviation of ln(actual / predicted); 0 means the prediction is exact.
    """
    if left_s <= 0:
        return 0.0
    if sigma <= 0 or seconds <= 0:
        return 1.0 if seconds <= left_s else 0.0
    return 0.5 * (1.0 + erf(log(left_s / seconds) / (sigma * _SQRT2)))


def in_time(deadline_s: float, wait: float, seconds: float, sigma: float) -> float:
    """Chance that a run of `seconds` behind a wait of `wait` ends within `deadline_s`.

    Wait and run together count as lognormal around their prediction: P = Phi(ln(deadline / (wait + seconds))
    / total_sigma). Never more than without the wait: of two spreads the sum varies less, as a share of it.
    """
    alone = on_time(deadline_s, seconds, sigma)
    if wait <= 0:
        return alone
    return min(alone, on_time(deadline_s, wait + seconds, total_sigma(wait, seconds, sigma)))


def total_sigma(wait: float, seconds: float, sigma: float) -> float:
    """Standard deviation of ln(actual / predicted) of wait and run together, each as a share of the sum.

    Args:
        wait: Predicted wait in seconds.
        seconds: Predicted run time in seconds.
        sigma: Standard deviation of ln(actual / predicted) of the run.
    """
    if wait <= 0:
        return sigma
    return sqrt((sigma * seconds) ** 2 + (WAIT_SIGMA * wait) ** 2) / (wait + seconds)
