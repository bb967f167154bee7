"""SkyReels-V2 diffusion forcing: clips of any length, window by window.

Every latent frame has a timestep of its own, so a window can begin with pictures that are given: the
photograph, or the end of the window before. One call of the pipeline makes one window here; its own loop over
windows is not used, so that a clip can be saved, decoded and resumed window by window, as any chain.

The given pictures are encoded anew, as in the makers' repository (SkyworkAI/SkyReels-V2,
`diffusion_forcing_pipeline.py`). The pipeline of diffusers keeps the last latents instead, of which the first
then stands for four pictures in a place where the model was trained on one; lengths are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from diffusers.utils.torch_utils import randn_tensor

from models.runners.animate import Latents
from models.runners.families import tile_when_large
from models.runners.tape import Prepared
from models.runners.wan import TEXT_TOKENS, WanFamily

if TYPE_CHECKING:
    from models.runners.base import Frame
    from models.runners.families import Segment

SHARED_FRAMES = 17
"""Pictures that windows share: SkyworkAI/SkyReels-V2 README (`--overlap_history 17`; diffusers names 17 and
37)."""
CONDITION_NOISE = 20
"""Noise laid over the given pictures, in timesteps of 1000: the README's `--addnoise_condition 20` for long
clips, where pictures of its own making are the start."""


class SkyReelsForcingFamily(WanFamily):
    """`SkyReelsV2DiffusionForcingImageToVideoPipeline` of diffusers, synchronous (`ar_step` 0).

    All frames of a window are denoised together, one row of timesteps a step, so steps count as elsewhere.
    The causal block size is left as the checkpoint has it: setting it would change the transformer for good.
    """

    pipeline = "SkyReelsV2DiffusionForcingImageToVideoPipeline"
    shared_frames = SHARED_FRAMES
    prepared: tuple[Prepared, ...] = (
        Prepared("encode_prompt"),
        Prepared("prepare_latents", moves="latents"),
    )

    def takes_last_image(self, pipe: Any) -> bool:
        """Always: it stands behind the clip as one more latent frame that is given."""
        return True

    def arguments(self, pipe: Any, segment: Segment) -> dict[str, Any]:
        """Call arguments of one window."""
        tile_when_large(pipe.vae, segment)
        return {
            "image": segment.image,
            "prompt": segment.prompt,
            "negative_prompt": segment.negative_prompt,
            "width": segment.native.width,
            "height": segment.native.height,
            "num_frames": segment.native.num_frames,
            "base_num_frames": segment.native.num_frames,
            "addnoise_condition": CONDITION_NOISE,
            "fps": round(segment.native.fps),
            "num_inference_steps": segment.steps,
            "guidance_scale": segment.guidance,
            "generator": segment.generator,
            "max_sequence_length": TEXT_TOKENS,
        }

    def replaced(self, pipe: Any, segment: Segment) -> dict[str, Callable[..., Any]]:
        """Methods of the pipeline that this window needs otherwise: its given latents and their timesteps.

        The first window without a last image is the pipeline's own.
        """
        if len(segment.before) <= 1 and segment.last_image is None:
            return {}
        methods: dict[str, Callable[..., Any]] = {"prepare_latents": _window_latents(pipe, segment)}
        if segment.last_image is not None:
            methods["generate_timestep_matrix"] = _ending_given(pipe.generate_timestep_matrix)
        return methods

    def ended(self, latents: torch.Tensor) -> Latents:
        """The pipeline would hand them out as they are."""
        return Latents(latents)

    def decode(self, pipe: Any, latents: torch.Tensor, segment: Segment) -> Iterator[torch.Tensor]:
        """As Wan's codec does, without the last image behind the clip."""
        return super().decode(pipe, latents if segment.last_image is None else latents[:, :, :-1], segment)


def _window_latents(pipe: Any, segment: Segment) -> Callable[..., Any]:
    """`prepare_latents` for a window that begins with given pictures, or ends before one.

    Raises (when called):
        ValueError: the window lies within its given pictures.
    """
    given = segment.before or (np.asarray(segment.image),)

    def prepare_latents(
        image: torch.Tensor, batch_size: int, channels: int, height: int, width: int, num_frames: int,
        dtype: torch.dtype, device: torch.device, generator: torch.Generator, *_: object, **__: object,
    ) -> tuple[torch.Tensor, int, torch.Tensor, int]:  # fmt: skip
        cell, step = pipe.vae_scale_factor_spatial, pipe.vae_scale_factor_temporal
        count = (num_frames - 1) // step + 1
        prefix = _encoded(pipe, given, device, dtype)
        if prefix.shape[2] >= count:
            raise ValueError(f"{len(given)} given pictures leave nothing to make of {num_frames}")
        shape = (batch_size, channels, count, height // cell, width // cell)
        latents = randn_tensor(shape, generator=generator, device=device, dtype=dtype)
        if segment.last_image is not None:
            end = _encoded(pipe, (np.asarray(segment.last_image),), device, dtype)
            latents, count = torch.cat([latents, end], dim=2), count + 1
        return latents, count, prefix, int(prefix.shape[2])

    return prepare_latents


def _ending_given(matrix: Callable[..., Any]) -> Callable[..., Any]:
    """`generate_timestep_matrix` with a last latent frame that is clean from the start and never changes."""

    def generate_timestep_matrix(
        num_latent_frames: int, step_template: torch.Tensor, base: int, ar_step: int, ready: int, block: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, list[tuple[int, int]]]:
        # The pipeline counts the window without the last image.
        base = max(base, num_latent_frames)
        steps, index, updated, interval = matrix(
            num_latent_frames, step_template, base, ar_step, ready, block
        )
        steps[:, -1] = 0
        updated[:, -1] = False
        return steps, index, updated, interval

    return generate_timestep_matrix


def _encoded(pipe: Any, pictures: Sequence[Frame], device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """Pictures as latents in the transformer's normalised space, the mode of what the codec gives."""
    vae = pipe.vae
    pixels = torch.from_numpy(np.stack(pictures)).permute(3, 0, 1, 2).unsqueeze(0)
    # As the pipeline's own processor maps them, so that the last bit is the same.
    video = (pixels.to(device, torch.float32) / 255.0) * 2.0 - 1.0
    with torch.no_grad():
        latents = vae.encode(video.to(vae.dtype)).latent_dist.mode().to(dtype)
    mean = torch.tensor(vae.config.latents_mean).view(1, -1, 1, 1, 1).to(device, dtype)
    inverse = 1.0 / torch.tensor(vae.config.latents_std).view(1, -1, 1, 1, 1).to(device, dtype)
    normalised: torch.Tensor = (latents - mean) * inverse
    return normalised
