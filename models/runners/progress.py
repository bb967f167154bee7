"""The place where a pipeline tells of its steps.

The pipelines of diffusers differ in callbacks and interrupt flags, but each drives one progress bar, once a
step. `StepBar` stands in its place.
"""

from __future__ import annotations

from collections.abc import Callable


class StepBar:
    """What the pipelines expect of a progress bar."""

    def __init__(self, entered: Callable[[], None], stepped: Callable[[], None]) -> None:
        """Both may switch away for as long as they like, or raise: the pipeline's loop is left at once."""
        self._entered = entered
        self._stepped = stepped

    def __enter__(self) -> StepBar:
        self._entered()
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def update(self, n: int = 1) -> None:
        """`n` denoising steps are done."""
        for _ in range(n):
            self._stepped()
