"""`python -m benchmarks.gpu`: seconds per step on this machine's GPU, with every speed lever.

Writes its results after each case, takes up where an earlier run stopped, and begins no case that will not
end within `--time-limit`. `--dry-run` does all of it with tiny models on the CPU. Under `torchrun`, it
measures steps shared by several GPUs instead.
"""

from __future__ import annotations

import argparse
import logging
import sys
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import torch

from benchmarks.gpu import degrees
from benchmarks.gpu.bench import Bench
from benchmarks.gpu.budget import Budget
from benchmarks.gpu.cases import Case, listed
from benchmarks.gpu.closeness import LIMIT
from benchmarks.gpu.codec import CODEC_LEVERS
from benchmarks.gpu.ledger import Ledger, OtherMachine
from benchmarks.gpu.levers import LEVERS
from benchmarks.gpu.machine import copy_rate, described, device_name, matmul_rate, revision
from benchmarks.gpu.peaks import peak_of
from benchmarks.gpu.subjects import SUBJECTS, TINY, Subject
from benchmarks.gpu.summary import best, rates, speed_ups, table
from benchmarks.report import RESULTS, command


def main(given: Sequence[str] | None = None) -> int:
    """Returns 0, also where levers failed (the results say so); 2 where nothing could be measured."""
    options = _options(given)
    if not options.dry_run and not torch.cuda.is_available():
        print("there is no CUDA device here; --dry-run measures tiny models on the CPU", file=sys.stderr)
        return 2
    subjects = _chosen(options.subjects, TINY if options.dry_run else SUBJECTS)
    if degrees.world_of() > 1:
        return together(options, subjects)
    device = torch.device("cpu" if options.dry_run else "cuda:0")
    cases = [
        case
        for case in listed(subjects, _levers(options.levers), [lever.key for lever in CODEC_LEVERS])
        if not options.what or case.what in options.what
    ]
    ledger = _ledger(options, device)
    if ledger is None:
        return 2
    budget = Budget(options.time_limit)
    ceilings(ledger, device)
    bench = Bench(device, torch.bfloat16, peak_of(device_name(device)), options.repeats, options.cache_steps)
    left = measured(cases, bench, ledger, budget, retry=options.retry)
    ledger.write(
        pending=left, best=best(ledger.cases, subjects), fitted_eager_rates=rates(ledger.cases, subjects)
    )
    print(table(ledger.cases))
    if left:
        print(f"{len(left)} cases did not fit the time limit; the same command goes on with them")
    return 0


def together(options: argparse.Namespace, subjects: Sequence[Subject]) -> int:
    """The part that several GPUs share: every process that torchrun started calls this."""
    us = degrees.join(cuda=not options.dry_run)
    try:
        ledger = _ledger(options, us.device) if us.leads else None
        if us.agreed(ledger is None):
            return 2
        cases = list(degrees.shared_cases(subjects, us.world, _levers(options.levers)))
        left = degrees.measured_together(
            cases, us, ledger, Budget(options.time_limit), dtype=torch.bfloat16, repeats=options.repeats
        )
        if ledger is not None:
            ledger.write(pending=left, speed_ups=speed_ups(ledger.cases))
            print(table(ledger.cases))
    finally:
        degrees.leave()
    return 0


def measured(
    cases: Sequence[Case], bench: Bench, ledger: Ledger, budget: Budget, *, retry: bool
) -> list[str]:
    """Measure what is not in the ledger yet and fits the time that is left; returns the keys of the rest."""
    left = []
    for case in cases:
        if ledger.has(case.key, retry=retry):
            continue
        eager = ledger.cases.get(f"{case.subject.key}/step/{case.shape}/eager", {}).get("seconds")
        if not budget.allows(bench.guess_s(case, eager)):
            left.append(case.key)
            continue
        record = bench.run(case)
        ledger.put(case.key, record)
        told = record.get("seconds") or record.get("reason") or record.get("error") or ""
        print(f"{case.key}: {record['status']} {told}", flush=True)
    bench.free()
    return left


