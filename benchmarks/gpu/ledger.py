"""Results on disk, written whole after every case: a run cut short loses nothing and can be continued."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class OtherMachine(Exception):
    """The file holds results of another machine or other software."""


class Ledger:
    """One JSON document: what it was measured on, and a record for each case.

    Args:
        path: Read when it is there, and written after every case.
        head: What is told of the machine and the settings; `head["machine"]` must be that of the file.
        fresh: Start anew, whatever the file holds.
    """

    def __init__(self, path: Path, head: Mapping[str, Any], *, fresh: bool = False) -> None:
        self._path = path
        self._head = dict(head)
        self._cases: dict[str, dict[str, Any]] = {}
        if path.is_file() and not fresh:
            stored = json.loads(path.read_text(encoding="utf-8"))
            # Compared as JSON: a tuple comes back as a list.
            if stored.get("machine") != json.loads(json.dumps(self._head.get("machine"))):
                raise OtherMachine(
                    f"{path} was measured on {stored.get('machine')}; this is {self._head.get('machine')}. "
                    "Name another file with --out, or start it anew with --fresh"
                )
            self._cases = dict(stored.get("cases", {}))

    @property
    def cases(self) -> Mapping[str, Mapping[str, Any]]:
        """Records by case, in the order in which they came."""
        return self._cases

    def has(self, key: str, *, retry: bool = False) -> bool:
        """Whether a case is done; with `retry`, those that failed are not."""
        record = self._cases.get(key)
        return record is not None and not (retry and record.get("status") == "failed")

    def put(self, key: str, record: Mapping[str, Any]) -> None:
        """Add a record and write the file."""
        self._cases[key] = dict(record)
        self.write()

    def write(self, **more: Any) -> None:
        """Write the file, with further entries at its end (kept for later writes)."""
        self._head |= more
        document = {**self._head, "cases": self._cases}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        beside = self._path.with_suffix(".partial")
        beside.write_text(json.dumps(document, indent=2, allow_nan=False) + "\n", encoding="utf-8")
        os.replace(beside, self._path)
