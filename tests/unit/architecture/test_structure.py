"""The shape of the tree: import contracts that really bite, small files, light imports."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = ("models", "policies", "router", "deployments")
MAX_LINES = 600


def lint_imports(tree: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"],
        cwd=tree, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the packages that a test may spoil."""
    copy = tmp_path_factory.mktemp("tree")
    shutil.copy(ROOT / "pyproject.toml", copy)
    for package in PACKAGES:
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


def test_the_contracts_hold(tree: Path) -> None:
    outcome = lint_imports(tree)
    assert outcome.returncode == 0, outcome.stdout


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("models/types.py", "import policies.base"),
        ("policies/base.py", "import router.settings"),
        ("router/settings.py", "import deployments.args"),
        ("policies/base.py", "import torch"),
        ("policies/base.py", "import httpx"),
        ("router/settings.py", "import ray"),
        ("models/catalog.py", "import torch"),
        ("models/cost.py", "import models.runners.base"),
        ("router/settings.py", "import models.runners.base"),
        ("policies/filters/budget.py", "import policies.filters.deadline"),
    ],
)
def test_a_seeded_violation_breaks_them(tree: Path, file: str, line: str) -> None:
    path = tree / file
    clean = path.read_text()
    path.write_text(f"{clean}\n{line}\n")
    try:
        outcome = lint_imports(tree)
    finally:
        path.write_text(clean)
    assert outcome.returncode != 0, f"{line} in {file} went unseen"
    assert "BROKEN" in outcome.stdout


def test_no_file_is_over_the_limit() -> None:
    long = {
        str(path.relative_to(ROOT)): count
        for top in (*PACKAGES, "tests", "benchmarks", "examples")
        for path in (ROOT / top).rglob("*.py")
        if (count := len(path.read_text().splitlines())) > MAX_LINES
    }
    assert long == {}


@pytest.mark.parametrize(
    "module",
    ["policies", "policies.engine", "router", "router.gateway", "router.dispatch", "router.cli",
     "models.catalog", "models.cost"],
)  # fmt: skip
def test_it_loads_neither_torch_nor_ray(module: str) -> None:
    code = (
        f"import sys, {module}; "
        "heavy = {'torch', 'ray', 'diffusers', 'transformers'} & set(sys.modules); "
        "sys.exit(f'loaded {sorted(heavy)}' if heavy else 0)"
    )
    outcome = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert outcome.returncode == 0, outcome.stderr
