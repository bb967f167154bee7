"""On a CUDA device: the float8 kernel computes what its emulation in float32 does."""

from __future__ import annotations

import pytest
import torch

from benchmarks.gpu.float8 import missing, product, quantised

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def test_the_kernel_computes_what_its_emulation_does() -> None:
    device = torch.device("cuda:0")
    if (reason := missing(device)) is not None:
        pytest.skip(reason)
    generator = torch.Generator().manual_seed(0)
    left, left_scale = quantised(torch.randn(77, 256, generator=generator))
    right, right_scale = quantised(torch.randn(64, 256, generator=generator))
    bias = torch.randn(64, generator=generator).to(torch.bfloat16)
    truth = product(left, left_scale, right, right_scale, bias, torch.float32)
    given = (tensor.to(device) for tensor in (left, left_scale, right, right_scale, bias))
    found = product(*given, torch.bfloat16)
    # The kernel rounds its result to bfloat16 and may add in fewer bits than float32.
    torch.testing.assert_close(found.cpu().float(), truth, rtol=2e-2, atol=2e-2 * float(truth.abs().max()))
