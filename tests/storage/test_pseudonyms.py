"""Pseudonymous exports: the same graph, nobody's name, the same pseudonym for the same person and key only."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import networkx as nx
import pyarrow.parquet as pq
import pytest
import rehearsal
import sqlalchemy as sa
from people import name, now, town

from storage import aggregate, errors, export, secret
from storage.database import Database
from storage.pseudonyms import Pseudonymous, short, shortest
from storage.secret import ProjectKey


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A crawl of which some accounts were seen without their ids."""
    path = tmp_path_factory.mktemp("study") / "a.db"
    api = rehearsal.service(town(120), faults={"hostile_text": 0.2})
    rehearsal.go(path, api, seeds=[name(1), name(2)], budget=60)
    return path


@pytest.fixture
def conn(place: Path) -> Iterator[sa.Connection]:
    with closing(Database.open(place, now=now, mode="read")) as database, database.read() as conn:
        yield conn


@pytest.fixture
def key(tmp_path: Path) -> ProjectKey:
    return secret.create(tmp_path / "a.key")


def people(path: Path) -> list[tuple[int, str, str | None, str | None, str | None]]:
    columns = "id, handle, platform_user_id, display_name, avatar_url"
    # The rows come without types; these are the columns named above.
    return rehearsal.rows(path, f"SELECT {columns} FROM accounts ORDER BY id")  # type: ignore[return-value]


@pytest.mark.parametrize("format", export.FORMATS)
def test_no_name_is_in_any_format(
    place: Path, conn: sa.Connection, key: ProjectKey, tmp_path: Path, format: export.Format
) -> None:
    """Neither handle nor platform id, name or picture of anybody is in any file, and no raw id beside a pseudonym."""
    done = export.write(conn, format, tmp_path / "out", Pseudonymous(conn, key))
    if format == "parquet":
        texts = [str(pq.read_table(path).to_pylist()) for path in export.files(done)]
    else:
        texts = [path.read_text() for path in export.files(done)]
    for _, *words in people(place):
        for word in words:
            assert word is None or not any(word in text for text in texts)


def test_it_is_the_same_graph(place: Path, conn: sa.Connection, key: ProjectKey, tmp_path: Path) -> None:
    """Every follow is there once between the pseudonyms of its two ends, and every fact beside its own account."""
    export.write(conn, "graphml", tmp_path / "bare.graphml")
    export.write(conn, "graphml", tmp_path / "masked.graphml", Pseudonymous(conn, key))
    bare, masked = nx.read_graphml(tmp_path / "bare.graphml"), nx.read_graphml(tmp_path / "masked.graphml")
    names = {
        str(account_id): key.pseudonym(*(("id", stable) if stable else ("handle", handle)))
        for account_id, handle, stable, *_ in people(place)
    }
    assert set(masked.edges) == {(names[source], names[target]) for source, target in bare.edges}
    for node, facts in bare.nodes(data=True):
        expected = {word: value for word, value in facts.items() if word != "label"}
        found = dict(masked.nodes[names[node]])
        assert found.pop("label") == short(names[node])
        assert found == expected


def test_the_order_tells_nothing(conn: sa.Connection, key: ProjectKey, tmp_path: Path) -> None:
    """Rows stand in the order of the pseudonyms, not in that of discovery."""
    export.write(conn, "csv", tmp_path / "out", Pseudonymous(conn, key))
    for file, columns in (("accounts", ("id",)), ("follows", ("source", "target"))):
        with (tmp_path / "out" / f"{file}.csv").open(newline="") as opened:
            rows = [tuple(row[column] for column in columns) for row in csv.DictReader(opened)]
        assert rows == sorted(rows)
        assert len(rows) > 20
    export.write(conn, "edgelist", tmp_path / "edges.tsv", Pseudonymous(conn, key))
    lines = (tmp_path / "edges.tsv").read_text().splitlines()
    assert lines == sorted(lines)


