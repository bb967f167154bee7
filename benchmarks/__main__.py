"""`python -m benchmarks [NAME ...]`: run all benchmarks (or those named), then fill `docs/benchmarks.md`.

Each runs in a process of its own, one after the other. A missed target is told, not an error; a benchmark
that fails is.
"""

from __future__ import annotations

import subprocess
import sys

from benchmarks.report import ROOT

NAMES = (
    "decision",
    "gang_policy",
    "features",
    "feature_accuracy",
    "parallax",
    "jobstore",
    "router_memory",
    "http",
    "stack_tax",
    "scaling",
    "hosted",
)


def main(names: list[str]) -> int:
    """Returns how many benchmarks failed."""
    if unknown := sorted(set(names) - set(NAMES)):
        print(f"no benchmark is called {', '.join(unknown)}; there are {', '.join(NAMES)}", file=sys.stderr)
        return 2
    failed = 0
    for name in names or NAMES:
        print(f"--- {name}", flush=True)
        outcome = subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], cwd=ROOT, check=False)
        failed += outcome.returncode != 0
    subprocess.run([sys.executable, "-m", "benchmarks.render"], cwd=ROOT, check=True)
    return failed


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
