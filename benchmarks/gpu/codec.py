"""Seconds to decode a clip, and what each lever of the codec is worth."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.gpu.building import build
from benchmarks.gpu.subjects import Shape, Subject


@dataclass(frozen=True, slots=True)
class CodecLever:
    """One way to decode faster."""

    key: str
    what: str
    dtype: torch.dtype = torch.float32
    channels_last: bool = False
    search: bool = False
    """Let cuDNN try its kernels on each new shape and keep the fastest."""


CODEC_EAGER = CodecLever("eager", "float32, as Wan's is run (convolutions in TF32, torch's default)")
CODEC_LEVERS = (
    CODEC_EAGER,
    CodecLever("search", "cuDNN tries its kernels first", search=True),
    CodecLever("channels-last", "channels innermost in memory", channels_last=True),
    CodecLever("channels-last+search", "both", channels_last=True, search=True),
    CodecLever("bfloat16", "half the bytes, twice the rate", torch.bfloat16),
    CodecLever("bfloat16+channels-last", "both", torch.bfloat16, channels_last=True),
    CodecLever("bfloat16+channels-last+search", "all three", torch.bfloat16, channels_last=True, search=True),
)


def codec(subject: Subject, lever: CodecLever, device: torch.device) -> Any:
    """The codec of a model with a lever laid."""
    made = build(subject.codec, subject.codec_config, device, torch.float32)
    if lever.dtype != torch.float32:
        made = made.to(lever.dtype)
    if lever.channels_last:
        to_channels_last(made)
    return made


def to_channels_last(model: torch.nn.Module) -> int:
    """Channels innermost in every convolution weight, of two and of three dimensions; returns how many."""
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    count = 0
    for parameter in model.parameters():
        if parameter.ndim in formats:
            parameter.data = parameter.data.contiguous(memory_format=formats[parameter.ndim])
            count += 1
    return count


def random_latents(subject: Subject, shape: Shape, lever: CodecLever, device: torch.device) -> torch.Tensor:
    """What a clip of that shape decodes from, equal for every lever but for its number format."""
    generator = torch.Generator(device).manual_seed(2)
    size = (1, subject.latent_channels, *subject.latent(shape))
    latents = torch.randn(size, generator=generator, device=device).to(lever.dtype)
    return latents.contiguous(memory_format=torch.channels_last_3d) if lever.channels_last else latents


def decoded(model: Any, latents: torch.Tensor) -> torch.Tensor:
    """Frames from latents."""
    with torch.no_grad():
        return model.decode(latents, return_dict=False)[0]


@contextmanager
def searching(lever: CodecLever) -> Iterator[None]:
    """cuDNN's search while the lever asks for it."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = lever.search
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before
