"""Run as a program: begin a clip of each kind, save it in mid-segment, go on, and be killed.

Arguments: folder of checkpoints, folder of states, driving video, then kinds.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import torch

from models.runners import animate
from models.runners.crew import ALONE
from tests.unit.runners.clips import loaded, request, to
from tests.unit.runners.conftest import Recorder


def main(checkpoints: Path, states: Path, driving_video: Path, kinds: list[str]) -> None:
    """Never returns."""
    torch.set_num_threads(1)
    animate.RUN_FRAMES = 9
    for kind in kinds:
        runner = loaded(kind, checkpoints / kind)
        clip = to(runner.begin(request(kind, driving_video), states / kind, Recorder()), 1, 2)
        clip.save()
        clip.advance(1, ALONE, Recorder())
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:])
