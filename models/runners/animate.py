"""Wan 2.2 Animate: a character moves as a driving video does, in runs that share a picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from PIL import Image

from models.runners import driving
from models.runners.families import Lattice, tile_when_large
from models.runners.tape import Prepared
from models.runners.wan import SIZE_CHECK, TEXT_TOKENS, WanFamily

if TYPE_CHECKING:
    from pathlib import Path

    from models.runners.families import Segment
    from models.types import Geometry

RUN_FRAMES = 77
"""Frames of one run; the pipeline's default and the length of Wan-Animate's training clips. The last run is
as long, and cut."""
SHARED_FRAMES = 1
"""Frames that a run takes over from the one before; the pipeline's default."""


@dataclass(frozen=True, slots=True)
class Latents:
    """Final latents in the place of the pipeline's output, which would be decoded pictures."""

    frames: torch.Tensor


class AnimateFamily(WanFamily):
    """`WanAnimatePipeline` of diffusers, in its mode `animate`.

    The pipeline would chain the runs by itself and decode each in one piece. Here a call makes one run and is
    left after its last step: each run is a segment, decoded as Wan's are.
    """

    pipeline = "WanAnimatePipeline"
    prepared: tuple[Prepared, ...] = (
        Prepared("encode_prompt"),
        Prepared("encode_image"),
        Prepared("prepare_reference_image_latents"),
        Prepared("prepare_latents", moves="latents"),
        # Pose, then face: the pose enters as latents, the face as it is.
        Prepared("video_processor.preprocess_video", dropped=frozenset({0})),
        Prepared("prepare_pose_latents"),
        Prepared("prepare_prev_segment_cond_latents"),
    )

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

    def run_frames(self) -> int:
        """Frames of each."""
        return RUN_FRAMES

    def overlap(self, pipe: Any, native: Geometry) -> int:
        """One picture."""
        return SHARED_FRAMES

    def arguments(self, pipe: Any, segment: Segment) -> dict[str, Any]:
        """Call arguments of one run: the video as it is for the pose, its largest face for the expression."""
        tile_when_large(pipe.vae, segment)
        pose, face = self._driven(pipe, segment)
        return {
            "image": segment.image,
            "pose_video": pose,
            "face_video": face,
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
        }

    def _driven(self, pipe: Any, segment: Segment) -> tuple[list[Image.Image], list[Image.Image]]:
        """The run's pictures of pose and face, all of them: nothing is left to pad or to chain."""
        native, side = segment.native, pipe.transformer.config.motion_encoder_size
        if segment.prepared:
            return [segment.image] * RUN_FRAMES, [Image.new("RGB", (side, side))] * RUN_FRAMES
        # Without a video the request was refused before.
        shown = driving.pictures(cast("Path", segment.driving_video), native)
        length = self.runs(native) * (RUN_FRAMES - SHARED_FRAMES) + SHARED_FRAMES
        # Beyond its end the video runs backwards, as the pipeline pads it.
        order = pipe.pad_video_frames(list(range(native.num_frames)), length)
        start = segment.run * (RUN_FRAMES - SHARED_FRAMES)
        run = order[start : start + RUN_FRAMES]
        pose, face = driving.fitted(shown, native.size), driving.faces(shown, side)
        return [pose[index] for index in run], [face[index] for index in run]

    def replaced(self, pipe: Any, segment: Segment) -> Mapping[str, Callable[..., Any]]:
        """Later runs begin with the last pictures of the one before."""
        if not segment.before:
            return {}
        real = pipe.prepare_prev_segment_cond_latents
        pixels = torch.from_numpy(np.stack(segment.before)).permute(3, 0, 1, 2).unsqueeze(0)

        def prepare_prev_segment_cond_latents(_: None, *, device: torch.device, **named: Any) -> Any:
            shown = pixels.to(device, torch.float32) / 127.5 - 1.0
            # Any start but 0 tells the pipeline that there is a picture to begin with.
            return real(shown, device=device, **{**named, "start_frame": 1})

        return {"prepare_prev_segment_cond_latents": prepare_prev_segment_cond_latents}

    def ended(self, latents: torch.Tensor) -> Latents:
        """The first latent frame carries the photograph and is no picture of the clip."""
        return Latents(latents[:, :, 1:])
