"""What a clip costs before it is made: FLOPs and bytes to seconds, memory and money.

The arithmetic of a diffusion clip follows from its shape, so it is computed in closed form (`models.flops`,
one file a kind of denoiser) and only the *rates* of a GPU type are fitted. A test holds every closed form
against torch's FlopCounterMode on the real configurations. On p = c u GPUs, of which the passes of a step are
dealt to c halves and u share one forward (`models.sharding`), wall time is

    T(p) = codec * Mpx + steps * ceil(passes / c) * forward(u)
    forward(u) = linear(u) / eta1 + attention / (u eta2) + V(u) / B + fixed
    linear(u) = whole + (linear - whole) * Z / S     (whole: what every GPU does anew; Z = ceil(S / u))
    V(u) = 4 L * 2 Z D * (u - 1) / u                 (bytes that Ulysses attention sends per GPU and forward)

with S tokens, width D and L layers. The codec runs on one GPU, and so do the photograph's encoding and the
MP4: the others of the gang serve other clips meanwhile, so those seconds count once in `gpu_seconds`. What
the two halves exchange, one latent a step, is left out: 20 MB at most. Growth is faster than linear in
pixels x frames, so a pixel budget would be wrong. `estimate` is called for every candidate of a decision: it
does a few dozen multiplications.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from models.card import HOSTED, ApiLatency, PricePerGpuSecond, PricePerSecond
from models.errors import ConfigError
from models.flops import KINDS, Flops, Work
from models.sharding import ALONE, DEGREES, Split, split, stretch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from models.card import Card, Mode, Offer, Price, Rendering, Transformer, Vae
    from models.gpus import GpuType
    from models.types import ClipPlan

CODEC_REFERENCE_KFLOP: Final = 13_570.0
"""kFLOP per pixel and frame of AutoencoderKLWan (2.1), 8 510 to decode and 5 060 to encode: the unit of
`GpuType.vae_seconds_per_megapixel` (FlopCounterMode, diffusers 0.42.1)."""

ENCODE_SECONDS_PER_MEGAPIXEL: Final = 0.016
"""Writing H.264 (libx264 `veryfast`, crf 20), the stills, and the decode that proves the file, in CPU
seconds of one x86 core: 0.0135 to 0.020 from 320x320 to 1280x720, smooth to grainy pictures (PyAV 18)."""

FLOW_SECONDS_PER_MEGAPIXEL: Final = 0.42
BETWEEN_SECONDS_PER_MEGAPIXEL: Final = 0.08
"""In-between frames by optical flow: both directions of one frame gap, and each picture made in it, in CPU
seconds of one x86 core (OpenCV 4.14, DIS): 0.50 and 0.66 per gap for one and three in-betweens."""

USABLE_MEMORY: Final = 0.94
"""Share of device memory that a clip may fill: the CUDA context and allocator fragmentation take the rest."""

_BYTES_PER_ELEMENT: Final = 2
_MAX_COMPILED: Final = 4096


@dataclass(frozen=True, slots=True)
class Estimate:
    """What one clip will take.

    Attributes:
        seconds: Wall time from the start of the run to the finished MP4.
        gpu_seconds: Denoising times the GPUs that it holds, and all other seconds once (see above); 0 for
            hosted offers.
        step_seconds: One denoising step (all passes) of one segment; 0 where there are no steps.
        steps: Denoising steps of all segments.
        memory_bytes: Peak per GPU.
        fits: The peak fits the GPU type's usable memory.
        stages: (stage, seconds) in order; they sum to `seconds`.
    """

    seconds: float
    gpu_seconds: float
    step_seconds: float
    steps: int
    memory_bytes: int
    fits: bool
    stages: tuple[tuple[str, float], ...]


def tokens(transformer: Transformer, width: int, height: int, num_frames: int) -> int:
    """Sequence length of the denoiser for a native clip (latent pixels for a UNet).

    Args:
        transformer: Shape of the denoiser.
        width: Pixels.
        height: Pixels.
        num_frames: Frames of one native segment.
    """
    cell = transformer.spatial_compression
    patch = transformer.patch
    latent_frames = (num_frames - 1) // transformer.temporal_compression + 1 + transformer.reference_latents
    return latent_frames * (height // cell // patch) * (width // cell // patch)


def flops_per_forward(transformer: Transformer, width: int, height: int, num_frames: int) -> Flops:
    """FLOPs of one denoiser forward with batch 1, by the closed form of the denoiser's kind."""
    work = KINDS[transformer.kind].work(transformer)
    return work.flops(tokens(transformer, width, height, num_frames), num_frames, width * height)