def test_waves_join_under_one_key_only(tmp_path: Path, key: ProjectKey) -> None:
    """Two crawls of the same people: one key gives them the same pseudonyms, two keys give none in common."""
    made = []
    other = secret.create(tmp_path / "b.key")
    for wave, used in (("one", key), ("two", key), ("three", other)):
        path = tmp_path / f"{wave}.db"
        rehearsal.go(path, rehearsal.service(town(60)), seeds=[name(len(made) + 1), name(9)], budget=20)
        with closing(Database.open(path, now=now, mode="read")) as database, database.read() as conn:
            export.write(conn, "csv", tmp_path / wave, Pseudonymous(conn, used))
        with (tmp_path / wave / "accounts.csv").open(newline="") as opened:
            made.append({row["id"] for row in csv.DictReader(opened) if row["role"] != "seed"})
    assert len(made[0] & made[1]) > 20
    assert not made[0] & made[2]


def test_pseudonyms_are_128_bits_in_base32(key: ProjectKey) -> None:
    """26 letters and digits; ids and handles of the same letters are different people; the key is not printed."""
    made = key.pseudonym("id", "7")
    assert len(made) == 26
    assert set(made) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")
    assert made != key.pseudonym("handle", "7")
    assert key.content.hex() not in repr(key)
    assert key.path.stat().st_mode & 0o777 == 0o600
    assert secret.read(key.path) == key


def test_short_forms_stay_distinct() -> None:
    """Four signs where they tell everybody apart, more where they do not."""
    assert shortest(["AAAAAA", "BBBBBB"])("AAAAAA") == "acct-AAAA"
    assert shortest(["AAAAAA", "AAAAAB"])("AAAAAB") == "acct-AAAAAB"
    assert shortest([])("AAAAAA") == "acct-AAAA"


@pytest.mark.parametrize("content", ["", "zz" * 32, "5e" * 31, "5e" * 33, "5e" * 500])
def test_what_is_no_key(tmp_path: Path, content: str) -> None:
    """Anything but 64 hexadecimal digits is refused, and what was found is not told."""
    path = tmp_path / "a.key"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(errors.KeyUnusable) as refused:
        secret.read(path)
    assert not content or content not in str(refused.value)


def test_a_key_is_never_replaced(key: ProjectKey) -> None:
    """Making a key where one lies would make every pseudonym of the study meaningless."""
    with pytest.raises(errors.KeyUnusable):
        secret.create(key.path)
    assert secret.read(key.path) == key


# --- counts --------------------------------------------------------------------------------------------------------


def test_counts_say_what_the_database_says(place: Path, conn: sa.Connection) -> None:
    """Every cell that is shown is a true count of ten accounts or more."""
    found: dict[str, dict[str, int | None]] = {}
    for table, cell, count in aggregate.tables(conn):
        found.setdefault(table, {})[cell] = count
    depths = dict(rehearsal.rows(place, "SELECT CAST(depth AS TEXT), count(*) FROM frontier GROUP BY 1"))
    shown = {cell: count for cell, count in found["hops from the nearest seed"].items() if count is not None}
    assert shown
    assert all(depths[cell] == count >= 10 for cell, count in shown.items())
    assert found["hops from the nearest seed"]["0"] is None
    for cells in found.values():
        assert sum(count is None for count in cells.values()) != 1


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([3, 50, 20], [None, 50, None]),  # the total would give the 3 away
        ([3, 7, 50], [None, None, 50]),
        ([3, 4, 50], [None, None, None]),  # as it would two that hold fewer than ten together
        ([1, 1, 50], [None, None, None]),
        ([1, 1, 60, 50], [None, None, 60, None]),
        ([1, 0, 60], [None, 0, None]),
        ([0, 12, 13], [0, 12, 13]),
        ([9], [None]),
        ([], []),
        ([10, 10], [10, 10]),
    ],
)
def test_small_cells_are_left_out(counts: list[int], expected: list[int | None]) -> None:
    """No count below ten is shown, nor can it be worked out from the others and their sum."""
    assert aggregate.suppressed(counts) == expected
