"""Wan 2.1, Wan 2.2 A14B and Wan 2.2 TI2V-5B: one pipeline class, three ways for the photograph to enter."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import unpatchify

from models.runners.families import Lattice, tile_when_large
from models.runners.tape import Prepared

if TYPE_CHECKING:
    from models.runners.families import Segment
    from models.runners.tape import Calls

TEXT_TOKENS = 512
"""Fixed by diffusers' WanAttnProcessor, which counts image tokens as all beyond the first 512."""
SIZE_CHECK = 16
"""`WanImageToVideoPipeline.check_inputs` raises unless both sides are multiples of 16."""


class WanFamily:
    """`WanImageToVideoPipeline` of diffusers."""

    pipeline = "WanImageToVideoPipeline"
    # As in diffusers' documentation of the pipeline: VAE and CLIP in float32, the rest in bfloat16.
    float32: tuple[str, ...] = ("vae", "image_encoder")
    prepared: tuple[Prepared, ...] = (
        Prepared("encode_prompt"),
        Prepared("encode_image"),
        Prepared("prepare_latents", moves="latents"),
    )

    def branches(self, pipe: Any, calls: Calls) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Both prompts in the denoiser's type, as the pipeline converts them."""
        wanted, unwanted = calls["encode_prompt"][0]
        if unwanted is None:
            return None
        dtype = pipe.transformer.dtype
        return wanted.to(dtype), unwanted.to(dtype)

    def lattice(self, pipe: Any) -> Lattice:
        """Multiples of VAE cell times patch (16; 32 for TI2V-5B, to which it would floor); 4k+1 frames."""
        patch = max(pipe.transformer.config.patch_size[1:])
        return Lattice(
            math.lcm(SIZE_CHECK, pipe.vae_scale_factor_spatial * patch), pipe.vae_scale_factor_temporal
        )

    def takes_last_image(self, pipe: Any) -> bool:
        """Not with `expand_timesteps` (it is ignored), nor with CLIP tokens for one picture only."""
        if pipe.config.expand_timesteps:
            return False
        config = pipe.transformer.config
        return config.image_dim is None or config.pos_embed_seq_len is not None

    def arguments(self, pipe: Any, segment: Segment) -> dict[str, Any]:
        """Call arguments; A14B's second expert takes the same guidance, as `guidance_scale_2` defaults."""
        tile_when_large(pipe.vae, segment)
        return {
            "image": segment.image,
            "last_image": segment.last_image,
            "prompt": segment.prompt,
            "negative_prompt": segment.negative_prompt,
            "width": segment.native.width,
            "height": segment.native.height,
            "num_frames": segment.native.num_frames,
            "num_inference_steps": segment.steps,
            "guidance_scale": segment.guidance,
            "generator": segment.generator,
            "max_sequence_length": TEXT_TOKENS,
        }

    def decode(self, pipe: Any, latents: torch.Tensor, segment: Segment) -> Iterator[torch.Tensor]:
        """Decode latent frame by latent frame (1, then 4 pictures each).

        Does what `AutoencoderKLWan.decode` does, bit for bit, but hands every chunk out before the next one
        is made: no clip of floats is ever held. Tiled (large) clips come in one piece.
        """
        vae = pipe.vae
        tile_when_large(vae, segment)
        with torch.no_grad():
            cells = _raw(vae, latents)
            whole = vae.decode(cells, return_dict=False)[0][0] if vae.use_tiling else None
        if whole is not None:
            yield whole
            return
        with torch.no_grad():
            vae.clear_cache()
            # Kept here, not in the codec: another clip may be coded while this one's pictures are taken.
            cache = vae._feat_map
            vae.clear_cache()
            cells = vae.post_quant_conv(cells)
        for index in range(cells.shape[2]):
            with torch.no_grad():
                chunk = vae.decoder(
                    cells[:, :, index : index + 1], feat_cache=cache, feat_idx=[0], first_chunk=index == 0
                )
                if vae.config.patch_size is not None:
                    chunk = unpatchify(chunk, patch_size=vae.config.patch_size)
            yield chunk[0].clamp(-1.0, 1.0)

    def estimate(self, pipe: Any, latents: torch.Tensor, segment: Segment) -> torch.Tensor:
        """The middle latent frame; UniPC keeps its estimate of the clean latents, other solvers do not."""
        outputs = getattr(pipe.scheduler, "model_outputs", None)
        clean = outputs[-1] if outputs else None
        believed = clean if clean is not None and clean.shape == latents.shape else latents
        middle = believed.shape[2] // 2
        return believed[:, :, middle : middle + 1]

    def decode_frame(self, pipe: Any, latent: torch.Tensor) -> torch.Tensor:
        """Decode it as if it were the first of a clip (the codec is causal)."""
        picture: torch.Tensor = pipe.vae.decode(_raw(pipe.vae, latent), return_dict=False)[0][0, :, 0]
        return picture


def _raw(vae: Any, latents: torch.Tensor) -> torch.Tensor:
    """From the normalised space of the transformer to the codec's own."""
    cells = latents.to(vae.dtype)
    mean = torch.tensor(vae.config.latents_mean).view(1, -1, 1, 1, 1).to(cells.device, cells.dtype)
    # Division by the reciprocal, as the pipeline does it: the last bit is the same.
    inverse = 1.0 / torch.tensor(vae.config.latents_std).view(1, -1, 1, 1, 1).to(cells.device, cells.dtype)
    return cells / inverse + mean
