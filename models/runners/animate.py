"""Wan 2.2 Animate: a character moves as a driving video does, in runs that the pipeline chains itself."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

import torch

from models.runners import driving
from models.runners.families import Lattice
from models.runners.wan import SIZE_CHECK, TEXT_TOKENS, WanFamily, tile_when_large

if TYPE_CHECKING:
    from pathlib import Path

    from models.runners.families import Segment
    from models.types import Geometry

RUN_FRAMES = 77
"""Frames of one run; the pipeline's default and the length of Wan-Animate's training clips."""
SHARED_FRAMES = 1
"""Frames that a run takes over from the one before; the pipeline's default."""
CHUNK = 16
"""Frames turned to bytes at once; our choice: 0.2 GB of floats at 720p."""


class AnimateFamily(WanFamily):
    """`WanAnimatePipeline` of diffusers, in its mode `animate`.

    The pipeline decodes each run, because the next one begins with its last picture, and hands the whole
    clip back at the end: there is nothing left to stream.
    """

    pipeline = "WanAnimatePipeline"

    def lattice(self, pipe: Any) -> Lattice:
        """Multiples of 16 pixels; any length: the pipeline pads its last run and cuts the end."""
        patch = max(pipe.transformer.config.patch_size[1:])
        return Lattice(math.lcm(SIZE_CHECK, pipe.vae_scale_factor_spatial * patch), 1)

    def takes_last_image(self, pipe: Any) -> bool:
        """Never."""
        return False

    def runs(self, native: Geometry) -> int:
        """Runs of `RUN_FRAMES` frames that share one frame each."""
        return max(1, math.ceil((native.num_frames - SHARED_FRAMES) / (RUN_FRAMES - SHARED_FRAMES)))

    def arguments(self, pipe: Any, segment: Segment) -> dict[str, Any]:
        """Call arguments: the driving video as it is for the pose, its largest face for the expression."""
        tile_when_large(pipe.vae, segment)
        # Without one the request was refused before.
        shown = driving.pictures(cast("Path", segment.driving_video), segment.native)
        return {
            "image": segment.image,
            "pose_video": driving.fitted(shown, segment.native.size),
            "face_video": driving.faces(shown, pipe.transformer.config.motion_encoder_size),
            "prompt": segment.prompt,
            "negative_prompt": segment.negative_prompt,
            "width": segment.native.width,
            "height": segment.native.height,
            "segment_frame_length": RUN_FRAMES,
            "prev_segment_conditioning_frames": SHARED_FRAMES,
            "num_inference_steps": segment.steps,
            "guidance_scale": segment.guidance,
            "mode": "animate",
            "generator": segment.generator,
            "max_sequence_length": TEXT_TOKENS,
            "output_type": "pt",
        }

    def decode(self, pipe: Any, latents: torch.Tensor, segment: Segment) -> Iterator[torch.Tensor]:
        """`latents` are pictures already: 1 x frames x 3 x height x width in [0, 1]."""
        for part in latents[0].split(CHUNK):
            yield part.permute(1, 0, 2, 3) * 2.0 - 1.0
