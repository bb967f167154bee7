"""The documentation as data: its files, its fenced blocks, and its Python blocks as modules."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[3]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture
def block() -> Callable[[str, str], str]:
    """The one fenced block of a document that contains `phrase`."""

    def find(document: str, phrase: str) -> str:
        text = (ROOT / document).read_text(encoding="utf-8")
        found = [body for _, body in FENCE.findall(text) if phrase in body]
        assert len(found) == 1, f"{document} has {len(found)} blocks with {phrase!r}"
        return str(found[0])

    return find


@pytest.fixture
def module_of(block: Callable[[str, str], str], tmp_path: Path) -> Iterator[Callable[[str, str], ModuleType]]:
    """A Python block of a document, imported as the file that it says it is."""
    imported: list[str] = []

    def load(document: str, phrase: str) -> ModuleType:
        name = f"documented_{len(imported)}"
        path = tmp_path / f"{name}.py"
        path.write_text(block(document, phrase), encoding="utf-8")
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        # Dataclasses and pydantic look their annotations up in the module's registered namespace.
        sys.modules[name] = module
        imported.append(name)
        spec.loader.exec_module(module)
        return module

    yield load
    for name in imported:
        del sys.modules[name]
