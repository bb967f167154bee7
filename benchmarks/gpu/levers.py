"""Speed levers of a transformer: each is laid on a model, measured, and taken off again.

A lever is a list of parts, laid in the order of `PARTS` whatever the order of its name. A part that loses
weights (float8) says so, and the model is built anew after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.models.attention_dispatch import AttentionBackendName, dispatch_attention_fn
from diffusers.models.attention_dispatch import _check_attention_backend_requirements as check_backend

from benchmarks.gpu import float8

Undo = Callable[[], None]


class Unavailable(Exception):
    """This machine, or this model, has not what a lever needs."""


@dataclass(frozen=True, slots=True)
class Lever:
    """One way to run a forward faster.

    Attributes:
        key: Name in results.
        what: For people.
        parts: What is laid.
    """

    key: str
    what: str
    parts: tuple[str, ...] = ()

    @property
    def compiles(self) -> bool:
        return "compile" in self.parts

    @property
    def spoils(self) -> bool:
        """Whether the model must be built anew afterwards."""
        return any(part.startswith("float8") for part in self.parts)


EAGER = Lever("eager", "diffusers as it is")
SINGLE = (
    Lever("attention-cudnn", "self-attention by cuDNN through torch", ("_native_cudnn",)),
    Lever("attention-flash", "self-attention by torch's own FlashAttention 2", ("_native_flash",)),
    Lever("attention-flash2", "self-attention by the package flash-attn", ("flash",)),
    Lever("attention-flash3", "self-attention by FlashAttention 3", ("_flash_3",)),
    Lever("attention-sage", "self-attention in 8-bit integers by sageattention", ("sage",)),
    Lever("fused-qkv", "one product for queries, keys and values", ("fused-qkv",)),
    Lever("compile", "torch.compile of the repeated blocks", ("compile",)),
    Lever("float8-storage", "weights kept in float8, products in bfloat16", ("float8-storage",)),
    Lever("float8-linear", "products of the blocks in float8, scaled by row", ("float8-linear",)),
)
COMBINED = (
    Lever("compile+cudnn", "both", ("_native_cudnn", "compile")),
    Lever("compile+flash3", "both", ("_flash_3", "compile")),
    Lever("compile+float8", "both", ("compile", "float8-linear")),
    Lever("compile+cudnn+fused", "all three", ("_native_cudnn", "compile", "fused-qkv")),
    Lever("compile+cudnn+float8", "all three", ("_native_cudnn", "compile", "float8-linear")),
    Lever(
        "compile+cudnn+fused+float8",
        "all four",
        ("_native_cudnn", "compile", "fused-qkv", "float8-linear"),
    ),
    Lever("compile+sage+float8", "all three", ("sage", "compile", "float8-linear")),
)
LEVERS = (EAGER, *SINGLE, *COMBINED)

PARTS = ("fused-qkv", "float8-storage", "float8-linear", "attention", "compile")
"""The order of laying: fused weights are quantised as one, and all of it is compiled."""


def missing(lever: Lever, device: torch.device, dtype: torch.dtype) -> str | None:
    """Why a lever cannot be had here; None where it can. Tried, not guessed."""
    for part in lever.parts:
        if part in {"fused-qkv", "compile", "float8-storage"}:
            continue
        reason = float8.missing(device) if part == "float8-linear" else _backend_missing(part, device, dtype)
        if reason is not None:
            return reason
    return None


def lay(model: Any, lever: Lever, device: torch.device) -> Undo:
    """Lay a lever on a transformer.

    Returns:
        What takes it off again; without effect for parts that spoil the weights.

    Raises:
        Unavailable: the model has nothing that the lever could change.
    """
    undo: list[Undo] = []
    ordered = sorted(lever.parts, key=lambda part: PARTS.index(part if part in PARTS else "attention"))
    for part in ordered:
        undo.append(_lay(model, part, device))

    def all_off() -> None:
        for off in reversed(undo):
            off()

    return all_off


def _lay(model: Any, part: str, device: torch.device) -> Undo:
    if part == "fused-qkv":
        return _fused(model)
    if part == "float8-storage":
        model.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=torch.bfloat16)
        return _nothing
    if part == "float8-linear":
        if not float8.to_float8(model, frozenset(model._repeated_blocks)):
            raise Unavailable("no linear layer of this model has sides in multiples of 16")
        return _nothing
    if part == "compile":
        return _compiled(model, device)
    return _attention(model, part)


def _fused(model: Any) -> Undo:
    if not any("WanAttention" in type(module).__name__ for module in model.modules()):
        raise Unavailable(f"{type(model).__name__} never reads fused projections")
    model.fuse_qkv_projections()

    def off() -> None:
        model.unfuse_qkv_projections()

    return off


def _compiled(model: Any, device: torch.device) -> Undo:
    # A dry run proves the path; a C++ compiler is no part of it.
    model.compile_repeated_blocks(
        backend="inductor" if device.type == "cuda" else "eager", fullgraph=False, dynamic=False
    )

    def off() -> None:
        for module in model.modules():
            module._compiled_call_impl = None
        torch._dynamo.reset()

    return off


def self_attentions(model: Any) -> Iterator[Any]:
    """The attention layers over the video: all but a few per cent of attention's work.

    Cross-attention stays with torch's own choice: it may carry a mask, which flash kernels do not take.
    """
    for name, module in model.named_modules():
        if name.endswith("attn1") and hasattr(module, "processor"):
            yield module


def _attention(model: Any, backend: str) -> Undo:
    processors = [module.processor for module in self_attentions(model)]
    if not processors:
        raise Unavailable(f"{type(model).__name__} has no attention layers named attn1")
    before = [processor._attention_backend for processor in processors]
    for processor in processors:
        processor._attention_backend = AttentionBackendName(backend)

    def off() -> None:
        for processor, value in zip(processors, before, strict=True):
            processor._attention_backend = value

    return off


def _backend_missing(backend: str, device: torch.device, dtype: torch.dtype) -> str | None:
    name = AttentionBackendName(backend)
    query = torch.randn(1, 256, 2, 64, device=device, dtype=dtype)
    try:
        check_backend(name)
        dispatch_attention_fn(query, query, query, backend=name)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
    except Exception as error:  # noqa: BLE001 - whatever a kernel raises is the answer
        return _first_line(error)
    return None


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"


def _nothing() -> None:
    pass
