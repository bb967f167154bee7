"""Figures as people say them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from router.client import Video


def progress_text(video: Video) -> str:
    """Stage, step and what is left, in a few words."""
    detail = video.progress_detail
    if detail is None:
        return video.status
    words = [detail.stage.replace("_", " ")]
    if detail.queue_position is not None:
        words.append(f"place {detail.queue_position}")
    if detail.steps and not video.final:
        words.append(f"step {detail.step}/{detail.steps}")
    if detail.gpus is not None and detail.gpus > 1:
        words.append(f"{detail.gpus} GPUs")
    if detail.attempt > 1:
        words.append(f"attempt {detail.attempt}")
    if detail.eta_seconds is not None:
        words.append(f"{seconds_text(detail.eta_seconds)} left")
    return ", ".join(words)


def shape_text(shape: Mapping[str, Any] | None) -> str:
    """`832x480, 5.06 s at 16 fps`, as far as it is known."""
    if not shape or not shape.get("width"):
        return ""
    words = f"{shape['width']}x{shape['height']}"
    if shape.get("seconds"):
        words += f", {shape['seconds']:.4g} s"
    if shape.get("fps"):
        words += f" at {shape['fps']:.5g} fps"
    return words


def seconds_text(seconds: float) -> str:
    """`0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 120:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def usd_text(usd: float | None) -> str:
    """`$0.0042`, `$1.25`, `free`, or `unknown cost`."""
    if usd is None:
        return "unknown cost"
    if usd == 0:
        return "free"
    return f"${usd:.2f}" if usd >= 0.1 else f"${usd:.2g}" if usd >= 0.001 else "<$0.001"


def time_text(at: int | None) -> str:
    """Unix seconds as UTC."""
    return "" if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