def estimate(card: Card, offer: Offer, plan: ClipPlan, gpu: GpuType | None, gpus: int) -> Estimate:
    """Predict time and memory of one clip.

    Args:
        card: The model.
        offer: How it is run; hosted offers take `latency` and need no GPU type.
        plan: Geometry, segments and interpolation.
        gpu: GPU type of the pool; None for a hosted offer.
        gpus: Degree: GPUs that work on this one clip.

    Raises:
        ConfigError: a local offer without a GPU type, a hosted offer without `latency`, or `gpus` below 1.
    """
    key = (id(card), id(offer))
    costing = _compiled.get(key)
    if costing is None or costing.card is not card or costing.offer is not offer:
        costing = _compile(card, offer)
        if len(_compiled) >= _MAX_COMPILED:
            _compiled.clear()
        _compiled[key] = costing
    if costing.latency is not None:
        seconds = costing.latency * plan.segments
        return Estimate(seconds, 0.0, 0.0, 0, 0, True, (("hosted", seconds),))
    if gpu is None:
        raise ConfigError(f"{card.id}/{offer.id} runs on our own machines: a GPU type is needed", param="gpu")
    if gpus < 1:
        raise ConfigError(f"{card.id}/{offer.id} needs at least 1 GPU, got {gpus}", param="gpus")
    if costing.rendering is not None:
        return _rendered(costing.rendering, plan, gpu, gpus)
    return _denoised(costing, plan, gpu, gpus)


def price_of(offer: Offer, mode: Mode) -> Price | None:
    """The price that counts for a mode: its own, else the offer's; None when nobody knows it."""
    price = offer.price if mode.price is None else mode.price
    return None if price == "unknown" else price


def usd(
    price: Price | None,
    plan: ClipPlan,
    estimate: Estimate,
    gpu: GpuType | None,
    *,
    with_audio: bool = False,
) -> float | None:
    """Price of one clip in USD; None when there is no price, or it needs a GPU type that is not given.

    Args:
        price: What `price_of` found.
        plan: The seconds that are generated (a clip cut to 5 s of 6 is billed as 6), or the segments it
            takes, are billed.
        estimate: Its GPU-seconds are billed where the price is by GPU.
        gpu: GPU type of the pool; None for hosted offers.
        with_audio: Sound is generated too.
    """
    if price is None:
        return None
    if isinstance(price, PricePerGpuSecond):
        return None if gpu is None else estimate.gpu_seconds * gpu.usd_per_hour / 3600.0
    rate = price.usd_with_audio if with_audio and price.usd_with_audio is not None else price.usd
    if isinstance(price, PricePerSecond):
        return rate * plan.native.seconds * plan.segments
    return rate * plan.segments


_NO_WORK: Final = Work()


@dataclass(frozen=True, slots=True)
class _Costing:
    """Constants of one card and offer, computed once. Holds both, so that their ids stay theirs."""

    card: Card
    offer: Offer
    latency: float | None = None
    rendering: Rendering | None = None
    work: Work = _NO_WORK
    bytes_per_token: float = 0.0
    """What Ulysses moves: 4 L D elements' worth for each token that a GPU holds."""
    activation_per_token: float = 0.0
    activation_per_voxel: float = 0.0
    splits: Mapping[int, Split] = field(default_factory=dict)
    """By GPU count; absent where they cannot share a clip (a UNet has no such plan)."""
    cell: int = 1
    temporal: int = 1
    extra_latents: int = 0
    run_frames: int | None = None
    steps: int = 0
    passes: int = 0
    encode_ratio: float = 0.0
    """Encoder work per encoded pixel and frame, in units of the reference codec."""
    encodes_all_frames: bool = False
    decode_ratio: float = 0.0
    decode_peak_per_pixel: float = 0.0
    decode_peak_per_voxel: float = 0.0
    weights: int = 0


_compiled: dict[tuple[int, int], _Costing] = {}


def _compile(card: Card, offer: Offer) -> _Costing:
    if offer.backend in HOSTED:
        if not isinstance(offer.latency, ApiLatency):
            raise ConfigError(f"{card.id}/{offer.id} is hosted and names no latency", param="latency")
        return _Costing(card, offer, latency=offer.latency.p50)
    cost = card.cost
    if cost is None:
        raise ConfigError(f"{card.id} has no cost block, so {offer.id} cannot be priced", param="cost")
    if cost.rendering is not None:
        return _Costing(card, offer, rendering=cost.rendering)
    transformer, vae, sampling = cost.transformer, cost.vae, offer.sampling
    if transformer is None or vae is None or sampling is None:
        raise ConfigError(
            f"{card.id}/{offer.id} denoises without transformer, vae and sampling", param="cost"
        )
    return _denoiser(card, offer, transformer, vae, sampling.steps, sampling.passes_per_step)


