"""Partitioned exports: the rows of the whole, in order, in files of one size."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from storage import export, partitions
from storage.database import Database
from tests.analysis.sample import Sample, Visit, write


@pytest.fixture
def conn(tmp_path: Path) -> Iterator[sa.Connection]:
    visits = {f"a{number}": Visit(tuple(f"a{other}" for other in range(number + 1, 9))) for number in range(3)}
    path = write(tmp_path / "sample.db", Sample(seeds=("a0",), visits=visits))
    with closing(Database.open(path, now=lambda: 0.0, mode="read")) as database, database.read() as conn:
        yield conn


@pytest.mark.parametrize("parts", [1, 2, 4, 100])
def test_the_parts_together_are_the_whole(
    conn: sa.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parts: int
) -> None:
    """One after the other the files hold the rows of the plain export, as many each but in the last one."""
    monkeypatch.setattr(export, "_BATCH", 2)
    whole = export.write(conn, "parquet", tmp_path / "whole")
    done = partitions.write(conn, tmp_path / "parts", parts)
    assert (done.accounts, done.edges) == (whole.accounts, whole.edges) == (9, 21)
    for name, rows in (("accounts", 9), ("follows", 21)):
        files = sorted((tmp_path / "parts" / name).iterdir())
        sizes = [pq.read_metadata(path).num_rows for path in files]
        assert sum(sizes) == rows
        assert len(set(sizes[:-1])) <= 1
        assert len(files) <= parts
        tables = [pq.read_table(path) for path in files]
        assert [row for table in tables for row in table.to_pylist()] == pq.read_table(
            tmp_path / "whole" / f"{name}.parquet"
        ).to_pylist()
        assert {path.stat().st_mode & 0o777 for path in files} == {0o600}


def test_an_empty_table_is_a_file_without_rows(tmp_path: Path) -> None:
    """Who reads the folder finds the columns."""
    path = write(tmp_path / "empty.db", Sample(seeds=("a0",)))
    with closing(Database.open(path, now=lambda: 0.0, mode="read")) as database, database.read() as conn:
        partitions.write(conn, tmp_path / "out", 3)
    assert pq.read_table(tmp_path / "out" / "follows").column_names == list(export.FOLLOW_COLUMNS)


def test_an_older_data_set_is_replaced_as_a_whole(conn: sa.Connection, tmp_path: Path) -> None:
    """Fewer files leave none of the older ones behind, and no draft."""
    partitions.write(conn, tmp_path / "out", 7)
    partitions.write(conn, tmp_path / "out", 2)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["accounts", "follows"]
    assert len(partitions.files(tmp_path / "out")) == 4
