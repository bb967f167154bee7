"""A private PostgreSQL for the session, and the job store on both databases."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from router.jobs.sql import SqlJobStore

INSTALL_HINT = (
    "PostgreSQL's server programs (initdb, postgres) were not found under /usr/lib/postgresql/*/bin "
    "or on PATH: apt-get install postgresql"
)


@dataclass(slots=True)
class PostgresServer:
    """A server of our own: its data directory, its port, and how to stop and start it."""

    bin: Path
    home: Path
    port: int

    def run(self, program: str, *args: str) -> None:
        """Run one of PostgreSQL's programs, as a user that it accepts (it refuses root)."""
        user = "postgres" if os.geteuid() == 0 else None
        # Output goes to a file: pg_ctl's server would keep a pipe open for ever.
        with (self.home / "programs.log").open("ab") as log:
            done = subprocess.run(
                [self.bin / program, *args],
                user=user,
                group=user,
                extra_groups=[] if user else None,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.home,
                timeout=60,
                check=False,
            )
        if done.returncode != 0:
            text = (self.home / "programs.log").read_text(errors="replace")
            pytest.fail(f"{program} exited with {done.returncode}:\n{text[-3000:]}")

    def start(self) -> None:
        """Start on the same port with the same data."""
        options = (
            f"-p {self.port} -k {self.home} -c listen_addresses=127.0.0.1 -c fsync=on -c max_connections=60"
        )
        self.run(
            "pg_ctl", "start", "-w", "-D", f"{self.home}/data", "-l", f"{self.home}/server.log", "-o", options
        )

    def stop(self) -> None:
        """Stop at once, as a crash would: connections break, recovery follows at the next start."""
        self.run("pg_ctl", "stop", "-w", "-D", f"{self.home}/data", "-m", "immediate")

    def empty_database(self) -> str:
        """The URL of the server's database, emptied; whoever was still connected is not any more."""
        url = f"postgresql://postgres@127.0.0.1:{self.port}/postgres"
        others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'postgres'"
        self.run(
            "psql",
            *("-q", "-X", "-v", "ON_ERROR_STOP=1", "-d", url),
            *("-c", f"{others} AND pid <> pg_backend_pid()"),
            *("-c", "DROP SCHEMA public CASCADE", "-c", "CREATE SCHEMA public"),
        )
        return url


def _programs() -> Path:
    versions = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3])
    )
    on_path = shutil.which("initdb")
    if not versions and on_path is None:
        pytest.fail(INSTALL_HINT, pytrace=False)
    return versions[-1].parent if versions else Path(str(on_path)).resolve().parent


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """A new PostgreSQL server in a temporary directory; it and the directory go with the context."""
    programs = _programs()
    home = Path(tempfile.mkdtemp(prefix="i2v-pg-"))
    if os.geteuid() == 0:
        account = pwd.getpwnam("postgres")
        os.chown(home, account.pw_uid, account.pw_gid)
    server = PostgresServer(programs, home, _free_port())
    try:
        server.run(
            "initdb", "-D", f"{home}/data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8"
        )
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server that lives as long as the test session."""
    with running_postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database, once on SQLite and once on PostgreSQL."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'jobs.db'}"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.empty_database()


@pytest.fixture
def make_store(database_url: str) -> Callable[[], SqlJobStore]:
    """A closed store on the test's database; call it again for a second process's view."""
    # Imported here: tests that need no store do not wait for SQLAlchemy.
    from router.jobs.retry import Backoff
    from router.jobs.sql import SqlJobStore

    return lambda: SqlJobStore(database_url, backoff=Backoff(base_s=0.0))


@pytest.fixture
async def store(make_store: Callable[[], SqlJobStore]) -> AsyncIterator[SqlJobStore]:
    """An open store on an empty database; a retry need not wait."""
    opened = make_store()
    await opened.open()
    yield opened
    await opened.close()
