"""Turn what torch and diffusers raise into the product's typed errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from models.errors import InputRefused, OutOfMemory

_MEMORY_WORDS = (
    "out of memory",  # CUDA, cuDNN and cuBLAS
    "can't allocate memory",  # c10's DefaultCPUAllocator
    "not enough memory",  # the same on Windows
    "cannot allocate memory",  # ENOMEM in libc's words
)


def is_out_of_memory(error: BaseException) -> bool:
    """True for the many ways in which torch says that memory ran out."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    words = str(error).lower()
    return isinstance(error, RuntimeError | OSError) and any(phrase in words for phrase in _MEMORY_WORDS)


@contextmanager
def typed_failures(doing: str) -> Iterator[None]:
    """Raise `OutOfMemory` or `InputRefused` for what the body raises; let all else through.

    Args:
        doing: What was tried, with its figures, for the message: "denoising 832x480, 81 frames".

    Raises:
        OutOfMemory: memory of the accelerator or the host ran out.
        InputRefused: the pipeline raised `ValueError`, its way to refuse an input.
    """
    try:
        yield
    except ValueError as error:
        raise InputRefused(f"the model refused its input while {doing}: {error}") from error
    except (MemoryError, RuntimeError, OSError) as error:
        if is_out_of_memory(error):
            raise OutOfMemory(f"out of memory while {doing}: {error}") from error
        raise