def ceilings(ledger: Ledger, device: torch.device) -> None:
    """What the device reaches on one plain product and one plain copy, in the same run."""
    cuda = device.type == "cuda"
    rate = matmul_rate(device, 8192 if cuda else 256)
    moved = copy_rate(device, 2**32 if cuda else 2**20)
    ledger.write(
        ceilings={"matmul_tflop_per_s": round(rate / 1e12, 4), "copy_gb_per_s": round(moved / 1e9, 2)}
    )


def _ledger(options: argparse.Namespace, device: torch.device) -> Ledger | None:
    """The results, old ones included; None when they are of another machine, which is told."""
    peak = peak_of(device_name(device))
    head = {
        "benchmark": "gpu",
        "command": command("gpu"),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "revision": revision(),
        "machine": described(device),
        "peak": None if peak is None else {"bfloat16": peak.bfloat16, "source": peak.source},
        "settings": {
            "dtype": "bfloat16",
            "repeats": options.repeats,
            "cache_steps": options.cache_steps,
            "error_limit": LIMIT,
            "weights": "random",
            "dry_run": options.dry_run,
            "ranks": degrees.world_of(),
        },
    }
    try:
        return Ledger(options.out, head, fresh=options.fresh)
    except OtherMachine as error:
        print(error, file=sys.stderr)
        return None


def _chosen(names: Sequence[str], subjects: Sequence[Subject]) -> list[Subject]:
    known = [subject.key for subject in subjects]
    if unknown := sorted(set(names) - set(known)):
        raise SystemExit(f"no model is called {', '.join(unknown)}; there are {', '.join(known)}")
    return [subject for subject in subjects if (subject.key in names if names else not subject.asked)]


def _levers(names: Sequence[str]) -> list[str]:
    known = [lever.key for lever in LEVERS]
    if unknown := sorted(set(names) - set(known)):
        raise SystemExit(f"no lever is called {', '.join(unknown)}; there are {', '.join(known)}")
    return ["eager", *(name for name in known if name != "eager" and (not names or name in names))]


def _options(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--dry-run", action="store_true", help="tiny models on the CPU")
    parser.add_argument("--time-limit", type=float, default=540.0, help="seconds; 0 for none (540)")
    parser.add_argument("--out", type=Path, help="results (benchmarks/results/gpu.json)")
    parser.add_argument("--fresh", action="store_true", help="forget the results that are there")
    parser.add_argument("--retry", action="store_true", help="try again what failed")
    parser.add_argument("--subjects", nargs="*", default=[], help="models (all but the 13B)")
    parser.add_argument("--levers", nargs="*", default=[], help="levers beside eager (all)")
    parser.add_argument(
        "--what", nargs="*", default=[], choices=["step", "rounding", "caches", "decode"], help="cases (all)"
    )
    parser.add_argument("--repeats", type=int, default=None, help="timed runs of a case (2; dry run 1)")
    parser.add_argument(
        "--cache-steps", type=int, default=None, help="steps of the cached run (16; dry run 6)"
    )
    options = parser.parse_args(given)
    name = "gpu-dry-run" if options.dry_run else "gpu"
    options.out = options.out or RESULTS / (
        f"{name}-shared.json" if degrees.world_of() > 1 else f"{name}.json"
    )
    options.repeats = options.repeats or (1 if options.dry_run else 2)
    options.cache_steps = options.cache_steps or (6 if options.dry_run else 16)
    if options.repeats < 1 or options.cache_steps < 4:
        parser.error("--repeats must be at least 1 and --cache-steps at least 4")
    return options


def quiet() -> None:
    """No warnings of libraries among the lines that matter."""
    warnings.filterwarnings("ignore")
    logging.getLogger("diffusers").setLevel(logging.ERROR)


if __name__ == "__main__":
    quiet()
    raise SystemExit(main())
