"""Two ranks share an extension of LTX-2 that ends at a keyframe, whose tokens stand behind the clip's own."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch.distributed as dist
from PIL import Image

from models.runners.base import RunRequest
from models.runners.crew import ALONE, Crew
from models.runners.parallel import Blocks
from models.runners.tiny import write_tiny_checkpoint
from models.types import Geometry
from tests.unit.runners.conftest import Recorder, _card_of, _photograph, _plan_of
from tests.unit.runners.gang_world import in_world

Latents = dict[str, np.ndarray]
STEPS = 3
CLOSE = 1e-4
"""float32; observed: 2e-6."""


def _request() -> RunRequest:
    native = Geometry(64, 64, 17, 8.0)
    plan = dataclasses.replace(
        _plan_of("ltx-2"),
        native=native,
        effective=dataclasses.replace(native, num_frames=25),
        segments=2,
        overlap=9,
    )
    red = Image.new("RGB", (64, 64), (200, 30, 60))
    return RunRequest(_photograph(64, 64), "a cat", plan, 3, steps=STEPS, last_image=red)


def _latents(clip: Any) -> Latents:
    """As arrays: a tensor in a queue lives as long as its process."""
    return {name: tensor.numpy().copy() for name, tensor in clip._running.call.latest.items()}


def _shared(blocks: Blocks, checkpoint: Path, folder: Path, crew: Crew) -> Latents | None:
    """In each segment one step alone, one shared, one alone; rank 0's final latents of the last segment."""
    from models.runners.diffusers import load

    card = _card_of("ltx-2", weights__pipeline="LTX2ConditionPipeline", controls__last_image="optional")
    runner = load(card, card.offers[0], checkpoint=str(checkpoint), device="cpu")
    runner.join(blocks)
    asked, monitor, leads = _request(), Recorder(), blocks.rank == 0
    clip = runner.begin(asked, folder, monitor) if leads else None
    for segment in range(2):
        if leads:
            clip.advance(1, ALONE, monitor)
            clip.save()
        dist.barrier()
        if not leads:
            clip = runner.resume(asked, folder)
        clip.advance(1, crew, monitor)
        dist.barrier()
        if not leads:
            clip.close()
            continue
        clip.advance(1, ALONE, monitor)
        if segment == 0:
            clip.turn(monitor)
    return _latents(clip) if leads else None


def _both(blocks: Blocks, checkpoint: Path, folder: Path) -> list[Latents | None]:
    results = []
    for name, crew in (("tokens", Crew((0, 1))), ("passes", Crew((0, 1), 2))):
        (folder / name).mkdir(exist_ok=True)
        results.append(_shared(blocks, checkpoint, folder / name, crew))
    return results


def test_extension_to_a_keyframe_is_the_same_shared_by_two(tmp_path, load_tiny):
    alone = load_tiny("ltx-2", weights__pipeline="LTX2ConditionPipeline", controls__last_image="optional")
    (tmp_path / "alone").mkdir()
    clip, monitor = alone.begin(_request(), tmp_path / "alone", Recorder()), Recorder()
    clip.advance(STEPS, ALONE, monitor)
    clip.turn(monitor)
    clip.advance(STEPS, ALONE, monitor)
    expected = _latents(clip)
    assert expected["latents"].shape[1] == 3 * 4 + 4, "three latent frames of four tokens, and the keyframe's"

    checkpoint = write_tiny_checkpoint("ltx-2", tmp_path / "checkpoint")
    for made in in_world(2, _both, checkpoint, tmp_path)[0]:
        for name, tensor in expected.items():
            assert np.abs(made[name] - tensor).max() <= CLOSE, name
