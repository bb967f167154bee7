"""Fixtures: live local stacks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.live import LiveStack, fresh_home


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Live stacks come last, and those of a test's own before the shared one: two at once are too many."""
    own = {"test_kills.py", "test_parity.py", "test_hosted.py", "test_engine_conformance.py"}
    items.sort(key=lambda item: ("e2e" in item.path.parts, item.path.name not in own))


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveStack]:
    """One stack on SQLite for every test that does not break it for good."""
    directory = tmp_path_factory.mktemp("stack")
    live = LiveStack(directory, fresh_home(directory))
    try:
        live.start()
        yield live
    finally:
        live.stop()
