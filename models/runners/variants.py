"""What of a loaded pipeline differs between offers: flow shift and adapter, changed for one clip.

An offer that names another one as its `replica` runs on that one's weights. Its adapter is read when its
first clip is made and kept; if that fails, the offer fails, and all others go on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from models.errors import ConfigError, InputRefused, OutOfMemory
from models.runners.adapters import Overlay, load_overlay
from models.runners.failures import is_out_of_memory

if TYPE_CHECKING:
    from models.card import Card, Offer, Sampling

_SHIFTS = ("flow_shift", "shift")
"""What flow shift is called in diffusers' UniPC and in its flow matching Euler scheduler."""


class Variants:
    """The offers of one card that one pipeline serves."""

    def __init__(self, card: Card, loaded: Offer, pipe: Any, checkpoint: str | None) -> None:
        self._card = card
        self._loaded = loaded
        self._pipe: Any = pipe
        self._checkpoint = checkpoint
        if loaded.sampling is not None:
            pipe.scheduler = shifted(pipe.scheduler, loaded.sampling.flow_shift)
        self._base_scheduler: Any = pipe.scheduler
        self._schedulers: dict[str, Any] = {}
        self._overlays: dict[str, Overlay] = {}

    def offer(self, offer_id: str | None) -> Offer:
        """The offer that a clip is for; None is the one that was loaded.

        Raises:
            InputRefused: it runs on other weights, or the card has no such offer.
        """
        home = self._loaded.replica or self._loaded.id
        served = {
            offer.id: offer
            for offer in self._card.offers
            if (offer.replica or offer.id) == home and offer.sampling is not None
        } | {self._loaded.id: self._loaded}
        offer = served.get(self._loaded.id if offer_id is None else offer_id)
        if offer is None:
            raise InputRefused(
                f"{self._card.id}: these weights serve no offer {offer_id!r}",
                param="offer",
                allowed=sorted(served),
            )
        return offer

    def sampling(self, offer_id: str | None) -> Sampling:
        """Steps, guidance and flow shift of the offer that a clip is for.

        Raises:
            InputRefused: as `offer`.
            ConfigError: the loaded offer says nothing of them.
        """
        offer = self.offer(offer_id)
        if offer.sampling is None:
            raise ConfigError(
                f"{self._card.id}: offer {offer.id} says nothing of steps and guidance",
                param="offers.sampling",
            )
        return offer.sampling

    @contextmanager
    def laid(self, offer: Offer) -> Iterator[None]:
        """The denoisers as that offer wants them while the body runs; as they were afterwards.

        Raises:
            CheckpointMissing: the offer's adapter cannot be had or does not fit.
            OutOfMemory: the adapter does not fit beside the weights.
        """
        overlay = nullcontext() if offer.adapter is None else self._overlay(offer).laid()
        with overlay:
            yield

    def drop(self) -> None:
        """Let go of the pipeline and of every adapter."""
        self._pipe = self._base_scheduler = None
        self._schedulers.clear()
        self._overlays.clear()

    def _overlay(self, offer: Offer) -> Overlay:
        overlay = self._overlays.get(offer.id)
        if overlay is None:
            try:
                overlay = load_overlay(self._card, offer, self._pipe, self._checkpoint)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                raise OutOfMemory(
                    f"out of memory while loading {self._card.id}/{offer.id}: {error}"
                ) from error
            self._overlays[offer.id] = overlay
        return overlay

    def scheduler(self, offer: Offer) -> Any:
        """The scheduler with the offer's flow shift; clips work on copies of it."""
        if offer.id not in self._schedulers:
            shift = None if offer.sampling is None else offer.sampling.flow_shift
            self._schedulers[offer.id] = shifted(self._base_scheduler, shift)
        return self._schedulers[offer.id]


def shifted(scheduler: Any, shift: float | None) -> Any:
    """The scheduler with that flow shift; itself when it has it already, or knows none."""
    name = next((name for name in _SHIFTS if name in scheduler.config), None)
    if shift is None or name is None or scheduler.config[name] == shift:
        return scheduler
    return type(scheduler).from_config(scheduler.config, **{name: shift})
