"""Labelled prompts and photographs: what a person says they ask for, to hold the readings of them against.

A row belongs to one half by a rule that looks at nothing but its name, and was fixed before any rule of
`router.features` was changed: the first byte of the SHA-256 of a prompt's text (of a photograph's source) is
even for `tune`, odd for `held_out`. `second` and `third` prompts were read once and then tuned on as well;
`fresh` ones were written last, and nothing was changed for them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

FOLDER: Final = Path(__file__).resolve().parent
Split = Literal["tune", "held_out", "second", "third", "fresh"]


def half_of(name: str) -> Split:
    """The half that a prompt's text or a photograph's source belongs to."""
    return "held_out" if hashlib.sha256(name.encode()).digest()[0] % 2 else "tune"


@dataclass(frozen=True, slots=True)
class LabelledPrompt:
    """One prompt with what it asks for; absent labels are claims that it does not."""

    text: str
    split: Split
    labels: Mapping[str, Any]


def load_prompts() -> Sequence[LabelledPrompt]:
    """All labelled prompts.

    Raises:
        ValueError: a line is no JSON object with a text, or a text comes twice.
    """
    read = [LabelledPrompt(row["text"], half_of(row["text"]), row) for row in _rows("prompts.jsonl")]
    later: tuple[Split, ...] = ("second", "third", "fresh")
    for split in later:
        read += [LabelledPrompt(row["text"], split, row) for row in _rows(f"prompts_{split}.jsonl")]
    if len({row.text for row in read}) != len(read):
        raise ValueError("a labelled prompt comes twice")
    return read


def _rows(name: str) -> Sequence[Mapping[str, Any]]:
    path = FOLDER / name
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
