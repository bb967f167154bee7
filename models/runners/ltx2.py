"""LTX-2: picture and sound denoised together; two codecs and a vocoder."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from models.runners.base import Sound
from models.runners.families import Lattice, ltx_lattice, tile_when_large
from models.runners.tape import Prepared

if TYPE_CHECKING:
    from models.runners.families import Segment

SIZE_CHECK = 32
"""`LTX2ImageToVideoPipeline.check_inputs` raises unless both sides are multiples of 32."""
TEXT_TOKENS = 1024
"""The pipeline's default, to which the connectors were trained."""
STG_BLOCKS = [29]
STG_BLOCKS_2_3 = [28]
"""Blocks perturbed for spatio-temporal guidance: Lightricks/LTX-2, ltx-pipelines `utils/constants.py`
(`LTX_2_PARAMS` and `LTX_2_3_PARAMS`). Its scales (picture 3 / 1 / 3, sound 7 / 1 / 3, rescale 0.7) are the
defaults of the pipeline."""
UNGUIDED = {
    "stg_scale": 0.0,
    "modality_scale": 1.0,
    "guidance_rescale": 0.0,
    "audio_guidance_scale": 1.0,
    "audio_stg_scale": 0.0,
    "audio_modality_scale": 1.0,
    "audio_guidance_rescale": 0.0,
}
"""Every guidance off, for distilled weights: one pass a step."""


class Ltx2Family:
    """`LTX2ImageToVideoPipeline` of diffusers."""

    pipeline = "LTX2ImageToVideoPipeline"
    # Photograph and latents reach the codec in the text encoder's type, so one type serves all.
    float32: tuple[str, ...] = ()
    # The connectors read all layers of the text encoder (0.8 GB in bfloat16); what they make of it is small.
    prepared: tuple[Prepared, ...] = (
        Prepared("encode_prompt", dropped=frozenset({0})),
        Prepared("connectors"),
        Prepared("prepare_latents", moves="latents"),
        Prepared("prepare_audio_latents", moves="audio_latents"),
    )

    def lattice(self, pipe: Any) -> Lattice:
        """Multiples of 32 pixels and 8k+1 frames for the released codec."""
        return ltx_lattice(pipe, SIZE_CHECK)

    def takes_last_image(self, pipe: Any) -> bool:
        """Never: that is another pipeline class (LTX2ConditionPipeline)."""
        return False

    def arguments(self, pipe: Any, segment: Segment) -> dict[str, Any]:
        """Call arguments; guidance 1 means distilled weights and switches every other guidance off, too."""
        tile_when_large(pipe.vae, segment)
        # 2.3 modulates its prompts; 2.0 does not, and takes its cross-modal timestep from the other side.
        newer = bool(pipe.transformer.config.cross_attn_mod)
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
            "spatio_temporal_guidance_blocks": STG_BLOCKS_2_3 if newer else STG_BLOCKS,
            "use_cross_timestep": newer,
            "generator": segment.generator,
            "max_sequence_length": TEXT_TOKENS,
            # A stand-in needs no H.264 pass, which the pipeline puts its photograph through.
            **({"image_crf": 0} if segment.prepared else {}),
            **({} if segment.guidance > 1.0 else UNGUIDED),
        }

    def decode(self, pipe: Any, latents: torch.Tensor, segment: Segment) -> Iterator[torch.Tensor]:
        """Decode in one piece: the codec is not causal when it decodes. The pipeline denormalised them."""
        tile_when_large(pipe.vae, segment)
        with torch.no_grad():
            cells = latents.to(pipe.vae.dtype)
            video = pipe.vae.decode(cells, _timestep(pipe, cells), return_dict=False)[0][0]
        yield video.clamp(-1.0, 1.0)

    def sound(self, pipe: Any, output: Any, segment: Segment) -> Sound:
        """From latents to a spectrogram to samples, as the pipeline does it."""
        with torch.no_grad():
            cells = output.audio.to(pipe.audio_vae.dtype)
            spectrogram = pipe.audio_vae.decode(cells, return_dict=False)[0]
            samples = pipe.vocoder(spectrogram)[0].float().cpu().numpy()
        return Sound(
            np.ascontiguousarray(samples, dtype=np.float32), pipe.vocoder.config.output_sampling_rate
        )

    def estimate(self, pipe: Any, latents: torch.Tensor, segment: Segment) -> torch.Tensor:
        """The middle latent frame, with the noise that is still in it (Euler keeps no clean estimate)."""
        spatial, temporal = pipe.vae_spatial_compression_ratio, pipe.vae_temporal_compression_ratio
        cells: torch.Tensor = pipe._unpack_latents(
            latents,
            (segment.native.num_frames - 1) // temporal + 1,
            segment.native.height // spatial,
            segment.native.width // spatial,
            pipe.transformer_spatial_patch_size,
            pipe.transformer_temporal_patch_size,
        )
        middle = cells.shape[2] // 2
        return cells[:, :, middle : middle + 1]

    def decode_frame(self, pipe: Any, latent: torch.Tensor) -> torch.Tensor:
        """Decode one latent frame alone: one picture."""
        vae = pipe.vae
        cells = pipe._denormalize_latents(
            latent, vae.latents_mean, vae.latents_std, vae.config.scaling_factor
        ).to(vae.dtype)
        picture: torch.Tensor = vae.decode(cells, _timestep(pipe, cells), return_dict=False)[0]
        return picture[0, :, 0].clamp(-1.0, 1.0)


def _timestep(pipe: Any, cells: torch.Tensor) -> torch.Tensor | None:
    """0, the pipeline's default, for codecs that take one (no released one does)."""
    if not pipe.vae.config.timestep_conditioning:
        return None
    return torch.zeros(1, device=cells.device, dtype=cells.dtype)
