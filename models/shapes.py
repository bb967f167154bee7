"""The shape of a model's networks, from which its FLOPs, bytes and memory follow (see `models.cost`)."""

from __future__ import annotations

from pydantic import Field, PositiveInt, model_validator

from models.blocks import Block, Sourced
from models.flops import KINDS


class Transformer(Sourced):
    """Shape of the denoiser, from which FLOPs, bytes and memory follow (see `models.cost`)."""

    kind: str
    """Which arithmetic: a name in `models.flops`."""
    params: int = Field(gt=0)
    """Parameters of one expert."""
    experts: int = Field(default=1, ge=1)
    width: int | None = Field(default=None, gt=0)
    mlp: int | None = Field(default=None, gt=0)
    layers: int | None = Field(default=None, gt=0)
    heads: int | None = Field(default=None, gt=0)
    text_tokens: int = Field(default=0, ge=0)
    image_tokens: int = Field(default=0, ge=0)
    temporal_compression: int = Field(default=4, ge=1)
    spatial_compression: int = Field(default=8, ge=1)
    patch: int = Field(default=1, ge=1)
    flops_per_forward: float | None = Field(default=None, gt=0)
    """For UNets, FLOPs of one forward at `reference` (width, height, frames), spatial attention left out;
    scaled by pixels x frames."""
    attention_flops_per_forward: float = Field(default=0.0, ge=0)
    """For UNets, FLOPs of spatial self-attention at `reference`; scaled by pixels squared x frames."""
    reference: tuple[PositiveInt, PositiveInt, PositiveInt] | None = None
    run_frames: int | None = Field(default=None, ge=2)
    """Where the pipeline itself makes a longer clip in runs: frames of one run, which share one frame."""
    reference_latents: int = Field(default=0, ge=0)
    """Latent frames that are denoised beside the clip's own, such as a reference picture."""
    audio_width: int | None = Field(default=None, gt=0)
    """Width of the sound's own stream, where picture and sound are denoised together."""
    audio_tokens_per_frame: float = Field(default=0.0, ge=0)
    """Tokens of sound for each frame of the clip at its own frame rate."""
    face_layers: int = Field(default=0, ge=0)
    """Layers after which the driving face is attended to."""
    flops_per_frame: float = Field(default=0.0, ge=0)
    """Work for each frame of the clip in every forward, whatever its size (a face encoder)."""
    activation_bytes_per_token_width: float = Field(default=22.0, ge=0)
    """Live activation bytes of one call, per token and unit of width (for UNets per pixel and frame); the
    batch of two that some pipelines use for guidance is in it."""

    @model_validator(mode="after")
    def _complete(self) -> Transformer:
        kind = KINDS.get(self.kind)
        if kind is None:
            raise ValueError(f"kind {self.kind!r} is unknown; allowed: {', '.join(sorted(KINDS))}")
        missing = [name for name in kind.needs if getattr(self, name) is None]
        if missing:
            raise ValueError(f"a {self.kind} transformer needs {', '.join(missing)}")
        return self


class Vae(Sourced):
    """kFLOP per pixel and frame of the codec, and its peak memory while decoding."""

    decode_kflop: float = Field(ge=0)
    encode_kflop: float = Field(ge=0)
    encodes_all_frames: bool = False
    peak_bytes_per_pixel: float = Field(default=0.0, ge=0)
    """Part of the decode peak that does not grow with the number of frames (codecs that stream)."""
    peak_bytes_per_pixel_frame: float = Field(default=0.0, ge=0)
    """Part of the decode peak that does."""


class Rendering(Sourced):
    """Cost of a renderer without a network: CPU seconds per megapixel of output frames."""

    seconds_per_megapixel: float = Field(ge=0)
    fixed_seconds: float = Field(ge=0)
    bytes_per_pixel: float = Field(default=0.0, ge=0)
    """Working memory per pixel of one frame."""


class Cost(Block):
    """What one clip costs in arithmetic; exactly one of `transformer` and `rendering`."""

    transformer: Transformer | None = None
    vae: Vae | None = None
    rendering: Rendering | None = None

    @model_validator(mode="after")
    def _one(self) -> Cost:
        if (self.transformer is None) == (self.rendering is None):
            raise ValueError("give exactly one of transformer and rendering")
        if self.transformer is not None and self.vae is None:
            raise ValueError("a transformer needs its vae")
        return self
