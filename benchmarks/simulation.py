"""Run the routing simulator and fill the tables of `docs/simulation.md` with what it finds.

`python -m benchmarks.simulation` runs what is not stored yet and fills the document; with names of runs it
runs those anew; `--render` fills the document alone. All of it takes a quarter of an hour on one core.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.report import RESULTS, ROOT
from policies.simulate.learning import LEARNERS, regret
from policies.simulate.markdown import predictions, reliability, results

DOCUMENT = ROOT / "docs" / "simulation.md"
STORE = RESULTS / "simulation"
LOADS = ("0.08", "0.16", "0.24")
COMPARED = ["--policies", "production,baselines"]
TAKEN_OUT = ["--policies", "production,ablations"]
RUNS: Mapping[str, list[str]] = {
    **{f"toy-{load}": ["--load", load, "--hours", "4", "--seeds", "6", *COMPARED] for load in LOADS},
    "toy-failures": ["--load", "0.16", "--hours", "4", "--seeds", "6", "--failures", *COMPARED],
    "catalog": ["--world", "catalog", "--load", "0.3", "--hours", "0.5", "--seeds", "6", *COMPARED],
    **{f"parts-{load}": ["--load", load, "--hours", "2", "--seeds", "6", *TAKEN_OUT] for load in LOADS},
    "parts-catalog": ["--world", "catalog", "--load", "0.3", "--hours", "0.3", "--seeds", "6", *TAKEN_OUT],
}
OTHERS = ("litellm", "vllm_sr")
GAIN, ON_TIME, MEDIAN, COLD, COVERED = 1.3, 0.97, 0.03, 0.10, (0.88, 0.92)
"""Targets: utility over the best baseline's, on time of feasible jobs, prediction errors, coverage of q90."""

Document = Mapping[str, Any]


