"""How long ranks may be silent before they count as stalled. Pure."""

from __future__ import annotations

from deployments.pace import Pace
from deployments.ranks import Event


def patience_s(pace: Pace, predicted_s: float, heard: Event | None) -> float:
    """How long a rank that makes a clip by itself may be silent after it said `heard` last.

    Inside a loop of steps, `stall_factor` predicted steps: the whole time over their number, which is more
    than one takes. Elsewhere as many times the whole time.
    """
    if heard is None or not 0 < heard["step"] < heard["steps"]:
        return max(pace.stall_floor_s, pace.stall_factor * predicted_s)
    return max(pace.step_floor_s, pace.stall_factor * predicted_s / int(heard["steps"]))


def quantum_patience_s(pace: Pace, predicted_s: float, *, first: bool) -> float:
    """How long a quantum may take; the first one of a clip compiles kernels."""
    return max(pace.stall_floor_s if first else pace.step_floor_s, pace.stall_factor * predicted_s)


def silence(seconds: float, predicted_s: float, heard: Event | None) -> str:
    """The words of a stall."""
    where = "before the first step" if heard is None else f"in {heard['stage']}"
    if heard is not None and heard["steps"]:
        where += f" after step {heard['step']} of {heard['steps']}"
    return f"silent for {seconds:.0f} s {where}; it was predicted at {predicted_s:.0f} s"
