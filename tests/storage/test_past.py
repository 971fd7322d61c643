"""Earlier times: what was known then, what changed since, and what must not be taken for a change."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from study import Study, facts

from storage import changes, export, past, summary
from tests.analysis.sample import insert

DAY = 86_400.0


def history(study: Callable[..., Study]) -> tuple[Study, list[float]]:
    """Visit `a` on four days (x y, x z, x y z, then hidden) and `x` on the second; returns the time of each."""
    made = study("a")
    days = [made.now + day * DAY for day in range(4)]
    for day, listed in zip(days, ("xy", "xz", "xyz", None), strict=True):
        made.now = day
        if listed is None:
            made.visit("a", status="hidden")
        else:
            made.visit("a", *(facts(name) for name in listed))
        if day == days[1]:
            made.visit("x", facts("q"))
    return made, days


def found(study: Study, since: float, until: float) -> dict[str, set[tuple[str | None, str | None]]]:
    """Return the changes by kind."""
    by_kind: dict[str, set[tuple[str | None, str | None]]] = {}
    for change in study.read(lambda conn: list(changes.between(conn, since, until))):
        by_kind.setdefault(change.kind, set()).add((change.source, change.target))
    return by_kind


def test_gained_lost_back_and_merely_learned(study: Callable[..., Study]) -> None:
    """Follows that came, went and came back are told apart; a list read for the first time brings nothing new."""
    made, days = history(study)
    assert found(made, days[0], days[1]) == {"new": {("a", "z")}, "gone": {("a", "y")}, "learned": {("x", "q")}}
    assert found(made, days[1], days[2]) == {"back": {("a", "y")}}
    assert found(made, days[0], days[2]) == {"new": {("a", "z")}, "learned": {("x", "q")}}
    assert found(made, days[2], days[3]) == {}
    assert set(found(made, days[0] - 1, days[3])) == {"learned"}


def test_a_part_is_no_base_for_a_gain(study: Callable[..., Study]) -> None:
    """Where the list had been read in part, what a later visit lists more may have been there all the time."""
    made = study("a")
    made.visit("a", facts("x"), has_more=True, reported_total=9)  # no cursor to go on with
    start = made.now
    made.now += DAY
    made.visit("a", facts("x"), facts("y"))
    whole = made.now
    made.now += DAY
    made.visit("a", facts("x"), facts("y"), facts("z"))
    assert found(made, start, whole) == {"learned": {("a", "y")}}
    assert found(made, whole, made.now) == {"new": {("a", "z")}}


def test_the_graph_as_of_every_day(study: Callable[..., Study], tmp_path: Path) -> None:
    """Every day's export is what was known on that day; the database's own reading is untouched by it."""
    made, days = history(study)

    def exported(at: float | None) -> set[str]:
        with made.db.read() as conn:
            path = tmp_path / "graph.tsv"
            if at is None:
                export.write(conn, "edgelist", path)
            else:
                with past.as_of(conn, at):
                    export.write(conn, "edgelist", path)
        return set(path.read_text().splitlines())

    assert exported(days[0] - 1) == set()
    assert exported(days[0]) == {"a\tx", "a\ty"}
    assert exported(days[1]) == {"a\tx", "a\tz", "x\tq"}
    assert exported(days[2]) == exported(None) == {"a\tx", "a\ty", "a\tz", "x\tq"}


def test_standings_as_of_a_day(study: Callable[..., Study]) -> None:
    """What an account's list was known to be is of that day too, and accounts not yet seen are not there."""
    made, days = history(study)

    def standings(at: float) -> dict[str, int]:
        with made.db.read() as conn, past.as_of(conn, at):
            return dict(summary.read(conn).accounts)

    assert standings(days[0]) == dict.fromkeys(("hidden", "private", "not_found", "failed"), 0) | {
        "known": 3, "visited": 1, "boundary": 2,
    }  # fmt: skip
    assert standings(days[1])["visited"] == 2
    assert standings(days[3])["hidden"] == 1


def test_the_file_stays_closed_to_writing(in_file: Callable[..., Study]) -> None:
    """Looking back writes nothing, and the connection refuses writes afterwards as before."""
    made, days = history(in_file)
    before = made.path.read_bytes()
    with made.db.read() as conn, past.as_of(conn, days[1]):
        assert conn.exec_driver_sql("SELECT count(*) FROM follows WHERE ended_visit IS NULL").scalar_one() == 3
    with made.db.read() as conn:
        assert conn.exec_driver_sql("SELECT count(*) FROM follows").scalar_one() == 4
        assert conn.exec_driver_sql("PRAGMA query_only").scalar_one() == 1
    assert made.path.read_bytes() == before


def test_a_control_sample_is_of_a_day_when_it_was_whole(study: Callable[..., Study]) -> None:
    """Draws have no times: a sample that reads, or drew, what was not known on a day is not of that day."""
    made, days = history(study)
    known = made.read(lambda conn: dict(conn.exec_driver_sql("SELECT handle, id FROM accounts").all()))
    rows = [(7, 1, 0, known["x"]), (7, 2, 0, known["y"]), (7, 3, 0, known["a"]), (8, 1, 0, known["q"])]
    made.db.transact(lambda conn: insert(conn, "control_draws", ["run_id", "wave", "place", "account_id"], rows))

    def runs(at: float) -> set[int]:
        with made.db.read() as conn, past.as_of(conn, at):
            return set(conn.exec_driver_sql("SELECT run_id FROM control_draws").scalars())

    assert runs(days[0] - 1) == set()
    assert runs(days[0]) == {7}
    assert runs(days[1]) == {7, 8}
    made.db.transact(lambda conn: conn.exec_driver_sql(
        f"UPDATE visits SET run_id = 7, queue = 'control-3' WHERE started_at > {int(days[1])}"
    ))  # fmt: skip
    assert (runs(days[1]), runs(days[3])) == ({8}, {7, 8})
