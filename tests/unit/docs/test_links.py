"""Every relative link of every Markdown file leads somewhere, to the very heading it names."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
SKIPPED = {".venv", ".git", ".hypothesis", "node_modules", "demo-output", ".i2v"}


def documents() -> list[Path]:
    return sorted(
        path
        for path in ROOT.rglob("*.md")
        if SKIPPED.isdisjoint(part for part in path.relative_to(ROOT).parts)
        and not any(part.endswith("_cache") for part in path.parts)
    )


def slug(heading: str) -> str:
    """GitHub's anchor of a heading."""
    plain = re.sub(r"[^\w\- ]", "", heading.lower().replace("`", ""))
    return plain.replace(" ", "-")


def prose(text: str) -> str:
    """The text without what is inside code; link labels may be code, so their brackets stay."""
    return CODE.sub(lambda found: "\n" * found[0].count("\n"), text)


def problems_of(document: Path, root: Path = ROOT) -> list[str]:
    text = prose(document.read_text(encoding="utf-8"))
    problems = []
    for target in LINK.findall(text):
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue
        path, _, anchor = target.partition("#")
        place = (document.parent / path).resolve() if path else document
        if not place.exists():
            problems.append(f"{target}: no such file")
        elif not place.is_relative_to(root):
            problems.append(f"{target}: outside of the repository")
        elif anchor and anchor not in map(slug, HEADING.findall(prose(place.read_text(encoding="utf-8")))):
            problems.append(f"{target}: no such heading")
    return problems


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_relative_link_resolves(document: Path) -> None:
    assert problems_of(document) == []


def test_the_documents_are_found() -> None:
    names = {str(path.relative_to(ROOT)) for path in documents()}
    assert {"README.md", "CONTRIBUTING.md", "docs/README.md", "docs/howto/add-a-model.md"} <= names


def test_a_broken_link_is_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# One\n[a](nowhere.md) [b](#two) [c](#one) [d](https://example.org) [e](/etc) `[f](g)`\n"
    )
    assert problems_of(page, tmp_path) == [
        "nowhere.md: no such file",
        "#two: no such heading",
        "/etc: outside of the repository",
    ]


def test_linked_files_are_in_the_repository() -> None:
    """A link to a file that git ignores works on one machine only."""
    linked = {
        (document.parent / target.partition("#")[0]).resolve()
        for document in documents()
        for target in LINK.findall(prose(document.read_text(encoding="utf-8")))
        if not re.match(r"[a-z][a-z0-9+.-]*:|#", target)
    }
    names = [str(path.relative_to(ROOT)) for path in sorted(linked) if path.is_file()]
    ignored = subprocess.run(
        ["git", "check-ignore", "--no-index", *names], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ignored.returncode in (0, 1), ignored.stderr
    assert ignored.stdout.split() == []
