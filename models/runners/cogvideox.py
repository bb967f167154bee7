"""CogVideoX image-to-video: the 1.0 checkpoint has one trained shape; latents with time before channels."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from diffusers import CogVideoXDPMScheduler

from models.runners.families import Lattice, tile_when_large

if TYPE_CHECKING:
    from models.runners.families import Segment

SIZE_CHECK = 8
"""`CogVideoXImageToVideoPipeline.check_inputs` raises unless both sides are multiples of 8."""


class CogVideoXFamily:
    """`CogVideoXImageToVideoPipeline` of diffusers."""

    pipeline = "CogVideoXImageToVideoPipeline"
    # Photograph and latents take the text encoder's type, and the codec gets them as they are.
    float32: tuple[str, ...] = ()

    def lattice(self, pipe: Any) -> Lattice:
        """Sizes in VAE cell times patch and 8k+1 frames; with learned positions the trained shape alone.

        The codec takes latent frames in pairs and a single one only in front: 13 frames asked, four latent
        ones, come out as 16. A checkpoint with learned positions (CogVideoX-5b-I2V) raises at another size,
        and at another length quietly falls back to positions that it was not trained with.
        """
        config = pipe.transformer.config
        cell = pipe.vae_scale_factor_spatial
        multiple = math.lcm(SIZE_CHECK, cell * config.patch_size)
        frame_step = pipe.vae_scale_factor_temporal * pipe.vae.num_latent_frames_batch_size
        if not config.use_learned_positional_embeddings:
            return Lattice(multiple, frame_step)
        return Lattice(
            multiple,
            frame_step,
            sizes=((config.sample_width * cell, config.sample_height * cell),),
            frames=(config.sample_frames,),
        )

    def takes_last_image(self, pipe: Any) -> bool:
        """Never: the photograph fills the first latent frame, the others are zeros."""
        return False

    def arguments(self, pipe: Any, segment: Segment) -> dict[str, Any]:
        """Call arguments.

        Guidance grows over the steps with the DPM solver and only with it, as THUDM/CogVideo
        inference/cli_demo.py says.
        """
        tile_when_large(pipe.vae, segment)
        return {
            "image": segment.image,
            "prompt": segment.prompt,
            "negative_prompt": segment.negative_prompt,
            "width": segment.native.width,
            "height": segment.native.height,
            "num_frames": segment.native.num_frames,
            "num_inference_steps": segment.steps,
            "guidance_scale": segment.guidance,
            "use_dynamic_cfg": isinstance(pipe.scheduler, CogVideoXDPMScheduler),
            "generator": segment.generator,
            "max_sequence_length": pipe.transformer.config.max_text_seq_length,
        }

    def decode(self, pipe: Any, latents: torch.Tensor, segment: Segment) -> Iterator[torch.Tensor]:
        """Decode a few latent frames at a time, carrying the codec's convolution caches along.

        Does what `AutoencoderKLCogVideoX.decode` does, bit for bit, but hands every chunk out before the
        next one is made. Tiled (large) clips come in one piece.
        """
        vae = pipe.vae
        tile_when_large(vae, segment)
        cells = _raw(pipe, latents[:, _padding(pipe, latents, segment) :].permute(0, 2, 1, 3, 4))
        if vae.use_tiling:
            with torch.no_grad():
                yield vae.decode(cells, return_dict=False)[0][0].clamp(-1.0, 1.0)
            return
        cache: Any = None
        for start, end in _chunks(cells.shape[2], vae.num_latent_frames_batch_size):
            with torch.no_grad():
                chunk = cells[:, :, start:end]
                if vae.post_quant_conv is not None:
                    chunk = vae.post_quant_conv(chunk)
                chunk, cache = vae.decoder(chunk, conv_cache=cache)
            yield chunk[0].clamp(-1.0, 1.0)

    def estimate(self, pipe: Any, latents: torch.Tensor, segment: Segment) -> torch.Tensor:
        """The middle latent frame, with the noise that is still in it."""
        middle = latents.shape[1] // 2
        return latents[:, middle : middle + 1].permute(0, 2, 1, 3, 4)

    def decode_frame(self, pipe: Any, latent: torch.Tensor) -> torch.Tensor:
        """Decode one latent frame alone, as if it were the first of a clip (the codec is causal)."""
        picture: torch.Tensor = pipe.vae.decode(_raw(pipe, latent), return_dict=False)[0][0, :, 0]
        return picture.clamp(-1.0, 1.0)


def _raw(pipe: Any, cells: torch.Tensor) -> torch.Tensor:
    scaled: torch.Tensor = 1 / pipe.vae_scaling_factor_image * cells
    return scaled.to(pipe.vae.dtype)


def _padding(pipe: Any, latents: torch.Tensor, segment: Segment) -> int:
    """Latent frames that the pipeline put in front to fill its temporal patch (CogVideoX 1.5)."""
    wanted: int = (segment.native.num_frames - 1) // pipe.vae_scale_factor_temporal + 1
    added: int = latents.shape[1] - wanted
    return added


def _chunks(latent_frames: int, batch: int) -> Iterator[tuple[int, int]]:
    """How the codec cuts a clip: whole batches, the remainder goes to the first one."""
    remainder = latent_frames % batch
    for index in range(max(latent_frames // batch, 1)):
        yield batch * index + (0 if index == 0 else remainder), batch * (index + 1) + remainder
