"""Joint transformers and the older UNets against torch's own counter, on the real configurations.

No weights, no memory. Shapes are those of huggingface/diffusers `scripts/convert_*_to_diffusers.py` and class
defaults; Stable Diffusion 1.5's are its published configuration (768 text features, 8 heads).
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import diffusers
import pytest
import torch
from diffusers.models.unets import I2VGenXLUNet
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from models.catalog import Catalog
from models.cost import flops_per_forward, tokens
from models.shapes import Cost, Transformer

TOLERANCE = 0.02


@pytest.fixture
def attention(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """FLOPs of attention from the shapes of its calls: the counter leaves them out on a CPU."""
    counted = SimpleNamespace(flops=0.0)

    def stand_in(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, **_: Any) -> torch.Tensor:
        counted.flops += 4.0 * query.numel() * key.shape[-2]
        return torch.empty_like(query)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", stand_in)
    return counted


def _cost(catalog: Catalog, name: str) -> Cost:
    cost = catalog.get(name).cost
    assert cost is not None
    return cost


def _shape(catalog: Catalog, name: str) -> Transformer:
    shape = _cost(catalog, name).transformer
    assert shape is not None
    return shape


def _meta(kind: Callable[..., torch.nn.Module], **config: Any) -> Any:
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


def test_cogvideox(catalog: Catalog, attention: SimpleNamespace) -> None:
    shape = _shape(catalog, "cogvideox-5b-i2v")
    model = _meta(
        diffusers.CogVideoXTransformer3DModel,
        num_attention_heads=48,
        attention_head_dim=64,
        num_layers=42,
        in_channels=32,
        out_channels=16,
        use_rotary_positional_embeddings=True,
        use_learned_positional_embeddings=True,
    )
    # The hub counts 5 625 087 552 values in this checkpoint: the configuration is the released one.
    assert _parameters(model) + sum(buffer.numel() for buffer in model.buffers()) == 5_625_087_552
    assert shape.params == pytest.approx(_parameters(model), rel=0.01)
    count = tokens(shape, 720, 480, 49)
    assert count == 17_550
    rotary = tuple(_empty(count, 64, dtype=torch.float32) for _ in range(2))
    linear = _count(
        lambda: model(
            hidden_states=_empty(1, 13, 32, 60, 90),
            encoder_hidden_states=_empty(1, 226, 4096),
            timestep=_empty(1, dtype=torch.float32),
            image_rotary_emb=rotary,
        )
    )
    flops = flops_per_forward(shape, 720, 480, 49)
    assert flops.linear == pytest.approx(linear, rel=TOLERANCE)
    assert flops.attention == pytest.approx(attention.flops, rel=TOLERANCE)


@pytest.mark.parametrize(("width", "height", "frames"), [(848, 480, 121), (640, 640, 49)])
def test_hunyuan_1_5(
    width: int, height: int, frames: int, catalog: Catalog, attention: SimpleNamespace
) -> None:
    """Block by block and every embedding: the whole forward reads values, which meta tensors do not have."""
    shape = _shape(catalog, "hunyuanvideo-1.5-i2v")
    model = _meta(diffusers.HunyuanVideo15Transformer3DModel, target_size=640, task_type="i2v")
    assert shape.params == pytest.approx(_parameters(model), rel=0.01)
    latent = ((frames - 1) // 4 + 1, height // 16, width // 16)
    count, context, inner = tokens(shape, width, height, frames), 1000 + 256 + 729, 2048
    assert count == latent[0] * latent[1] * latent[2]
    rotary = tuple(_empty(count, 128, dtype=torch.float32) for _ in range(2))
    words = torch.ones(1, 1000, dtype=torch.bool, device="meta")
    mask = torch.ones(1, context, dtype=torch.bool, device="meta")
    block = _count(
        lambda: model.transformer_blocks[0](
            _empty(1, count, inner), _empty(1, context, inner), _empty(1, inner), mask, rotary
        )
    )
    linear, attention.flops = shape.layers * block, shape.layers * attention.flops
    linear += _count(lambda: model.x_embedder(_empty(1, 65, *latent)))
    linear += _count(lambda: model.context_embedder(_empty(1, 1000, 3584), _empty(1), words))
    linear += _count(lambda: model.context_embedder_2(_empty(1, 256, 1472)))
    linear += _count(lambda: model.image_embedder(_empty(1, 729, 1152)))
    linear += _count(lambda: model.proj_out(_empty(1, count, inner)))
    flops = flops_per_forward(shape, width, height, frames)
    assert flops.linear == pytest.approx(linear, rel=TOLERANCE)
    assert flops.attention == pytest.approx(attention.flops, rel=TOLERANCE)


def test_i2vgen_xl_unet(catalog: Catalog, attention: SimpleNamespace) -> None:
    """Away from the card's reference shape, so that the scaling is held and not the figure alone."""
    shape = _shape(catalog, "i2vgen-xl")
    width, height, frames = 1024, 576, 16
    cells = (height // 8, width // 8)
    with FakeTensorMode(allow_non_fake_inputs=True):
        model = I2VGenXLUNet(sample_size=32).eval()
        assert shape.params == pytest.approx(_parameters(model), rel=0.01)
        linear = _count(
            lambda: model(
                torch.empty(1, 4, frames, *cells),
                torch.tensor(1.0),
                fps=torch.full((1,), 16),
                image_latents=torch.empty(1, 4, frames, *cells),
                image_embeddings=torch.empty(1, 1, 1024),
                encoder_hidden_states=torch.empty(1, 77, 1024),
            )
        )
    flops = flops_per_forward(shape, width, height, frames)
    assert flops.linear == pytest.approx(linear, rel=TOLERANCE)
    assert flops.attention == pytest.approx(attention.flops, rel=TOLERANCE)


@pytest.mark.parametrize(("width", "height", "frames"), [(512, 512, 8), (1024, 1024, 16), (512, 768, 24)])
def test_pia_unet(width: int, height: int, frames: int, catalog: Catalog, attention: SimpleNamespace) -> None:
    shape = _shape(catalog, "pia")
    with FakeTensorMode(allow_non_fake_inputs=True):
        model = diffusers.UNetMotionModel(
            sample_size=64, in_channels=9, cross_attention_dim=768, num_attention_heads=8
        ).eval()
        assert shape.params == pytest.approx(_parameters(model), rel=0.01)
        linear = _count(
            lambda: model(
                torch.empty(1, 9, frames, height // 8, width // 8),
                torch.tensor(1.0),
                encoder_hidden_states=torch.empty(frames, 77, 768),
            )
        )
    flops = flops_per_forward(shape, width, height, frames)
    assert flops.linear == pytest.approx(linear, rel=TOLERANCE)
    assert flops.attention == pytest.approx(attention.flops, rel=TOLERANCE)


def test_cogvideox_codec(catalog: Catalog, attention: SimpleNamespace) -> None:
    figures = _cost(catalog, "cogvideox-5b-i2v").vae
    assert figures is not None
    vae = _meta(diffusers.AutoencoderKLCogVideoX)
    decoded = _count(lambda: vae.decode(_empty(1, 16, 13, 32, 32)))
    assert figures.decode_kflop == pytest.approx(decoded / (256 * 256 * 49) / 1e3, rel=TOLERANCE)
    encoded = _count(lambda: vae.encode(_empty(1, 3, 1, 256, 256)))
    assert figures.encode_kflop == pytest.approx(encoded / (256 * 256) / 1e3, rel=TOLERANCE)


def test_hunyuan_codec_in_tiles(catalog: Catalog, attention: SimpleNamespace) -> None:
    figures = _cost(catalog, "hunyuanvideo-1.5-i2v").vae
    assert figures is not None
    vae = _meta(diffusers.AutoencoderKLHunyuanVideo15)
    vae.enable_tiling()
    decoded = _count(lambda: vae.decode(_empty(1, 32, 11, 30, 53)))
    assert figures.decode_kflop == pytest.approx(decoded / (848 * 480 * 41) / 1e3, rel=TOLERANCE)
    encoded = _count(lambda: vae.encode(_empty(1, 3, 1, 480, 848)))
    assert figures.encode_kflop == pytest.approx(encoded / (848 * 480) / 1e3, rel=TOLERANCE)


@pytest.mark.parametrize(("name", "width", "height"), [("i2vgen-xl", 1280, 704), ("pia", 768, 512)])
def test_picture_codec(
    name: str, width: int, height: int, catalog: Catalog, attention: SimpleNamespace
) -> None:
    figures = _cost(catalog, name).vae
    assert figures is not None
    vae = _meta(
        diffusers.AutoencoderKL,
        block_out_channels=(128, 256, 512, 512),
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        layers_per_block=2,
        latent_channels=4,
    )
    cells = (height // 8, width // 8)
    decoded = _count(lambda: vae.decode(_empty(1, 4, *cells))) + attention.flops
    assert figures.decode_kflop == pytest.approx(decoded / (width * height) / 1e3, rel=TOLERANCE)
    attention.flops = 0.0
    encoded = _count(lambda: vae.encode(_empty(1, 3, height, width))) + attention.flops
    assert figures.encode_kflop == pytest.approx(encoded / (width * height) / 1e3, rel=TOLERANCE)
