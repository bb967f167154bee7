"""LTX-Video (0.9.x): packed latents, 32x in space and 8x in time, a codec that may finish the denoising."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from diffusers.utils.torch_utils import randn_tensor

from models.runners.families import Lattice, ltx_lattice, tile_when_large
from models.runners.tape import Prepared

if TYPE_CHECKING:
    from models.runners.families import Segment

DECODE_TIMESTEP = 0.05
DECODE_NOISE = 0.025
"""For codecs with timestep conditioning (0.9.1 and later): diffusers' documentation of LTX-Video sets
decode_timestep to 0.05, its examples decode_noise_scale to 0.025."""
SIZE_CHECK = 32
"""`LTXImageToVideoPipeline.check_inputs` raises unless both sides are multiples of 32."""


class LtxFamily:
    """`LTXImageToVideoPipeline` of diffusers."""

    pipeline = "LTXImageToVideoPipeline"
    # Photograph and latents reach the codec in the text encoder's type, so one type serves all.
    float32: tuple[str, ...] = ()
    prepared: tuple[Prepared, ...] = (
        Prepared("encode_prompt"),
        Prepared("prepare_latents", moves="latents"),
    )

    def lattice(self, pipe: Any) -> Lattice:
        """Multiples of 32 pixels and 8k+1 frames for the released codec."""
        return ltx_lattice(pipe, SIZE_CHECK)

    def takes_last_image(self, pipe: Any) -> bool:
        """Never: that is another pipeline class (LTXConditionPipeline)."""
        return False

    def arguments(self, pipe: Any, segment: Segment) -> dict[str, Any]:
        """Call arguments; the frame rate scales the positions in time."""
        tile_when_large(pipe.vae, segment)
        return {
            "image": segment.image,
            "prompt": segment.prompt,
            "negative_prompt": segment.negative_prompt,
            "width": segment.native.width,
            "height": segment.native.height,
            "num_frames": segment.native.num_frames,
            "frame_rate": segment.native.fps,
            "num_inference_steps": segment.steps,
            "guidance_scale": segment.guidance,
            "generator": segment.generator,
        }

    def decode(self, pipe: Any, latents: torch.Tensor, segment: Segment) -> Iterator[torch.Tensor]:
        """Decode in one piece (the codec is not causal when it decodes).

        The pipeline's own decoding draws noise on the device from the CPU generator, which torch refuses
        on CUDA; here the noise is drawn on the CPU and moved.
        """
        tile_when_large(pipe.vae, segment)
        with torch.no_grad():
            cells = self._raw(pipe, self._unpacked(pipe, latents, segment))
            if pipe.vae.config.timestep_conditioning:
                noise = randn_tensor(
                    cells.shape, generator=segment.generator, device=cells.device, dtype=cells.dtype
                )
                cells = (1 - DECODE_NOISE) * cells + DECODE_NOISE * noise
            video = pipe.vae.decode(cells, self._timestep(pipe, cells), return_dict=False)[0][0]
        yield video.clamp(-1.0, 1.0)

    def estimate(self, pipe: Any, latents: torch.Tensor, segment: Segment) -> torch.Tensor:
        """The middle latent frame, with the noise that is still in it (Euler keeps no clean estimate)."""
        cells = self._unpacked(pipe, latents, segment)
        middle = cells.shape[2] // 2
        return cells[:, :, middle : middle + 1]

    def decode_frame(self, pipe: Any, latent: torch.Tensor) -> torch.Tensor:
        """Decode one latent frame alone: one picture."""
        cells = self._raw(pipe, latent)
        picture: torch.Tensor = pipe.vae.decode(cells, self._timestep(pipe, cells), return_dict=False)[0]
        return picture[0, :, 0].clamp(-1.0, 1.0)

    def _unpacked(self, pipe: Any, latents: torch.Tensor, segment: Segment) -> torch.Tensor:
        spatial, temporal = pipe.vae_spatial_compression_ratio, pipe.vae_temporal_compression_ratio
        cells: torch.Tensor = pipe._unpack_latents(
            latents,
            (segment.native.num_frames - 1) // temporal + 1,
            segment.native.height // spatial,
            segment.native.width // spatial,
            pipe.transformer_spatial_patch_size,
            pipe.transformer_temporal_patch_size,
        )
        return cells

    def _raw(self, pipe: Any, cells: torch.Tensor) -> torch.Tensor:
        vae = pipe.vae
        raw: torch.Tensor = pipe._denormalize_latents(
            cells, vae.latents_mean, vae.latents_std, vae.config.scaling_factor
        )
        return raw.to(vae.dtype)

    def _timestep(self, pipe: Any, cells: torch.Tensor) -> torch.Tensor | None:
        if not pipe.vae.config.timestep_conditioning:
            return None
        return torch.tensor([DECODE_TIMESTEP], device=cells.device, dtype=cells.dtype)
