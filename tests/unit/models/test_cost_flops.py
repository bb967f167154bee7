"""The closed forms against torch's own counter, on the real configurations (no weights, no memory).

The shapes are those of huggingface/diffusers `scripts/convert_*_to_diffusers.py` and class defaults.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import diffusers
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from models.card import Transformer
from models.catalog import Catalog
from models.cost import flops_per_forward, tokens

TOLERANCE = 0.02

WAN = {"attention_head_dim": 128, "text_dim": 4096, "patch_size": (1, 2, 2)}
CONFIGS: dict[str, dict[str, Any]] = {
    "wan2.2-i2v-a14b": dict(
        num_attention_heads=40, in_channels=36, out_channels=16, ffn_dim=13824, num_layers=40, **WAN
    ),
    "wan2.1-i2v-480p": dict(
        num_attention_heads=40,
        in_channels=36,
        out_channels=16,
        ffn_dim=13824,
        num_layers=40,
        image_dim=1280,
        added_kv_proj_dim=5120,
        **WAN,
    ),
    "wan2.2-ti2v-5b": dict(
        num_attention_heads=24, in_channels=48, out_channels=48, ffn_dim=14336, num_layers=30, **WAN
    ),
    "wan2.1-1.3b": dict(
        num_attention_heads=12, in_channels=16, out_channels=16, ffn_dim=8960, num_layers=30, **WAN
    ),
}
ANIMATE: dict[str, Any] = {"added_kv_proj_dim": 5120}
SKYREELS: dict[str, Any] = dict(
    num_attention_heads=40,
    in_channels=36,
    out_channels=16,
    ffn_dim=13824,
    num_layers=40,
    image_dim=1280,
    added_kv_proj_dim=5120,
    **WAN,
)
LTX_CONFIGS: dict[str, dict[str, Any]] = {
    "ltx-video": {},
    "ltx-video-13b": {"attention_head_dim": 128, "cross_attention_dim": 4096, "num_layers": 48},
}
WAN_SHAPES = [(832, 480, 81), (1280, 704, 121)]
LTX_SHAPES = [(704, 512, 161), (1216, 704, 121)]


def _shape(**figures: Any) -> Transformer:
    return Transformer(source="a test", checked_at=date(2026, 11, 21), **figures)


# Real models that no card ships yet.
UNSHIPPED = {
    "wan2.1-1.3b": _shape(
        kind="wan", params=1_420_000_000, width=1536, mlp=8960, layers=30, heads=12, text_tokens=512, patch=2
    ),
    "ltx-video-13b": _shape(
        kind="ltx",
        params=13_040_000_000,
        width=4096,
        mlp=16384,
        layers=48,
        heads=32,
        text_tokens=128,
        temporal_compression=8,
        spatial_compression=32,
    ),
}


def _card_shape(catalog: Catalog, name: str) -> Transformer:
    if name in UNSHIPPED:
        return UNSHIPPED[name]
    cost = catalog.get(name).cost
    assert cost is not None
    assert cost.transformer is not None
    return cost.transformer


def _meta(kind: Callable[..., torch.nn.Module], **config: Any) -> torch.nn.Module:
    with torch.device("meta"):
        return kind(**config).to(torch.bfloat16).eval()


def _empty(*shape: int, dtype: torch.dtype = torch.bfloat16) -> torch.Tensor:
    return torch.empty(*shape, dtype=dtype, device="meta")


def _count(run: Callable[[], Any]) -> float:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        run()
    return float(counter.get_total_flops())


def _parameters(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("name", CONFIGS)
def test_wan(catalog: Catalog, name: str) -> None:
    config, shape = CONFIGS[name], _card_shape(catalog, name)
    model = _meta(diffusers.WanTransformer3DModel, **config)
    assert _parameters(model) == pytest.approx(shape.params, rel=0.01)
    cell = shape.spatial_compression
    for width, height, frames in WAN_SHAPES:
        latent_frames = (frames - 1) // 4 + 1
        given = {
            "hidden_states": _empty(1, config["in_channels"], latent_frames, height // cell, width // cell),
            "timestep": _empty(1, dtype=torch.float32),
            "encoder_hidden_states": _empty(1, 512, 4096),
        }
        if shape.image_tokens:
            given["encoder_hidden_states_image"] = _empty(1, shape.image_tokens, 1280)
        counted = _count(lambda given=given: model(**given))
        assert flops_per_forward(shape, width, height, frames).total == pytest.approx(counted, rel=TOLERANCE)


def test_skyreels(catalog: Catalog) -> None:
    shape = _card_shape(catalog, "skyreels-v2-i2v")
    model = _meta(diffusers.SkyReelsV2Transformer3DModel, **SKYREELS)
    assert _parameters(model) == pytest.approx(shape.params, rel=0.01)
    for width, height, frames in [(960, 544, 97), (832, 480, 49)]:
        counted = _count(
            lambda width=width, height=height, frames=frames: model(
                hidden_states=_empty(1, 36, (frames - 1) // 4 + 1, height // 8, width // 8),
                timestep=_empty(1, dtype=torch.float32),
                encoder_hidden_states=_empty(1, 512, 4096),
                encoder_hidden_states_image=_empty(1, 257, 1280),
            )
        )
        assert flops_per_forward(shape, width, height, frames).total == pytest.approx(counted, rel=TOLERANCE)


def test_animate(catalog: Catalog) -> None:
    """One run: its own latent frames, the character's picture as one more, and every driving face."""
    shape = _card_shape(catalog, "wan2.2-animate")
    model = _meta(diffusers.WanAnimateTransformer3DModel, **ANIMATE)
    assert _parameters(model) == pytest.approx(shape.params, rel=0.01)
    frames = shape.run_frames
    assert frames is not None
    latent_frames = (frames - 1) // 4 + 1
    for width, height in [(832, 480), (1280, 720)]:
        size = (height // 8, width // 8)
        counted = _count(
            lambda size=size: model(
                hidden_states=_empty(1, 36, latent_frames + 1, *size),
                timestep=_empty(1, dtype=torch.float32),
                encoder_hidden_states=_empty(1, 512, 4096),
                encoder_hidden_states_image=_empty(1, 257, 1280),
                pose_hidden_states=_empty(1, 16, latent_frames, *size),
                face_pixel_values=_empty(1, 3, frames, 512, 512),
            )
        )
        assert flops_per_forward(shape, width, height, frames).total == pytest.approx(counted, rel=TOLERANCE)
    encoder = model.motion_encoder
    alone = _count(lambda: encoder(_empty(8, 3, 512, 512)))
    assert shape.flops_per_frame == pytest.approx(alone / 8, rel=TOLERANCE)


@pytest.mark.parametrize(("width", "height", "frames"), [(768, 512, 49), (960, 544, 121), (1280, 704, 241)])
def test_ltx2(catalog: Catalog, width: int, height: int, frames: int) -> None:
    """Both streams, away from one length so that the share of the sound is held, too."""
    shape = _card_shape(catalog, "ltx-2")
    model = _meta(diffusers.LTX2VideoTransformer3DModel)
    assert _parameters(model) == pytest.approx(shape.params, rel=0.01)
    latent = ((frames - 1) // 8 + 1, height // 32, width // 32)
    count, sounds = latent[0] * latent[1] * latent[2], round(frames / 24 * 25)
    assert tokens(shape, width, height, frames) == count
    mask = torch.ones(1, 1024, device="meta")
    counted = _count(
        lambda: model(
            hidden_states=_empty(1, count, 128),
            audio_hidden_states=_empty(1, sounds, 128),
            encoder_hidden_states=_empty(1, 1024, 3840),
            audio_encoder_hidden_states=_empty(1, 1024, 3840),
            timestep=_empty(1, count),
            audio_timestep=_empty(1),
            encoder_attention_mask=mask,
            audio_encoder_attention_mask=mask,
            num_frames=latent[0],
            height=latent[1],
            width=latent[2],
            audio_num_frames=sounds,
        )
    )
    assert flops_per_forward(shape, width, height, frames).total == pytest.approx(counted, rel=TOLERANCE)


@pytest.mark.parametrize("name", LTX_CONFIGS)
def test_ltx(catalog: Catalog, name: str) -> None:
    shape = _card_shape(catalog, name)
    model = _meta(diffusers.LTXVideoTransformer3DModel, **LTX_CONFIGS[name])
    assert _parameters(model) == pytest.approx(shape.params, rel=0.01)
    for width, height, frames in LTX_SHAPES:
        latent = ((frames - 1) // 8 + 1, height // 32, width // 32)
        count = latent[0] * latent[1] * latent[2]
        assert tokens(shape, width, height, frames) == count
        counted = _count(
            lambda latent=latent, count=count: model(
                hidden_states=_empty(1, count, 128),
                encoder_hidden_states=_empty(1, 128, 4096),
                timestep=_empty(1, count),
                encoder_attention_mask=torch.ones(1, 128, device="meta"),
                num_frames=latent[0],
                height=latent[1],
                width=latent[2],
                rope_interpolation_scale=(1.0, 1.0, 1.0),
            )
        )
        assert flops_per_forward(shape, width, height, frames).total == pytest.approx(counted, rel=TOLERANCE)


def test_svd_unet(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Away from the card's reference shape, so that the scaling is held and not the figure alone.

    The counter leaves CPU attention out; it is counted here from the shapes of its calls.
    """
    shape = _card_shape(catalog, "svd-xt")
    attention = 0.0

    def counted_attention(query: torch.Tensor, key: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        nonlocal attention
        attention += 4.0 * query.numel() * key.shape[-2]
        return torch.empty_like(query)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", counted_attention)
    width, height, frames = 768, 448, 14
    with FakeTensorMode(allow_non_fake_inputs=True):
        model = diffusers.UNetSpatioTemporalConditionModel(num_attention_heads=(5, 10, 20, 20)).eval()
        assert _parameters(model) == pytest.approx(shape.params, rel=0.01)
        convolutions = _count(
            lambda: model(
                torch.empty(1, frames, 8, height // 8, width // 8),
                torch.tensor(1.0),
                torch.empty(1, 1, 1024),
                added_time_ids=torch.empty(1, 3),
            )
        )
    flops = flops_per_forward(shape, width, height, frames)
    assert flops.linear == pytest.approx(convolutions, rel=TOLERANCE)
    assert flops.attention == pytest.approx(attention, rel=TOLERANCE)


WAN22_CODEC = {
    "base_dim": 160,
    "decoder_base_dim": 256,
    "z_dim": 48,
    "is_residual": True,
    "in_channels": 12,
    "out_channels": 12,
    "patch_size": 2,
    "scale_factor_spatial": 16,
    "scale_factor_temporal": 4,
    "latents_mean": [0.0] * 48,
    "latents_std": [1.0] * 48,
}
CODECS: list[tuple[str, Callable[..., torch.nn.Module], dict[str, Any], int, int, int]] = [
    ("wan2.2-i2v-a14b", diffusers.AutoencoderKLWan, {}, 16, 8, 4),
    ("wan2.2-ti2v-5b", diffusers.AutoencoderKLWan, WAN22_CODEC, 48, 16, 4),
    ("ltx-video", diffusers.AutoencoderKLLTXVideo, {}, 128, 32, 8),
    ("ltx-2", diffusers.AutoencoderKLLTX2Video, {"decoder_causal": False}, 128, 32, 8),
]


@pytest.mark.parametrize(
    ("name", "kind", "config", "channels", "cell", "temporal"), CODECS, ids=[row[0] for row in CODECS]
)
def test_codec(
    catalog: Catalog,
    name: str,
    kind: Callable[..., torch.nn.Module],
    config: dict[str, Any],
    channels: int,
    cell: int,
    temporal: int,
) -> None:
    cost = catalog.get(name).cost
    assert cost is not None
    assert cost.vae is not None
    vae: Any = _meta(kind, **config)
    width, height, frames = 256, 256, 41
    cells = _empty(1, channels, (frames - 1) // temporal + 1, height // cell, width // cell)
    counted = _count(lambda: vae.decode(cells, return_dict=False))
    assert cost.vae.decode_kflop == pytest.approx(counted / (width * height * frames) / 1e3, rel=TOLERANCE)
    seen = frames if cost.vae.encodes_all_frames else 1
    counted = _count(lambda: vae.encode(_empty(1, 3, seen, height, width)))
    assert cost.vae.encode_kflop == pytest.approx(counted / (width * height * seen) / 1e3, rel=TOLERANCE)


def test_published_token_counts(catalog: Catalog) -> None:
    """720p81 is 75 600 tokens and 480p81 32 760 (Wan); 704x512x161 is 7 392 (LTX-Video)."""
    wan, ltx = _card_shape(catalog, "wan2.2-i2v-a14b"), _card_shape(catalog, "ltx-video")
    assert tokens(wan, 1280, 720, 81) == 75_600
    assert tokens(wan, 832, 480, 81) == 32_760
    assert tokens(_card_shape(catalog, "wan2.2-ti2v-5b"), 1280, 704, 121) == 27_280
    assert tokens(ltx, 704, 512, 161) == 7_392
