"""What the cases say together: a table, the best lever that changes no pixel, fitted rates. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.gpu.costing import fitted_rates, step_flops
from benchmarks.gpu.subjects import Subject
from benchmarks.gpu.timing import figures

Cases = Mapping[str, Mapping[str, Any]]


def table(cases: Cases) -> str:
    """One line for each case, a step beside its eager one."""
    lines = [f"{'case':58} {'seconds':>9} {'faster':>8} {'peak':>6} {'predicted':>9} {'GiB':>6} {'error':>9}"]
    for key, record in cases.items():
        if record.get("status") != "measured":
            why = str(record.get("reason", record.get("error")))
            lines.append(f"{key:58} {record.get('status')}: {why[:100]}")
        elif "seconds" in record:
            eager = cases.get(compared_with(key, record), {}).get("seconds")
            gain = f"{eager / record['seconds']:.2f}" if eager else ""
            share = record.get("share_of_peak")
            error = record["error"]
            lines.append(
                f"{key:58} {record['seconds']:9.4f} {gain:>8} "
                f"{'' if share is None else f'{share:.0%}':>6} {_told(record.get('predicted_s')):>9} "
                f"{record['peak_gib']:6.1f} {max(error['largest'], error['mean']):9.1e}"
                f"{'' if error['counts'] else ' over the limit'}"
            )
        else:
            lines += [f"{key:58} {line}" for line in _others(record)]
    return "\n".join(lines)


def compared_with(key: str, record: Mapping[str, Any]) -> str:
    """The case that a case is measured against: eager, or for a shared step the same by one GPU."""
    head, _, lever = key.rpartition("/")
    return f"{head.rpartition('/')[0]}/1/{lever}" if "degree" in record else f"{head}/eager"


def speed_ups(cases: Cases) -> dict[str, float]:
    """How many times faster than one GPU with the same lever each shared step is."""
    return {
        key: figures(cases[alone]["seconds"] / record["seconds"])
        for key, record in cases.items()
        if "degree" in record
        and record.get("status") == "measured"
        and cases.get(alone := compared_with(key, record), {}).get("status") == "measured"
    }


def best(cases: Cases, subjects: Sequence[Subject]) -> dict[str, dict[str, Any]]:
    """For each model and shape, the fastest lever whose error counts as none, and the fastest of all."""
    found: dict[str, dict[str, Any]] = {}
    for subject in subjects:
        for shape in subject.shapes:
            prefix = f"{subject.key}/step/{shape}/"
            measured = {
                key.removeprefix(prefix): record
                for key, record in cases.items()
                if key.startswith(prefix) and record.get("status") == "measured"
            }
            if "eager" not in measured:
                continue
            eager = measured["eager"]["seconds"]
            unchanged = {key: record for key, record in measured.items() if record["error"]["counts"]}
            entry = {}
            for name, among in (("unchanged", unchanged), ("any", measured)):
                key = min(among, key=lambda lever: among[lever]["seconds"])
                entry[name] = {
                    "lever": key,
                    "seconds": among[key]["seconds"],
                    "gain": round(eager / among[key]["seconds"], 3),
                }
            found[f"{subject.key}/{shape}"] = entry
    return found


def rates(cases: Cases, subjects: Sequence[Subject]) -> dict[str, dict[str, float]]:
    """Linear and attention TFLOP/s of each model run eagerly: figures for `models/gpus.yaml`."""
    found = {}
    for subject in subjects:
        samples = [
            (step_flops(subject, shape), float(record["seconds"]))
            for shape in (subject.short, *subject.shapes)
            if (record := cases.get(f"{subject.key}/step/{shape}/eager", {})).get("status") == "measured"
        ]
        fit = fitted_rates(samples)
        if fit is not None:
            found[subject.key] = {
                "linear_tflops": figures(fit[0] / 1e12),
                "attention_tflops": figures(fit[1] / 1e12),
                "shapes": len(samples),
            }
    return found


def _others(record: Mapping[str, Any]) -> Iterator[str]:
    if "error" in record:
        yield f"largest {record['error']['largest']:.1e}, mean {record['error']['mean']:.1e}"
    for name in ("magcache", "taylorseer"):
        if name in record:
            cached = record[name]
            gain = cached["eager_seconds_per_step"] / cached["seconds_per_step"]
            yield (
                f"{name}: skipped {cached['skipped']:g} of {cached['steps']} steps, {gain:.2f} x eager, "
                f"error {cached['error']['mean']:.1e}"
            )


def _told(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
