"""How often and how long: the periods and time-outs of a worker, in one place."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds, but for the factor."""

    beat_s: float = 0.5
    """Progress and cancel flag twice a second: a cancel is seen within one step or half a second."""
    worker_beat_s: float = 2.0
    """Five beats fit into the ten seconds after which a worker counts as gone."""
    stall_floor_s: float = 120.0
    """No watchdog is faster than this where no steps are counted, and for a clip's first steps: they compile
    kernels and load codecs."""
    step_floor_s: float = 60.0
    """Between steps none is faster than this: a preview picture may wait for an object store. Our choice."""
    stall_factor: float = 3.0
    """Silence longer than three times what was predicted is a stall: self-hosted runs vary by 5 %."""
    outcome_s: float = 300.0
    """How long a finished clip waits for a store that is away. The fence, not the lease, tells whether it is
    still wanted."""
    retry_s: float = 1.0
    save_s: float = 2.0
    """Work done since a clip's state was last written to this machine, after which it is written again: a
    lost rank costs as much. 80 MB to memory take 0.05 s, so it costs 2 % at most. Our choice."""
    checkpoint_s: float = 30.0
    """Between copies of that state in the media store: a lost machine costs as much. Our choice."""
    fetch_s: float = 60.0
    """How long a checkpoint is waited for while the media store is away, before the clip begins anew."""
    finish_s: float = 10.0
    """A worker on its way out still finishes clips that need no longer than this; others are handed back."""