def _denoiser(
    card: Card, offer: Offer, transformer: Transformer, vae: Vae, steps: int, passes: int
) -> _Costing:
    kind = KINDS[transformer.kind]
    by_tokens = transformer.width is not None
    width, layers = transformer.width or 0, transformer.layers or 0
    activation = transformer.activation_bytes_per_token_width
    return _Costing(
        card,
        offer,
        work=kind.work(transformer),
        bytes_per_token=4.0 * layers * _BYTES_PER_ELEMENT * width,
        activation_per_token=activation * width if by_tokens else 0.0,
        activation_per_voxel=0.0 if by_tokens else activation,
        splits={n: how for n in DEGREES if (how := split(transformer, passes, n)) is not None},
        cell=transformer.spatial_compression * transformer.patch,
        temporal=transformer.temporal_compression,
        extra_latents=transformer.reference_latents,
        run_frames=transformer.run_frames,
        steps=steps,
        passes=passes,
        encode_ratio=vae.encode_kflop / CODEC_REFERENCE_KFLOP,
        encodes_all_frames=vae.encodes_all_frames,
        decode_ratio=vae.decode_kflop / CODEC_REFERENCE_KFLOP,
        decode_peak_per_pixel=vae.peak_bytes_per_pixel,
        decode_peak_per_voxel=vae.peak_bytes_per_pixel_frame,
        weights=card.weights.bytes or transformer.params * transformer.experts * _BYTES_PER_ELEMENT,
    )


def _denoised(costing: _Costing, plan: ClipPlan, gpu: GpuType, gpus: int) -> Estimate:
    native = plan.native
    frames, segments = native.num_frames, plan.segments
    if costing.run_frames is not None:
        # Every run is made in full, also the last; neighbours share one frame.
        segments *= max(1, -(-(frames - 1) // (costing.run_frames - 1)))
        frames = costing.run_frames
    pixels = native.width * native.height
    voxels = pixels * frames
    # What cannot be shared is done by one GPU, beside the others that were given to it.
    how = costing.splits.get(gpus, ALONE)
    shared = how.ulysses

    cell = costing.cell
    latent_frames = (frames - 1) // costing.temporal + 1 + costing.extra_latents
    count = latent_frames * (native.height // cell) * (native.width // cell)
    flops = costing.work.flops(count, frames, pixels)
    if shared == 1:
        forward = flops.linear / gpu.linear_flops + flops.attention / gpu.attention_flops
    else:
        held = stretch(count, shared)
        linear = flops.whole + (flops.linear - flops.whole) * held / count
        forward = linear / gpu.linear_flops + flops.attention / (shared * gpu.attention_flops)
        forward += costing.bytes_per_token * held * (shared - 1) / (shared * gpu.interconnect_bytes_per_s)
    step_seconds = -(-costing.passes // how.cfg) * (forward + gpu.fixed_seconds_per_forward)

    steps = costing.steps * segments
    codec = gpu.vae_seconds_per_megapixel * 1e-6 * segments
    encoded = voxels
    if not costing.encodes_all_frames:
        # Each later segment of the chain begins with the frames that it shares with the one before.
        encoded = pixels + pixels * (plan.overlap - 1) * (plan.segments - 1) // segments
    encoding = codec * costing.encode_ratio * encoded
    denoising = steps * step_seconds
    decoding = codec * costing.decode_ratio * voxels
    muxing = _muxing(plan)
    seconds = encoding + denoising + decoding + muxing

    activations = (costing.activation_per_token * count + costing.activation_per_voxel * voxels) / shared
    decode_peak = costing.decode_peak_per_pixel * pixels + costing.decode_peak_per_voxel * (
        pixels * native.num_frames
    )
    memory = int(costing.weights + max(activations, decode_peak))
    return Estimate(
        seconds,
        seconds + denoising * (gpus - 1),
        step_seconds,
        steps,
        memory,
        memory <= gpu.memory_bytes * USABLE_MEMORY,
        (
            ("encoding_input", encoding),
            ("denoising", denoising),
            ("decoding", decoding),
            ("muxing", muxing),
        ),
    )


def _rendered(rendering: Rendering, plan: ClipPlan, gpu: GpuType, gpus: int) -> Estimate:
    native = plan.native
    pixels = native.width * native.height
    megapixels = pixels * plan.native_frames * 1e-6
    drawing = rendering.fixed_seconds + rendering.seconds_per_megapixel * megapixels
    muxing = _muxing(plan)
    seconds = drawing + muxing
    memory = int(rendering.bytes_per_pixel * pixels)
    return Estimate(
        seconds,
        seconds * gpus,
        0.0,
        0,
        memory,
        memory <= gpu.memory_bytes * USABLE_MEMORY,
        (("rendering", drawing), ("muxing", muxing)),
    )


def _muxing(plan: ClipPlan) -> float:
    """Seconds of in-between frames and H.264, both on a CPU core."""
    effective = plan.effective
    seconds = ENCODE_SECONDS_PER_MEGAPIXEL * 1e-6 * effective.width * effective.height * effective.num_frames
    if plan.interpolation > 1:
        native = plan.native
        per_gap = FLOW_SECONDS_PER_MEGAPIXEL + BETWEEN_SECONDS_PER_MEGAPIXEL * (plan.interpolation - 1)
        gaps = plan.native_frames - 1
        seconds += per_gap * 1e-6 * native.width * native.height * gaps
    return seconds
