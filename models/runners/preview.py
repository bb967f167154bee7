"""Preview pictures while a clip is denoised, and the step from model output to frames.

A preview decodes one frame of the latents with the model's own codec, after the latents were shrunk so
that the picture is at most `PREVIEW_SIDE` pixels wide or high. The cost is that of one small frame whatever
the clip's size, and it works for every checkpoint; a fixed linear projection of the channels would be
faster still but must be fitted to each codec. Early pictures show noise: that is where the clip stands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import interpolate

if TYPE_CHECKING:
    from models.runners.base import Frame
    from models.runners.families import Family, Segment

PREVIEW_SIDE = 320
"""Pixels of the longer side: about a third of a 480p frame, below 30 kB as JPEG."""


def preview_picture(family: Family, pipe: Any, latents: torch.Tensor, segment: Segment) -> Frame:
    """One small picture of the clip as it stands.

    Args:
        family: How to read the latents.
        pipe: The pipeline, inside its denoising loop.
        latents: As its step callback gives them.
        segment: What is being made.
    """
    with torch.no_grad():
        latent = family.estimate(pipe, latents, segment)
        picture = family.decode_frame(pipe, _shrunk(latent, segment))
    return to_frames(picture.unsqueeze(1))[0]


def to_frames(video: torch.Tensor) -> list[Frame]:
    """Pictures in [-1, 1], 3 x frames x height x width, as uint8 frames (rounded as diffusers rounds)."""
    pixels = video.float().mul(0.5).add_(0.5).clamp_(0.0, 1.0).mul_(255.0).round_().to(torch.uint8)
    return list(pixels.permute(1, 2, 3, 0).contiguous().cpu().numpy())


def _shrunk(latent: torch.Tensor, segment: Segment) -> torch.Tensor:
    """Fewer latent cells, by area, so that the longer side decodes to at most `PREVIEW_SIDE` pixels."""
    scale = PREVIEW_SIDE / max(segment.native.width, segment.native.height)
    if scale >= 1.0:
        return latent
    height, width = latent.shape[-2:]
    cells = (1, max(1, round(height * scale)), max(1, round(width * scale)))
    return interpolate(latent.float(), size=cells, mode="area").to(latent.dtype)
