"""What one denoising step feeds a transformer, as the pipelines of diffusers 0.42.1 do: random numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.gpu.subjects import Shape, Subject

Calls = tuple[tuple[str, Mapping[str, Any]], ...]
"""Forwards of one step: the cache context under which the pipeline makes each, and its arguments."""

GUIDANCE = 5.0
NOISY = 900.0
"""A timestep early in the schedule, of 1000."""
FPS = 25.0
"""Frame rate that LTX-Video's positions are given for."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """Random numbers in the shapes of one clip.

    Attributes:
        subject: What they are for.
        latent: Frames, height and width of the latent video.
        noise: Where denoising starts.
        condition: The photograph: beside the noise (Wan 2.1) or in its first frame (the others).
        words: For the conditioned pass and for the other; one tensor of both for batched families.
        picture: Image tokens, where the model has them.
        free: 1 where a latent is denoised, 0 where it belongs to the photograph.
    """

    subject: Subject
    latent: tuple[int, int, int]
    noise: torch.Tensor
    condition: torch.Tensor
    words: tuple[torch.Tensor, ...]
    picture: torch.Tensor | None
    free: torch.Tensor

    def calls(self, latents: torch.Tensor, timestep: float) -> Calls:
        """The forwards of a step at `timestep` (1000 is pure noise)."""
        if self.subject.inputs == "ltx":
            return self._batched(latents, timestep)
        dtype = self.words[0].dtype
        if self.subject.inputs == "wan":
            hidden = torch.cat([latents, self.condition], dim=1)
            moment = torch.full((1,), timestep, device=latents.device)
        else:
            hidden = (1 - self.free) * self.condition + self.free * latents
            moment = (self.free[0, 0][:, ::2, ::2] * timestep).flatten().unsqueeze(0)
        shared: dict[str, Any] = {
            "hidden_states": hidden.to(dtype),
            "timestep": moment,
            "encoder_hidden_states_image": self.picture,
            "return_dict": False,
        }
        contexts = ("cond", "uncond")
        return tuple(
            (context, {**shared, "encoder_hidden_states": words})
            for context, words in zip(contexts, self.words, strict=True)
        )

    def _batched(self, latents: torch.Tensor, timestep: float) -> Calls:
        frames, height, width = self.latent
        words, subject = self.words[0], self.subject
        hidden = (1 - self.free) * self.condition + self.free * latents
        return (
            (
                "cond_uncond",
                {
                    "hidden_states": torch.cat([hidden] * 2).to(words.dtype),
                    "encoder_hidden_states": words,
                    "timestep": timestep * self.free[..., 0].expand(2, -1),
                    "encoder_attention_mask": torch.ones(2, subject.text_tokens, device=words.device),
                    "num_frames": frames,
                    "height": height,
                    "width": width,
                    "rope_interpolation_scale": (subject.temporal / FPS, subject.spatial, subject.spatial),
                    "return_dict": False,
                },
            ),
        )

    def guided(self, outputs: Sequence[torch.Tensor]) -> torch.Tensor:
        """The velocity that the solver gets, in float32."""
        if self.subject.inputs == "ltx":
            negative, positive = outputs[0].float().chunk(2)
        else:
            positive, negative = (output.float() for output in outputs)
        return negative + GUIDANCE * (positive - negative)


def random_inputs(
    subject: Subject, shape: Shape, device: torch.device, dtype: torch.dtype, *, seed: int = 1
) -> Inputs:
    """Inputs of one shape, equal on every call with the same arguments and device.

    Raises:
        ValueError: the model does not make that shape.
    """
    generator = torch.Generator(device).manual_seed(seed)

    def draw(*size: int, kind: torch.dtype = torch.float32) -> torch.Tensor:
        return torch.randn(*size, generator=generator, device=device, dtype=kind)

    frames, height, width = latent = subject.latent(shape)
    channels = subject.latent_channels
    words = (subject.text_tokens, subject.text_width)
    picture = draw(1, subject.image_tokens, subject.image_width, kind=dtype) if subject.image_tokens else None
    if subject.inputs == "ltx":
        free = torch.ones(1, frames * height * width, 1, device=device)
        free[:, : height * width] = 0
        size: tuple[int, ...] = (1, frames * height * width, channels)
        both = (draw(2, *words, kind=dtype),)
        return Inputs(subject, latent, draw(*size), draw(*size), both, picture, free)
    free = torch.ones(1, 1, frames, height, width, device=device)
    free[:, :, 0] = 0
    beside = subject.config["in_channels"] - channels or channels
    noise = draw(1, channels, frames, height, width)
    condition = draw(1, beside, frames, height, width)
    apart = (draw(1, *words, kind=dtype), draw(1, *words, kind=dtype))
    return Inputs(subject, latent, noise, condition, apart, picture, free)


def forward(model: Any, calls: Calls) -> list[torch.Tensor]:
    """The forwards of one step."""
    outputs: list[torch.Tensor] = []
    with torch.no_grad():
        for context, arguments in calls:
            with model.cache_context(context) if model.is_cache_enabled else nullcontext():
                outputs.append(model(**arguments)[0])
    return outputs


def converted(calls: Calls, dtype: torch.dtype) -> Calls:
    """The same forwards in another number format; timesteps and masks keep theirs."""
    names = {"hidden_states", "encoder_hidden_states", "encoder_hidden_states_image"}
    return tuple(
        (
            context,
            {
                name: value.to(dtype) if name in names and value is not None else value
                for name, value in arguments.items()
            },
        )
        for context, arguments in calls
    )
