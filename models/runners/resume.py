"""A clip's state in a folder: what of it is written when, what is checked when it is read.

    conditioning-<segment>.safetensors  what the pipeline prepared; once a segment, never changed
    frames-<segment>.safetensors        pictures of a finished segment; never changed
    sound-<segment>.safetensors         its sound, where the model makes some; never changed
    state.safetensors                   where the clip stands: latents, solver, random states; replaced

Copied elsewhere, the folder is a checkpoint: it needs no more than the request and the same weights.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import diffusers
import torch

from models.errors import CheckpointUnusable
from models.runners.base import Place
from models.runners.reel import frames_file, sound_file
from models.runners.state_files import StateReader, write_state
from models.runners.tape import Calls, flattened, unflattened

if TYPE_CHECKING:
    from pathlib import Path

    from models.card import Card, Offer
    from models.types import ClipPlan

FORMAT = 1
"""Raised whenever an older reader could misread a newer file, or the other way round."""
STATE = "state.safetensors"


@dataclass(frozen=True, slots=True)
class Identity:
    """What must be equal where a state is written and where it is read."""

    format: int
    card: str
    offer: str
    weights: str
    pipeline: str
    diffusers: str
    shape: str
    seed: int

    @classmethod
    def of(
        cls, card: Card, offer: Offer, pipe: Any, plan: ClipPlan, *, steps: int, guidance: float, seed: int
    ) -> Identity:
        """The identity of one clip.

        Args:
            card: The model.
            offer: The offer whose clip it is.
            pipe: Its pipeline.
            plan: Sizes, lengths and how segments are chained.
            steps: Denoising steps of a segment.
            guidance: Guidance scale.
            seed: The request's.
        """
        # Not how it came about, nor how the photograph was fitted: that has entered already.
        shape = {name: value for name, value in asdict(plan).items() if name not in ("gave_way", "framing")}
        return cls(
            format=FORMAT,
            card=card.id,
            offer=offer.id,
            weights=f"{card.weights.hub_id}@{card.weights.revision}:{_build(pipe)}",
            pipeline=type(pipe).__name__,
            diffusers=diffusers.__version__,
            shape=_digest([shape, steps, guidance]),
            seed=seed,
        )

    def check(self, other: Mapping[str, Any], file: str) -> None:
        """Compare with what a file says of itself.

        Raises:
            CheckpointUnusable: something differs; the message says what.
        """
        for name, mine in asdict(self).items():
            if other.get(name) != mine:
                raise CheckpointUnusable(
                    f"{file} was saved for {name} {other.get(name)!r}; this is {mine!r}",
                    param=name,
                    allowed=mine,
                )


@dataclass(frozen=True, slots=True, eq=False)
class ClipState:
    """Where a clip stands, and all that its next step reads beside the conditioning.

    Attributes:
        place: Segment and step.
        moving: What the pipeline's loop changes, by the step callback's names; empty before the first step.
        solver: What the solver remembers: tensors, numbers, None, or lists of them.
        randomness: Torch's global random state as the clip sees it.
        generator: State of the request's own generator.
    """

    place: Place
    moving: Mapping[str, torch.Tensor]
    solver: Mapping[str, Any]
    randomness: Mapping[str, torch.Tensor]
    generator: torch.Tensor


def write_clip_state(folder: Path, identity: Identity, state: ClipState) -> None:
    """Replace the folder's state, in one piece or not at all.

    Raises:
        OSError: no space.
        TypeError: the solver remembers something that has no place in a file.
    """
    remembered, structure = flattened({"solver": [state.solver[name] for name in state.solver]})
    tensors = {
        **{f"moving.{name}": tensor for name, tensor in state.moving.items()},
        **{f"randomness.{name}": tensor for name, tensor in state.randomness.items()},
        **remembered,
        "generator": state.generator,
    }
    header = {
        "identity": asdict(identity),
        "place": asdict(state.place),
        "solver": dict(zip(state.solver, structure["solver"], strict=True)),
    }
    write_state(folder / STATE, tensors, header)


def read_clip_state(folder: Path, identity: Identity, device: str) -> ClipState:
    """Read the folder's state.

    Args:
        folder: Where `write_clip_state` wrote.
        identity: What is about to go on.
        device: Where its tensors are wanted.

    Raises:
        CheckpointUnusable: it is missing, cut short, or another model, shape or version wrote it.
    """
    reader = StateReader(folder / STATE, device)
    _checked(reader, identity, STATE)
    tensors, header = reader.tensors(), reader.header
    try:
        remembered = unflattened(tensors, {name: [value] for name, value in header["solver"].items()})
        return ClipState(
            place=Place(**header["place"]),
            moving=_under("moving.", tensors),
            solver={name: values[0] for name, values in remembered.items()},
            randomness=_under("randomness.", tensors),
            generator=tensors["generator"].cpu(),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointUnusable(f"{STATE} is incomplete: {error}") from error


def write_conditioning(folder: Path, identity: Identity, segment: int, calls: Calls) -> None:
    """Write what the pipeline prepared for a segment.

    Raises:
        OSError: no space.
        TypeError: a result has no place in a file.
    """
    tensors, structure = flattened(calls)
    write_state(
        conditioning_file(folder, segment), tensors, {"identity": asdict(identity), "calls": structure}
    )


def read_conditioning(folder: Path, identity: Identity, segment: int, device: str) -> Calls:
    """Read what the pipeline prepared for a segment.

    Raises:
        CheckpointUnusable: as `read_clip_state`.
    """
    path = conditioning_file(folder, segment)
    reader = StateReader(path, device)
    _checked(reader, identity, path.name)
    try:
        return unflattened(reader.tensors(), reader.header["calls"])
    except (KeyError, ValueError) as error:
        raise CheckpointUnusable(f"{path.name} is incomplete: {error}") from error


def conditioning_file(folder: Path, segment: int) -> Path:
    """Where a segment's conditioning lies."""
    return folder / f"conditioning-{segment}.safetensors"


@dataclass(frozen=True, slots=True)
class StateFile:
    """One file of a checkpoint."""

    path: Path
    immutable: bool
    """Its content never changes under this name: copied once, it need not be copied again."""


def state_files(folder: Path) -> tuple[StateFile, ...]:
    """What to copy for a checkpoint of this moment; the last one refers to the others: copy it last.

    A clip that goes on meanwhile may remove a segment's conditioning when it turns to the next one: then ask
    again.

    Raises:
        CheckpointUnusable: there is no whole state.
    """
    place = Place(**StateReader(folder / STATE).header["place"])
    finished = [
        make(folder, segment) for segment in range(place.segment) for make in (frames_file, sound_file)
    ]
    fixed = [*finished, conditioning_file(folder, place.segment)]
    return (
        *(StateFile(path, immutable=True) for path in fixed if path.exists()),
        StateFile(folder / STATE, immutable=False),
    )


def _build(pipe: Any) -> str:
    """A digest of how denoisers and codec are built: a local checkpoint may stand behind any card."""
    parts = [getattr(pipe, name, None) for name in ("transformer", "transformer_2", "unet", "vae")]
    # Names with an underscore tell where a part was loaded from and by which version.
    return _digest(
        [
            {name: str(value) for name, value in part.config.items() if not name.startswith("_")}
            for part in parts
            if part is not None
        ]
    )


def _digest(plain: object) -> str:
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:16]


def _checked(reader: StateReader, identity: Identity, file: str) -> None:
    written = reader.header.get("identity")
    if not isinstance(written, dict):
        raise CheckpointUnusable(f"{file} does not say what it belongs to")
    identity.check(written, file)


def _under(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
