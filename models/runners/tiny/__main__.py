"""Command line: write one checkpoint and print its path and shape."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import models.runners.tiny as package
from models.runners.tiny import KINDS, SCALES, write_tiny_checkpoint
from models.runners.tiny.wan import KINDS as WAN_KINDS
from models.runners.tiny.wan import WAN


def main(arguments: list[str] | None = None) -> None:
    """Parse, write, tell."""
    parser = argparse.ArgumentParser(prog="python -m models.runners.tiny", description=package.__doc__)
    parser.add_argument("kind", choices=sorted(KINDS))
    parser.add_argument("directory", type=Path)
    parser.add_argument("--scale", choices=SCALES, default="tiny")
    options = parser.parse_args(arguments)
    path = write_tiny_checkpoint(options.kind, options.directory, scale=options.scale)
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    shape = asdict(WAN[options.scale]) if options.kind in WAN_KINDS else {}
    print(json.dumps({"path": str(path), "bytes": size, "random_weights": True, **shape}))


if __name__ == "__main__":
    main()
