"""Fill the table of `docs/benchmarks.md` from `benchmarks/results/*.json`: `python -m benchmarks.render`."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks import feature_accuracy
from benchmarks.__main__ import NAMES
from benchmarks.report import RESULTS, ROOT, rows

DOCUMENT = ROOT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"


def table(results: Path) -> str:
    """One line for each target of each stored result, with the command that makes it."""
    lines = [
        "| benchmark | figure | measured | target | met | load | command |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in NAMES:
        path = results / f"{name}.json"
        if not path.is_file():
            continue
        document = json.loads(path.read_text(encoding="utf-8"))
        for row in rows(document):
            unit = f" {row['unit']}" if row["unit"] else ""
            target = "" if row["limit"] is None else f"{row['sense']} {row['limit']:g}{unit}"
            met = {True: "yes", False: "**no**", None: ""}[row["met"]]
            lines.append(
                f"| {name} | {row['what']} | {row['value']:.4g}{unit} | {target} | {met} "
                f"| {document['machine']['load_1min']} | `{document['command']}` |"
            )
    return "\n".join(lines)


def main() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    DOCUMENT.write_text(f"{before}{BEGIN}\n{table(RESULTS)}\n{END}{after}", encoding="utf-8")
    accuracy = RESULTS / "feature_accuracy.json"
    if accuracy.is_file():
        feature_accuracy.write_document(json.loads(accuracy.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
