"""From the stage and step of a run to one number for a progress bar. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from router.jobs.records import Progress

DONE = 100
"""Only a completed job shows this."""
HIGHEST_RUNNING = 99

_SPANS: Mapping[str, tuple[int, int]] = {
    # Denoising is nearly all of a diffusion run; the rest shares what is left. A bar, not a clock:
    # the ETA beside it comes from the latency model.
    "queued": (0, 0),
    "loading": (1, 3),
    "encoding_input": (3, 5),
    "denoising": (5, 85),
    "paused": (5, 85),
    "rendering": (5, 85),
    "decoding": (85, 93),
    "muxing": (93, 97),
    "storing": (97, HIGHEST_RUNNING),
    # At a provider or an engine. Many tell no share of their work: then the bar waits where the stage begins.
    "uploading": (1, 3),
    "submitting": (3, 4),
    "waiting": (4, 5),
    "generating": (5, 85),
    "downloading": (85, 97),
}


def percent(progress: Progress) -> int:
    """0-99: where the stage begins, plus its share of `step / steps`; 0 for a stage not known here."""
    start, end = _SPANS.get(progress.stage, (0, 0))
    share = min(max(progress.step / progress.steps, 0.0), 1.0) if progress.steps > 0 else 0.0
    return start + int((end - start) * share)


def raised(current: int, progress: Progress) -> int:
    """The new value of a bar that shows `current`: it never falls and stays below 100."""
    return min(max(current, percent(progress)), HIGHEST_RUNNING)
