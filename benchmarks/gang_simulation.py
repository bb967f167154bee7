"""Run the gang's simulator and fill the tables of `docs/scheduling.md` with what it finds.

`python -m benchmarks.gang_simulation` runs what is not stored yet and fills the document; with names of runs
it runs those anew; `--render` fills the document alone, `--markdown` prints a run's table. All of it takes a
quarter of an hour on one core.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.report import RESULTS, ROOT
from policies.simulate.gang.markdown import results

DOCUMENT = ROOT / "docs" / "scheduling.md"
STORE = RESULTS / "gang"
LOADS = ("0.7", "0.85", "1.0")
COMPARED = ["--policies", "production,baselines,notes"]
OTHER = ["--seeds", "10", "--policies", "production,notes,tridentserve_ilp,ddit_greedy,fixed4_edf,rssp_edf"]
RUNS: Mapping[str, list[str]] = {
    **{f"load-{load}": ["--load", load, "--seeds", "20", *COMPARED] for load in LOADS},
    **{
        f"parts-{load}": ["--load", load, "--seeds", "6", "--policies", "production,ablations"]
        for load in LOADS
    },
    "unseen-0.85": ["--load", "0.85", "--seed", "100", *OTHER],
    "two-nodes-0.85": ["--load", "0.85", "--nodes", "2", *OTHER],
    "bursty-0.7": ["--load", "0.7", "--bursty", *OTHER],
    "slack-1.2": ["--load", "0.7", "--slack", "1.2", *OTHER],
    "slack-4": ["--load", "0.7", "--slack", "4", *OTHER],
}
LEADS = {"0.7": 15.0, "0.85": 15.0, "1.0": 20.0}
"""Points of SLO that production is to lead the best of other people's policies by."""

Document = Mapping[str, Any]


def run(name: str) -> None:
    """One run of the command line, stored as JSON."""
    STORE.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "router.cli", "simulate", "gang", *RUNS[name], "--json"]
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


def best(document: Document, *, rounds: bool) -> Mapping[str, Any]:
    """The baseline (or the round-based variant) with the most clips on time."""
    found = [
        row
        for row in document["policies"]
        if row["policy"] != "production"
        and row["kind"] == "baseline"
        and ("rounds" in row["policy"]) is rounds
    ]
    return max(found, key=lambda row: row["slo_attainment"])


def told(row: Mapping[str, Any], key: str, form: str) -> str:
    return f"{row[key]:{form}} ± {row['ci95'][key]:{form}}"


def section(name: str) -> str:
    document = stored(name)
    work = document["workload"]
    return (
        f"```bash\ni2v simulate gang {' '.join(RUNS[name])} --markdown\n```\n\n"
        f"{work['arrivals']:.0f} clips a seed on {work['gpus']} GPUs, realised load "
        f"{work['load_realised']:.3f}.\n\n{results(document['policies'])}"
    )


def targets() -> str:
    """Every target, what was found, and whether that meets it."""
    lines = ["| target | found | met |", "|---|---|---|"]

    def line(target: str, found: str, met: bool) -> None:
        lines.append(f"| {target} | {found} | {'yes' if met else '**no**'} |")

    documents = {load: stored(f"load-{load}") for load in LOADS}
    for load, document in documents.items():
        row = best(document, rounds=False)
        line(
            f"≥ {LEADS[load]:.0f} points on time over the best baseline, load {load}",
            f"{told(row, 'lead_points', '.1f')} ({row['policy']})",
            row["lead_points"] - row["ci95"]["lead_points"] >= LEADS[load],
        )
    for load, document in documents.items():
        row = best(document, rounds=True)
        line(
            f"ahead of every round-based policy, load {load}",
            f"{told(row, 'lead_points', '.1f')} ({row['policy']})",
            row["lead_points"] - row["ci95"]["lead_points"] > 0.0,
        )
    for load in LOADS:
        rows = [row for row in stored(f"parts-{load}")["policies"] if "production_rounds" in row["policy"]]
        row = max(rows, key=lambda row: row["slo_attainment"])
        line(
            f"ahead of itself in rounds, load {load} (6 seeds)",
            f"{told(row, 'lead_points', '.1f')} ({row['policy']})",
            row["lead_points"] - row["ci95"]["lead_points"] > 0.0,
        )
    for load, document in documents.items():
        row = row_of(document, "notes")
        line(
            f"more on time than the earlier planner, load {load}",
            f"{told(row, 'lead_points', '.1f')}",
            row["lead_points"] - row["ci95"]["lead_points"] > 0.0,
        )
    for load, document in documents.items():
        ours, row = row_of(document), row_of(document, "notes")
        line(
            f"p99 no longer than the earlier planner's, load {load}",
            f"{told(ours, 'latency_p99', '.0f')} s to {told(row, 'latency_p99', '.0f')} s",
            ours["latency_p99"] <= row["latency_p99"],
        )
    for load, document in documents.items():
        ours, row = row_of(document), row_of(document, "tridentserve_ilp")
        line(
            f"p99 ≤ 0.65 x the integer program's, load {load}",
            f"{ours['latency_p99'] / row['latency_p99']:.2f}",
            ours["latency_p99"] <= 0.65 * row["latency_p99"],
        )
    return "\n".join(lines)


PARTS: Mapping[str, Callable[[], str]] = {
    "targets": targets,
    **{name: (lambda name=name: section(name)) for name in RUNS},
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
    parser.add_argument("--markdown", action="store_true", help="print the stored tables, run nothing")
    options = parser.parse_args()
    unknown = sorted(set(options.names) - set(RUNS))
    if unknown:
        parser.error(f"no run is called {', '.join(unknown)}; there are {', '.join(RUNS)}")
    if options.markdown:
        print("\n\n".join(section(name) for name in options.names or RUNS))
        return
    if not options.render:
        for name in options.names or [name for name in RUNS if not (STORE / f"{name}.json").is_file()]:
            run(name)
    render()


if __name__ == "__main__":
    main()
