"""Retention: what the policy says is due goes, everything else stays, and what went is said."""

from __future__ import annotations

from pathlib import Path

import pytest
import rehearsal
import virtual_time
from people import answers, holding, name, now, replayed_edges, town

from crawler.retention import Purged, purge
from socialfetch.client import read_page
from socialfetch.simulator.network import Status
from storage import backup, errors, retention
from storage.database import Database
from storage.retention import DAY_S, Rules

CRAWLED = virtual_time.EPOCH
"""When the crawls here begin, in Unix seconds."""


def purged(path: Path, *, at: float, **rules: object) -> Purged:
    database = Database.open(path, now=lambda: at)
    try:
        database.claim()
        # Rules of several types, by name.
        return purge(database, Rules(**rules), now=lambda: at)  # type: ignore[arg-type]
    finally:
        database.close()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "study").mkdir()
    return tmp_path / "study" / "a.db"


def test_nothing_is_due_without_rules(place: Path) -> None:
    """The default keeps everything for ever: nothing is written."""
    rehearsal.go(place, rehearsal.service(town(60)), seeds=[name(1)], budget=20)
    before = rehearsal.contents(place)
    assert purged(place, at=CRAWLED + 10_000 * DAY_S) == Purged()
    assert rehearsal.contents(place) == before


def test_after_the_last_day_nobody_is_left(place: Path) -> None:
    """Everybody goes, from the copies too; the books stay as they were."""
    rehearsal.go(place, rehearsal.service(town(120)), seeds=[name(1), name(2)], budget=60)
    backup.beside(place, "before-repair", now=now)
    people = [handle for (handle,) in rehearsal.rows(place, "SELECT handle FROM accounts")]
    before = rehearsal.state(place)
    until = CRAWLED + 10 * DAY_S
    assert purged(place, at=until - 1, retain_until=until) == Purged()
    done = purged(place, at=until, retain_until=until)
    assert done.counts["accounts"] == len(people)
    assert len(done.copies) == 1
    assert holding(place.parent, [handle.encode() for handle in people]) == []
    after = rehearsal.state(place)
    assert after.charged == before.charged > 0
    assert [(run.charged, run.pages, run.errors) for run in after.runs] == [
        (run.charged, run.pages, run.errors) for run in before.runs
    ]
    assert after.accounts["known"] == 0
    assert rehearsal.findings(place) == []
    assert purged(place, at=until + DAY_S, retain_until=until) == Purged()


def test_what_nothing_has_shown_for_long_goes(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a later crawl showed again stays, with its follows; the rest goes; raw answers go by their age."""
    api = rehearsal.service([("a", "b"), ("a", "c"), ("b", "a"), ("c", "e"), ("e", "c"), ("d", "c")])
    rehearsal.go(place, api, seeds=["a"], budget=10)
    with monkeypatch.context() as patch:
        patch.setattr(virtual_time, "EPOCH", CRAWLED + 100 * DAY_S)
        rehearsal.go(place, api, seeds=["d"], budget=10)
    old = rehearsal.rows(place, f"SELECT count(*) FROM ledger WHERE at < {CRAWLED + DAY_S}")[0][0]
    total = len(answers(place))
    assert 0 < old < total
    done = purged(place, at=CRAWLED + 101 * DAY_S, keep_days=30)
    # e was listed by c's list of the first crawl only.
    assert {handle for (handle,) in rehearsal.rows(place, "SELECT handle FROM accounts")} == {"c", "d"}
    assert rehearsal.edges(place) == {("d", "c")}
    assert done.counts["accounts_unseen"] == 3
    assert done.counts["raw_answers"] == old
    assert len(answers(place)) == total - old
    assert rehearsal.findings(place) == []
    assert [each["accounts_unseen"] for each in _purges(place)] == [3]
    assert purged(place, at=CRAWLED + 101 * DAY_S, keep_days=30) == Purged()


def test_a_seed_that_waits_stays(place: Path) -> None:
    """A seed whose list was never asked for is not old data, it is the plan."""
    rehearsal.go(place, rehearsal.service([("a", "b"), ("z", "b")]), seeds=["a", "z"], budget=1)
    purged(place, at=CRAWLED + 100 * DAY_S, keep_days=30)
    assert rehearsal.rows(place, "SELECT count(*) FROM accounts") == [(1,)]
    assert rehearsal.state(place).frontier["queued"] == 1
    assert rehearsal.findings(place) == []


def test_vanished_accounts_go_and_are_compared(place: Path) -> None:
    """How much they were followed, against the rest, is kept with the receipt: deletion is not at random."""
    graph = town(120)
    gone = [name(index) for index in range(3, 12)]
    for handle in gone:
        graph.set_status(handle, Status.NOT_FOUND)
    rehearsal.go(place, rehearsal.service(graph), seeds=[name(1), name(2), *gone], budget=400)
    missing = rehearsal.rows(place, "SELECT account_id FROM frontier WHERE completeness = 'not_found'")
    assert len(missing) == len(gone)
    assert purged(place, at=now()) == Purged()
    done = purged(place, at=now(), delete_missing=True)
    assert done.counts["accounts_missing"] == len(missing)
    assert done.counts["rest_followers_observed_median"] > 0
    assert "missing_followers_observed_median" in done.counts
    assert not {handle for (handle,) in rehearsal.rows(place, "SELECT handle FROM accounts")} & set(gone)
    assert rehearsal.findings(place) == []
    assert replayed_edges(place) == rehearsal.edges(place)


def test_fields_that_are_not_stored_any_more_go(place: Path) -> None:
    """From tables, archive and its dictionary; everything else in the answers stays and can be replayed."""
    api = rehearsal.service(town(400))
    rehearsal.go(place, api, seeds=[name(1), name(2)], budget=260)
    assert rehearsal.rows(place, "SELECT count(*) FROM dictionaries") == [(1,)]
    bios = {bio for (bio,) in rehearsal.rows(place, "SELECT bio FROM accounts WHERE length(bio) > 12")}
    edges = rehearsal.edges(place)
    done = purged(place, at=now(), left_out=("bio",))
    assert done.counts["field_bio"] >= len(bios) > 0
    assert holding(place.parent, [bio.encode() for bio in bios]) == []
    assert rehearsal.rows(place, "SELECT count(bio), count(display_name) > 0 FROM accounts") == [(0, 1)]
    assert all(
        read_page(body).accounts for body in answers(place) if b'"found"' in body and b'"accounts":[]' not in body
    )
    assert rehearsal.edges(place) == edges == replayed_edges(place)
    assert rehearsal.findings(place) == []


def test_not_while_a_crawl_works(place: Path) -> None:
    """A purge takes the lock like a crawl."""
    Database.open(place, now=now).close()
    crawl = Database.open(place, now=now)
    crawl.claim()
    with pytest.raises(errors.LockedByCrawl):
        purged(place, at=now(), keep_days=1)
    crawl.close()


def test_the_standing_cost_of_looking_again(place: Path) -> None:
    """Pages of the visited lists over the days in which all have to be looked at again."""
    rehearsal.go(place, rehearsal.service(town(60)), seeds=[name(1)], budget=20)
    database = Database.open(place, now=now, mode="read")
    with database.read() as conn:
        cost = retention.standing_cost(conn, 10 * DAY_S)
    database.close()
    [(pages,)] = rehearsal.rows(place, "SELECT sum(pages) FROM visits")
    assert cost == pytest.approx(pages / 10)


def _purges(path: Path) -> list[dict[str, int]]:
    database = Database.open(path, now=now, mode="read")
    with database.read() as conn:
        found = retention.purges(conn)
    database.close()
    return [dict(each) for each in found]
