"""The one shape of a result: command, date, machine, figures, the peer's figures, targets met or not.

Every benchmark builds a `Report`; `write` puts it into `benchmarks/results/<name>.json`, from which
`python -m benchmarks.render` fills the tables of `docs/benchmarks.md`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import psutil

ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path(__file__).resolve().parent / "results"


@dataclass(frozen=True, slots=True)
class Target:
    """One promise: `value` must be at most (or at least) `limit`; `what` says what was measured.

    Without a limit nothing is promised, and the figure is only told.
    """

    what: str
    value: float
    sense: Literal["<=", ">=", ""] = ""
    limit: float | None = None
    unit: str = ""
    """Empty for a ratio to the peer."""

    @property
    def met(self) -> bool | None:
        """Whether the promise is kept; None when there is none."""
        if self.limit is None:
            return None
        return self.value <= self.limit if self.sense == "<=" else self.value >= self.limit


@dataclass(slots=True)
class Report:
    """One benchmark's result. `peer` says what the peer is and holds its figures."""

    name: str
    summary: str
    figures: dict[str, Any]
    peer: dict[str, Any]
    targets: Sequence[Target]
    settings: dict[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()

    def write(self, path: Path | None = None) -> Path:
        """Store the result as JSON and print its targets."""
        path = path or RESULTS / f"{self.name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self._document(), indent=2) + "\n", encoding="utf-8")
        for target in self.targets:
            print(verdict(self.name, target), flush=True)
        return path

    def _document(self) -> dict[str, Any]:
        return {
            "benchmark": self.name,
            "summary": self.summary,
            "command": command(self.name),
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": machine(),
            "settings": self.settings,
            "figures": self.figures,
            "peer": self.peer,
            "targets": [
                {
                    "what": target.what,
                    "value": round(target.value, 4),
                    "sense": target.sense,
                    "limit": target.limit,
                    "unit": target.unit,
                    "met": target.met,
                }
                for target in self.targets
            ],
            "met": all(target.met is not False for target in self.targets),
            "notes": list(self.notes),
        }


def verdict(name: str, target: Target) -> str:
    """One line for the terminal."""
    unit = f" {target.unit}" if target.unit else ""
    told = f"{name}: {target.what}: {target.value:.4g}{unit}"
    if target.limit is None:
        return f"told    {told}"
    word = "met   " if target.met else "MISSED"
    return f"{word}  {told} (target {target.sense} {target.limit:g}{unit})"


def command(name: str) -> str:
    """How to get this result again: the module and the arguments it was started with."""
    return shlex.join(["python", "-m", f"benchmarks.{name}", *sys.argv[1:]])


def machine() -> dict[str, Any]:
    """Where the figures come from. A load of the last minute that exceeds the benchmark's own spoils them."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_1min": round(os.getloadavg()[0], 2),
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def percentiles(values: Sequence[float], scale: float = 1.0) -> dict[str, float]:
    """p50, p90, p99 and the extremes of `values`, each times `scale`."""
    ordered = sorted(values)

    def at(share: float) -> float:
        return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))] * scale, 4)

    return {"min": at(0.0), "p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "max": at(1.0)}


def median(values: Sequence[float]) -> float:
    """The middle one."""
    return float(statistics.median(values))


def arguments(description: str | None, **options: tuple[Any, str]) -> argparse.Namespace:
    """Command line of a benchmark: each option with its default (whose type it has) and its help."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, (default, words) in options.items():
        parser.add_argument(
            f"--{name.replace('_', '-')}", type=type(default), default=default, help=f"{words} ({default})"
        )
    return parser.parse_args()


def rows(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The targets of a stored result."""
    return list(document.get("targets", ()))
