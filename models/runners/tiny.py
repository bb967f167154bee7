"""Small checkpoints of the real diffusers classes with random weights, built on the spot.

They prove the path (loading, conditioning, denoising, decoding, cancelling), not beauty: with untrained
weights the picture is noise or grey, and nothing here pretends otherwise. The shapes follow the tiny
configurations of diffusers' own pipeline tests (tests/pipelines/wan, ltx, stable_video_diffusion).

Every component is built under its own fixed seed, so the same kind and scale give the same weights on
every machine. Run `python -m models.runners.tiny KIND DIRECTORY [--scale demo]` to write one by hand.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import string
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import diffusers
import torch
import transformers

from models.errors import ConfigError

Kind = Literal["wan2.1", "wan2.2-a14b", "wan2.2-ti2v-5b", "ltx-video", "svd"]
Scale = Literal["tiny", "demo", "bench"]

MARK = ".i2v-tiny.json"
"""Written last: a directory without it, or with other contents, was not finished by this recipe."""
RECIPE = 1
"""Raised when a builder changes, so that older directories are built anew."""


@dataclass(frozen=True, slots=True)
class _WanScale:
    """Sizes of a Wan pipeline: transformer, text encoder, image encoder and VAE."""

    heads: int
    head_dim: int
    layers: int
    ffn: int
    vae_base: int
    text_width: int
    text_layers: int
    vocabulary: int
    image_width: int


_WAN: dict[Scale, _WanScale] = {
    # 0.1 M parameters: unit tests.
    "tiny": _WanScale(2, 12, 2, 32, 3, 32, 2, 512, 4),
    # Width 96: a demo clip on a laptop in seconds. The codec takes most of them, so it stays narrow.
    "demo": _WanScale(4, 24, 2, 256, 3, 32, 2, 512, 4),
    # Width 768, 12 layers, 0.9 GB in float32: heavy enough that the pipeline, not the stack around it, sets
    # wall time and memory. Measured on a busy two-core x86 machine, 81 frames of 208x208 in two steps without
    # guidance: 87 CPU-seconds (62 until the first frame), 1.56 GB peak resident.
    "bench": _WanScale(12, 64, 12, 3072, 4, 768, 14, 512, 320),
}


def write_tiny_checkpoint(kind: Kind, directory: Path, *, scale: Scale = "tiny") -> Path:
    """Write a checkpoint directory that `DiffusionPipeline.from_pretrained` loads; safetensors only.

    Safe to call again and from several processes: it is written to a sibling directory, marked complete,
    and renamed into place in one step; whoever comes second uses what is there.

    Args:
        kind: The model family whose pipeline class is built.
        directory: Where the checkpoint is to be; its parent is created.
        scale: `tiny` for tests, `demo` for a laptop, `bench` for timing (Wan kinds only).

    Returns:
        `directory`.

    Raises:
        ConfigError: unknown kind or scale, or `directory` holds something that was not written here.
    """
    build = _builder(kind, scale)
    mark = json.dumps({"kind": kind, "scale": scale, "recipe": RECIPE, "diffusers": diffusers.__version__})
    if _finished(directory, mark):
        return directory
    directory.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
    try:
        with torch.random.fork_rng(devices=[]):
            build().save_pretrained(scratch, safe_serialization=True)
        (scratch / MARK).write_text(mark, encoding="utf-8")
        scratch.chmod(0o755)  # mkdtemp makes it private
        _put_in_place(scratch, directory, mark)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return directory


def _finished(directory: Path, mark: str) -> bool:
    """True when `directory` is this very checkpoint; raises when it is not ours to replace."""
    if not directory.exists():
        return False
    if not (directory / MARK).is_file():
        if directory.is_dir() and not any(directory.iterdir()):
            return False
        raise ConfigError(
            f"{directory} exists and was not written by models.runners.tiny; it is left as it is",
            param="directory",
            allowed="a path that does not exist, or an earlier tiny checkpoint",
        )
    return (directory / MARK).read_text(encoding="utf-8") == mark


def _put_in_place(scratch: Path, directory: Path, mark: str) -> None:
    if directory.exists() and not _finished(directory, mark):
        outdated = Path(tempfile.mkdtemp(prefix=f".{directory.name}.old.", dir=directory.parent))
        os.replace(directory, outdated / "checkpoint")
        shutil.rmtree(outdated, ignore_errors=True)
    try:
        os.rename(scratch, directory)
    except OSError:
        # Another process was first: rename refuses a directory that is not empty.
        if not _finished(directory, mark):
            raise


def _builder(kind: Kind, scale: Scale) -> Callable[[], Any]:
    if kind not in get_args(Kind):
        raise ConfigError(f"no tiny checkpoint of kind {kind!r}", param="kind", allowed=get_args(Kind))
    if scale not in get_args(Scale):
        raise ConfigError(f"no scale {scale!r}", param="scale", allowed=get_args(Scale))
    wan = _WAN[scale]
    builders: dict[Kind, Callable[[], Any]] = {
        "wan2.1": lambda: _wan21(wan),
        "wan2.2-a14b": lambda: _wan22_a14b(wan),
        "wan2.2-ti2v-5b": lambda: _wan22_ti2v_5b(wan),
        "ltx-video": _ltx_video,
        "svd": _svd,
    }
    if scale != "tiny" and not kind.startswith("wan"):
        raise ConfigError(
            f"{kind} is built at scale 'tiny' only; got {scale!r}", param="scale", allowed=("tiny",)
        )
    return builders[kind]


# --- components shared by the families --------------------------------------------------------


def _seeded(build: Callable[[], Any], seed: int = 0) -> Any:
    """Build one component under a fixed seed, in eval mode."""
    torch.manual_seed(seed)
    return build().eval()


def _t5_tokenizer() -> Any:
    """A unigram tokenizer over single printable characters: needs no vocabulary file."""
    letters, printable = string.ascii_letters + string.digits, string.printable.strip()
    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("\u2581", -2.0)]
    vocabulary = special + [("\u2581" + c, -3.0) for c in letters] + [(c, -4.0) for c in printable]
    return transformers.T5Tokenizer(extra_ids=0, vocab=vocabulary)


def _t5_encoder(width: int, layers: int, vocabulary: int, *, multilingual: bool) -> Any:
    config_class = transformers.UMT5Config if multilingual else transformers.T5Config
    model_class = transformers.UMT5EncoderModel if multilingual else transformers.T5EncoderModel
    config = config_class(
        vocab_size=vocabulary,
        d_model=width,
        d_kv=max(8, width // 12),
        d_ff=2 * width,
        num_layers=layers,
        num_heads=4 if width < 128 else 12,
        relative_attention_num_buckets=8,
        decoder_start_token_id=0,
        feed_forward_proj="gated-gelu",
    )
    return _seeded(lambda: model_class(config))


def _clip_config(width: int, size: int, patch: int) -> Any:
    return transformers.CLIPVisionConfig(
        hidden_size=width,
        projection_dim=width,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=size,
        patch_size=patch,
        intermediate_size=2 * width,
    )


def _clip_processor(size: int) -> Any:
    return transformers.CLIPImageProcessorPil(size=size, crop_size=size)


# --- Wan ---------------------------------------------------------------------------------------


def _unipc(flow_shift: float) -> Any:
    return diffusers.UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=flow_shift
    )


def _wan_vae(scale: _WanScale) -> Any:
    """8x in space, 4x in time, 16 channels: the codec of Wan 2.1 and 2.2 A14B."""
    return _seeded(
        lambda: diffusers.AutoencoderKLWan(
            base_dim=scale.vae_base,
            z_dim=16,
            dim_mult=[1] * 4,
            num_res_blocks=1,
            temperal_downsample=[False, True, True],
        )
    )


def _wan22_vae(scale: _WanScale) -> Any:
    """16x in space, 4x in time, 48 channels: the codec of Wan 2.2 TI2V-5B."""
    return _seeded(
        lambda: diffusers.AutoencoderKLWan(
            base_dim=scale.vae_base,
            z_dim=48,
            dim_mult=[1] * 4,
            num_res_blocks=1,
            temperal_downsample=[False, True, True],
            is_residual=True,
            patch_size=2,
            in_channels=12,
            out_channels=12,
            scale_factor_spatial=16,
            scale_factor_temporal=4,
            latents_mean=[0.0] * 48,
            latents_std=[1.0] * 48,
        )
    )


def _wan_transformer(
    scale: _WanScale, channels_in: int, channels_out: int, *, seed: int = 0, image_width: int | None = None
) -> Any:
    return _seeded(
        lambda: diffusers.WanTransformer3DModel(
            patch_size=(1, 2, 2),
            num_attention_heads=scale.heads,
            attention_head_dim=scale.head_dim,
            in_channels=channels_in,
            out_channels=channels_out,
            text_dim=scale.text_width,
            freq_dim=256,
            ffn_dim=scale.ffn,
            num_layers=scale.layers,
            cross_attn_norm=True,
            qk_norm="rms_norm_across_heads",
            rope_max_seq_len=1024,
            image_dim=image_width,
            added_kv_proj_dim=None if image_width is None else scale.heads * scale.head_dim,
        ),
        seed,
    )


def _wan_text(scale: _WanScale) -> dict[str, Any]:
    return {
        "tokenizer": _t5_tokenizer(),
        "text_encoder": _t5_encoder(scale.text_width, scale.text_layers, scale.vocabulary, multilingual=True),
    }


def _wan21(scale: _WanScale) -> Any:
    """Wan 2.1 I2V: the photograph enters as latents and as CLIP tokens."""
    clip = _clip_config(scale.image_width, 32, 8)
    return diffusers.WanImageToVideoPipeline(
        **_wan_text(scale),
        vae=_wan_vae(scale),
        scheduler=_unipc(3.0),
        image_processor=_clip_processor(32),
        image_encoder=_seeded(lambda: transformers.CLIPVisionModel(clip)),
        transformer=_wan_transformer(scale, 36, 16, image_width=scale.image_width),
    )


def _wan22_a14b(scale: _WanScale) -> Any:
    """Wan 2.2 A14B: two experts, switched at 0.9 of the noise schedule (its published boundary)."""
    return diffusers.WanImageToVideoPipeline(
        **_wan_text(scale),
        vae=_wan_vae(scale),
        scheduler=_unipc(3.0),
        transformer=_wan_transformer(scale, 36, 16),
        transformer_2=_wan_transformer(scale, 36, 16, seed=1),
        boundary_ratio=0.9,
    )


def _wan22_ti2v_5b(scale: _WanScale) -> Any:
    """Wan 2.2 TI2V-5B: the photograph enters as the first latent with its own timestep."""
    return diffusers.WanImageToVideoPipeline(
        **_wan_text(scale),
        vae=_wan22_vae(scale),
        scheduler=_unipc(5.0),
        transformer=_wan_transformer(scale, 48, 48),
        expand_timesteps=True,
    )


# --- LTX-Video and SVD -------------------------------------------------------------------------


def _ltx_video() -> Any:
    """LTX-Video 0.9: 32x in space and 8x in time, like the real one."""
    transformer = _seeded(
        lambda: diffusers.LTXVideoTransformer3DModel(
            in_channels=8,
            out_channels=8,
            patch_size=1,
            patch_size_t=1,
            num_layers=1,
            num_attention_heads=4,
            attention_head_dim=8,
            cross_attention_dim=32,
            caption_channels=32,
        )
    )
    scaling = (True, True, True, False)
    vae = _seeded(
        lambda: diffusers.AutoencoderKLLTXVideo(
            in_channels=3,
            out_channels=3,
            latent_channels=8,
            block_out_channels=(8,) * 4,
            decoder_block_out_channels=(8,) * 4,
            layers_per_block=(1,) * 5,
            decoder_layers_per_block=(1,) * 5,
            spatio_temporal_scaling=scaling,
            decoder_spatio_temporal_scaling=scaling,
            decoder_inject_noise=(False,) * 5,
            upsample_residual=(False,) * 4,
            upsample_factor=(1,) * 4,
            timestep_conditioning=False,
            patch_size=4,
            patch_size_t=1,
            encoder_causal=True,
            decoder_causal=False,
        )
    )
    return diffusers.LTXImageToVideoPipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
        vae=vae,
        text_encoder=_t5_encoder(32, 2, 512, multilingual=False),
        tokenizer=_t5_tokenizer(),
        transformer=transformer,
    )


def _svd() -> Any:
    """Stable Video Diffusion: no text; its CLIP encoder must see 224 pixels (fixed in the pipeline)."""
    unet = _seeded(
        lambda: diffusers.UNetSpatioTemporalConditionModel(
            block_out_channels=(32, 64),
            layers_per_block=1,
            sample_size=32,
            in_channels=8,
            out_channels=4,
            cross_attention_dim=32,
            num_attention_heads=8,
            down_block_types=("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
            up_block_types=("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
            projection_class_embeddings_input_dim=96,
            addition_time_embed_dim=32,
        )
    )
    vae = _seeded(
        lambda: diffusers.AutoencoderKLTemporalDecoder(
            block_out_channels=[32] * 4,
            in_channels=3,
            out_channels=3,
            down_block_types=["DownEncoderBlock2D"] * 4,
            latent_channels=4,
        )
    )
    # The released checkpoint's scheduler configuration (scheduler/scheduler_config.json of img2vid-xt).
    scheduler = diffusers.EulerDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        steps_offset=1,
        interpolation_type="linear",
        prediction_type="v_prediction",
        sigma_max=700.0,
        sigma_min=0.002,
        timestep_spacing="leading",
        timestep_type="continuous",
        use_karras_sigmas=True,
    )
    clip = _clip_config(32, 224, 32)
    return diffusers.StableVideoDiffusionPipeline(
        vae=vae,
        image_encoder=_seeded(lambda: transformers.CLIPVisionModelWithProjection(clip)),
        unet=unet,
        scheduler=scheduler,
        feature_extractor=_clip_processor(224),
    )


def main(arguments: list[str] | None = None) -> None:
    """Command line: write one checkpoint and print its path and shape."""
    parser = argparse.ArgumentParser(prog="python -m models.runners.tiny", description=__doc__)
    parser.add_argument("kind", choices=get_args(Kind))
    parser.add_argument("directory", type=Path)
    parser.add_argument("--scale", choices=get_args(Scale), default="tiny")
    options = parser.parse_args(arguments)
    path = write_tiny_checkpoint(options.kind, options.directory, scale=options.scale)
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    shape = asdict(_WAN[options.scale]) if options.kind.startswith("wan") else {}
    print(json.dumps({"path": str(path), "bytes": size, "random_weights": True, **shape}))


if __name__ == "__main__":
    main()