def run(name: str) -> None:
    """One run of the command line, stored as JSON."""
    STORE.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "router.cli", "simulate", "routing", *RUNS[name], "--json"]
    print(f"{name}: i2v {' '.join(command[3:])}", flush=True)
    outcome = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    document = json.loads(outcome.stdout)
    for row in document["policies"]:
        row.pop("decisions_per_s", None)  # of the machine, not of the policy
        row.get("ci95", {}).pop("decisions_per_s", None)
    (STORE / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def stored(name: str) -> Document:
    return json.loads((STORE / f"{name}.json").read_text(encoding="utf-8"))


def row_of(document: Document, name: str = "production") -> Mapping[str, Any]:
    return next(row for row in document["policies"] if row["policy"] == name)


def best(document: Document, *prefixes: str) -> Mapping[str, Any]:
    """The baseline of the highest utility, of those whose names begin so."""
    rows = [row for row in document["policies"] if row["kind"] == "baseline"]
    return max((r for r in rows if r["policy"].startswith(prefixes or "")), key=lambda r: r["utility"])


def with_half(row: Mapping[str, Any], key: str, form: str) -> str:
    return f"{row[key]:{form}} ± {row['ci95'][key]:{form}}"


def command_of(name: str) -> str:
    return f"```bash\ni2v simulate routing {' '.join(RUNS[name])} --markdown\n```"


def section(name: str) -> str:
    document = stored(name)
    work = document["workload"]
    told = (
        f"{work['arrivals']:.0f} jobs a seed on {work['pools']} pools; nobody's utility exceeds "
        f"{work['bound_with_capacity']:.3f}."
    )
    return f"{command_of(name)}\n\n{told}\n\n{results(document['policies'])}"


def targets() -> str:
    """Every target, what was found, and whether that meets it."""
    lines = ["| target | found | met |", "|---|---|---|"]

    def line(target: str, found: str, met: bool) -> None:
        lines.append(f"| {target} | {found} | {'yes' if met else '**no**'} |")

    toys = {load: stored(f"toy-{load}") for load in LOADS}
    for text, prefixes in ((" of LiteLLM and vLLM-SR", OTHERS), (" baseline of all", ())):
        for load, document in toys.items():
            row = best(document, *prefixes)
            found = f"{with_half(row, 'utility_ratio', '.2f')} ({row['policy']})"
            line(f"utility ≥ {GAIN} x the best{text}, {load} jobs/s", found, row["utility_ratio"] >= GAIN)
    for load, document in toys.items():
        row = row_of(document)
        line(
            f"on time ≥ {ON_TIME} of feasible jobs, {load} jobs/s",
            with_half(row, "slo_feasible", ".3f"),
            row["slo_feasible"] >= ON_TIME,
        )
    catalog = row_of(stored("catalog"))
    line(
        f"the same, catalog; an idle fleet would have {catalog['slo_ceiling']:.3f} of all jobs in time, "
        f"production has {catalog['slo_attainment']:.3f}",
        with_half(catalog, "slo_feasible", ".3f"),
        catalog["slo_feasible"] >= ON_TIME,
    )
    ours = [row_of(stored(name)) for name in RUNS]
    broken = sum(row["capability_violations"] + row["budget_violations"] for row in ours)
    line("clips by models that cannot, or over budget: none (all runs)", f"{broken:.0f}", broken == 0)
    line(
        f"prediction after 20 runs ≤ {MEDIAN:.0%} off, own machines: the median (catalog)",
        with_half(catalog, "bias_learned", ".1%"),
        catalog["bias_learned"] <= MEDIAN,
    )
    line(
        "the same: single runs, which vary by 5 % themselves, so that nobody gets below 4.0 %",
        with_half(catalog, "mape_learned", ".1%"),
        catalog["mape_learned"] <= MEDIAN,
    )
    line(
        f"prediction cold ≤ {COLD:.0%} off, own machines, single runs (catalog)",
        with_half(catalog, "mape_cold", ".1%"),
        catalog["mape_cold"] <= COLD,
    )
    for name, row in (
        *((f"toy {load}", row_of(document)) for load, document in toys.items()),
        ("catalog", catalog),
    ):
        covered = row["q90_coverage"]
        line(
            f"runs within the predicted 90th percentile: {COVERED[0]:.0%} to {COVERED[1]:.0%} ({name})",
            with_half(row, "q90_coverage", ".1%"),
            COVERED[0] <= covered <= COVERED[1],
        )
    return "\n".join(lines)


def bounds() -> str:
    """How far anybody could get."""
    lines = [
        "| jobs/s | bound without queues | bound with these servers | production | of the bound "
        "| best baseline | bound over that |",
        "|---|---|---|---|---|---|---|",
    ]
    for load in LOADS:
        document = stored(f"toy-{load}")
        work, ours, other = document["workload"], row_of(document), best(document)
        most = work["bound_with_capacity"]
        lines.append(
            f"| {load} | {work['bound_without_queues']:.3f} | {most:.3f} | {ours['utility_expected']:.3f} "
            f"| {ours['utility_expected'] / most:.1%} | {other['utility_expected']:.3f} ({other['policy']}) "
            f"| {most / other['utility_expected']:.2f} |"
        )
    return "\n".join(lines)


def parts() -> str:
    """What is left of utility without each part."""
    documents = [stored(f"parts-{place}") for place in (*LOADS, "catalog")]
    lines = [f"| policy | {' | '.join(f'toy {load}' for load in LOADS)} | catalog |", "|---" * 5 + "|"]
    for row in documents[0]["policies"]:
        if row["kind"] == "ablation":
            cells = []
            for document in documents:
                found = row_of(document, row["policy"])
                ratio = found["utility_ratio"]
                cells.append(f"{1 / ratio:.3f} ± {found['ci95']['utility_ratio'] / ratio**2:.3f}")
            lines.append(f"| {row['policy']} | {' | '.join(cells)} |")
    commands = "\n".join(f"i2v simulate routing {' '.join(RUNS[f'parts-{p}'])}" for p in (*LOADS, "catalog"))
    return "\n".join([f"```bash\n{commands}\n```\n", *lines])


def learning() -> str:
    """Regret of each way to learn from thumbs."""
    cases: Sequence[tuple[str, dict[str, float]]] = (
        ("30 Elo, all vote", {"spread": 30.0, "feedback": 1.0}),
        ("30, one in ten", {"spread": 30.0, "feedback": 0.1}),
        ("60, all", {"spread": 60.0, "feedback": 1.0}),
        ("60, one in ten", {"spread": 60.0, "feedback": 0.1}),
        ("100, all", {"spread": 100.0, "feedback": 1.0}),
        ("30, three in ten, wrong mood", {"spread": 30.0, "feedback": 0.3, "reference": 1450.0}),
    )
    lines = [f"| learner | {' | '.join(name for name, _ in cases)} |", "|---" * (len(cases) + 1) + "|"]
    for name, make in LEARNERS.items():
        lost = [regret(make, requests=2000, runs=20, **case) for _, case in cases]
        lines.append(f"| {name} | {' | '.join(f'{value:.4f}' for value in lost)} |")
    return "\n".join(lines)


PARTS: Mapping[str, Callable[[], str]] = {
    "targets": targets,
    "bounds": bounds,
    **{name: (lambda name=name: section(name)) for name in RUNS if not name.startswith("parts")},
    "parts": parts,
    "predictions": lambda: predictions(stored("parts-catalog")["policies"]),
    "reliability toy": lambda: reliability(row_of(stored("toy-0.24"))),
    "reliability catalog": lambda: reliability(row_of(stored("catalog"))),
    "learning": learning,
}


def render() -> None:
    """Fill every marked part of the document."""
    text = DOCUMENT.read_text(encoding="utf-8")
    for name, made in PARTS.items():
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        before, rest = text.split(begin)
        _, after = rest.split(end)
        text = f"{before}{begin}\n{made()}\n{end}{after}"
    DOCUMENT.write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="RUN", help=f"of {', '.join(RUNS)}")
    parser.add_argument("--render", action="store_true", help="run nothing")
    options = parser.parse_args()
    unknown = sorted(set(options.names) - set(RUNS))
    if unknown:
        parser.error(f"no run is called {', '.join(unknown)}; there are {', '.join(RUNS)}")
    if not options.render:
        for name in options.names or [name for name in RUNS if not (STORE / f"{name}.json").is_file()]:
            run(name)
    render()


if __name__ == "__main__":
    main()
