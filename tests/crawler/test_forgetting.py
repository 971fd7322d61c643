"""Forgetting: no byte of a person is left, everything else is, the books hold, and nobody comes back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
import rehearsal
from people import answers, holding, name, now, popular, replayed, replayed_edges, town, traces
from study import Study, facts

from crawler import forgetting
from crawler.filter import Filter
from crawler.forgetting import Forgotten
from socialfetch.client import read_page
from socialfetch.simulator.service import Service
from storage import backup, errors, holders, optout, secret
from storage.allowances import Caps
from storage.database import Database
from storage.outputs import checksum, list_of, record
from storage.persons import NotFound, Wanted
from storage.secret import ProjectKey


@pytest.fixture
def key(tmp_path: Path) -> ProjectKey:
    return secret.create(tmp_path / "keys" / "a.key")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The database of a study in a folder of its own."""
    (tmp_path / "study").mkdir()
    return tmp_path / "study" / "a.db"


def forget(path: Path, key: ProjectKey, *handles: str, reason: str = optout.FORGOTTEN, **wanted: Any) -> Forgotten:
    database = Database.open(path, now=now)
    try:
        database.claim()
        asked = [Wanted(handle=handle) for handle in handles] + ([Wanted(**wanted)] if wanted else [])
        return forgetting.forget(database, asked, key=key, reason=reason, now=now)
    finally:
        database.close()


# --- forget --------------------------------------------------------------------------------------------------------


def test_no_byte_of_a_forgotten_person_is_left(place: Path, key: ProjectKey) -> None:
    """Database, log, archive, its dictionary and a copy beside it hold nothing of them, and all of everybody else."""
    api = rehearsal.service(town(400))
    rehearsal.go(place, api, seeds=[name(1), name(2)], budget=300)
    assert rehearsal.rows(place, "SELECT count(*) FROM dictionaries") == [(1,)]
    backup.beside(place, "before-repair", now=now)
    person = popular(place)
    needles = traces(api, person)
    assert {needle for _, needle in holding(place.parent, needles)} == set(needles)
    before = rehearsal.edges(place)
    charged = rehearsal.state(place).charged

    done = forget(place, key, person)

    assert holding(place.parent, needles) == []
    assert done.is_scoured
    assert len(done.copies) == 1
    assert done.copies_left == []
    assert rehearsal.findings(place) == []
    assert rehearsal.findings(Path(done.copies[0])) == []
    after = rehearsal.edges(place)
    assert after == {pair for pair in before if person not in pair}
    assert done.erased.follows == len(before) - len(after) > 0
    assert done.erased.answers_rewritten > 0
    assert rehearsal.state(place).charged == charged
    assert replayed_edges(place) == after
    for body in answers(place):
        assert read_page(body).unreadable_accounts == 0


def test_a_seed_is_forgotten_with_its_note(place: Path, key: ProjectKey) -> None:
    """The journal names no seed that was forgotten; what only its list told goes with it."""
    api = rehearsal.service(
        [("anna", "berta"), ("anna", "chris"), ("dora", "berta"), ("berta", "dora"), ("chris", "dora")]
    )
    rehearsal.go(place, api, seeds=["anna", "dora"], budget=100)
    done = forget(place, key, "anna")
    left = {("dora", "berta"), ("berta", "dora"), ("chris", "dora")}
    assert rehearsal.edges(place) == left
    # chris was visited, so that his own list was paid for: he stays; nobody else would.
    assert rehearsal.rows(place, "SELECT handle FROM accounts ORDER BY 1") == [("berta",), ("chris",), ("dora",)]
    assert done.erased.known_only_through == 0
    assert b"anna" not in place.read_bytes()
    assert rehearsal.findings(place) == []
    assert replayed_edges(place) == left


def test_who_is_known_only_through_a_forgotten_list_goes_with_it(place: Path, key: ProjectKey) -> None:
    """A group of accounts that nobody lists would still tell whom the forgotten person followed."""
    api = rehearsal.service([("anna", "berta"), ("anna", "chris"), ("dora", "berta")])
    rehearsal.go(place, api, seeds=["anna", "dora"], budget=100, max_depth=0)
    done = forget(place, key, "anna")
    assert done.erased.known_only_through == 1
    assert rehearsal.rows(place, "SELECT handle FROM accounts ORDER BY 1") == [("berta",), ("dora",)]
    assert rehearsal.findings(place) == []


def test_the_forgotten_do_not_come_back(place: Path, key: ProjectKey) -> None:
    """Lists that name them later are kept without them, in the archive too, and it is counted."""
    api = rehearsal.service(town(120))
    rehearsal.go(place, api, seeds=[name(1), name(2)], budget=30)
    person = popular(place)
    forget(place, key, person)
    before = rehearsal.rows(place, "SELECT coalesce(sum(accounts), 0) FROM withheld")[0][0]
    rehearsal.go(place, api, budget=100_000)
    assert holding(place.parent, traces(api, person)) == []
    assert rehearsal.rows(place, "SELECT sum(accounts) FROM withheld")[0][0] > before
    assert rehearsal.findings(place) == []
    assert not any(call.startswith(f"{person}|") for call in _bought(api, place))
    after = rehearsal.edges(place)
    assert replayed_edges(place) == after


def test_a_replay_of_what_is_left_names_nobody_and_sets_aside_the_same_accounts(
    place: Path, key: ProjectKey, tmp_path: Path
) -> None:
    """Where one was forgotten a replay gives ids to others: it looks up whom notes, draws and seeds mean."""
    api = rehearsal.service(town(300))
    rehearsal.go(place, api, seeds=[name(1), name(2)], budget=40, caps=Caps(per_seed=15))
    rehearsal.go(place, api, budget=40, new_run=True, wanted=Filter(max_followers=12), control=0.5)
    person, spare = (handle for (handle,) in rehearsal.rows(
        place, "SELECT handle FROM accounts WHERE id IN (SELECT account_id FROM control_draws) ORDER BY id LIMIT 2"
    ))  # fmt: skip
    forget(place, key, person)
    target = tmp_path / "again" / "a.db"
    target.parent.mkdir()
    replayed(place, target)

    assert holding(target.parent, traces(api, person)) == []
    assert holding(target.parent, traces(api, spare))
    aside = "SELECT a.handle, f.reason FROM frontier f JOIN accounts a ON a.id = f.account_id WHERE f.state = 4"
    drawn = "SELECT d.wave, d.place, a.handle FROM control_draws d JOIN accounts a ON a.id = d.account_id"
    seeds = "SELECT v.id, a.handle FROM visits v JOIN accounts a ON a.id = v.seed_id"
    for query in (aside, drawn, seeds):
        assert sorted(rehearsal.rows(target, query)) == sorted(rehearsal.rows(place, query)) != []
    assert "filtered" in {reason for _, reason in rehearsal.rows(target, aside)}


def _bought(api: Service, path: Path) -> list[str]:
    return [f"{handle}|" for (handle,) in rehearsal.rows(
        path, "SELECT a.handle FROM ledger l JOIN accounts a ON a.id = l.account_id"
    )]  # fmt: skip


def test_by_id_and_by_pseudonym(place: Path, key: ProjectKey) -> None:
    """A person is found by what they write in with: the platform's id, a pseudonym of an export, its beginning."""
    api = rehearsal.service(town(60))
    rehearsal.go(place, api, seeds=[name(1)], budget=10)
    people = rehearsal.rows(
        place, "SELECT handle, platform_user_id FROM accounts WHERE platform_user_id IS NOT NULL ORDER BY id LIMIT 3"
    )
    made = [key.pseudonym("id", stable) for _, stable in people]
    forget(place, key, platform_user_id=people[0][1])
    forget(place, key, pseudonym=made[1])
    forget(place, key, pseudonym=made[2][:8])
    left = {handle for (handle,) in rehearsal.rows(place, "SELECT handle FROM accounts")}
    assert left.isdisjoint(handle for handle, _ in people)
    assert forget(place, key, pseudonym=made[1]).erased.accounts == 0
    with pytest.raises(NotFound):
        forget(place, key, pseudonym=made[0])


def test_nothing_changes_where_somebody_is_not_found(place: Path, key: ProjectKey) -> None:
    """One unknown pseudonym among many: nobody is erased."""
    api = rehearsal.service(town(60))
    rehearsal.go(place, api, seeds=[name(1)], budget=10)
    before = rehearsal.contents(place)
    with pytest.raises(NotFound):
        forget(place, key, name(1), pseudonym="A" * 26)
    assert rehearsal.contents(place) == before


def test_an_erasure_that_fails_changes_nothing(place: Path, key: ProjectKey, monkeypatch: pytest.MonkeyPatch) -> None:
    """Erasing, keeping out and the receipt are one transaction: an error at the end of it undoes all."""
    api = rehearsal.service(town(60))
    rehearsal.go(place, api, seeds=[name(1)], budget=20)
    before = rehearsal.contents(place)

    def fails(*_: Any, **__: Any) -> None:
        raise errors.DiskFull("no room")

    monkeypatch.setattr(optout, "add", fails)
    with pytest.raises(errors.DiskFull):
        forget(place, key, popular(place))
    assert rehearsal.contents(place) == before


def test_not_while_a_crawl_works(place: Path, key: ProjectKey) -> None:
    """A crawl holds what it is about to store: forgetting waits for its end."""
    Database.open(place, now=now).close()
    crawl = Database.open(place, now=now)
    crawl.claim()
    with pytest.raises(errors.LockedByCrawl):
        forget(place, key, "anna")
    crawl.close()


def test_the_exports_that_held_them_are_told(place: Path, key: ProjectKey) -> None:
    """Exports made since a person was stored are listed with what became of them; older ones and counts are not."""
    api = rehearsal.service(town(60))
    made = {}
    for file, at, level in (
        ("old", 1.0, "raw"),
        ("counts", now() - 1, "aggregate"),
        ("new", now() - 1, "raw"),
        ("cut", now() - 1, "raw"),
        ("later", now() + 9, "raw"),
    ):
        made[file] = place.parent / f"{file}.csv"
        made[file].write_text("x")
        record(place, [made[file]], at=at, kind="export", level=level, accounts=1, edges=0)
    rehearsal.go(place, api, seeds=[name(1)], budget=10)
    made["cut"].write_text("y")
    done = forget(place, key, name(1))
    assert [(Path(each.path).name, each.state) for each in done.holders] == [
        ("new.csv", "there"),
        ("cut.csv", "changed"),
    ]
    assert holders.delete(done.holders) == [str(made["new"])]
    assert not made["new"].exists()
    assert made["cut"].exists()


def test_what_held_them_is_told_again(place: Path, key: ProjectKey, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked again by any name, after a kill or a move of the folder, the same files are told; nobody else's are."""
    api = rehearsal.service(town(60))
    rehearsal.go(place, api, seeds=[name(1), name(2)], budget=10)
    [(person, stable)] = rehearsal.rows(
        place, "SELECT handle, platform_user_id FROM accounts WHERE platform_user_id IS NOT NULL ORDER BY id LIMIT 1"
    )
    export = place.parent / "waves" / "e.csv"
    export.parent.mkdir()
    export.write_text("x")
    record(place, [export], at=now() - 1, kind="export", level="raw", accounts=1, edges=0, begun=now() - 2)
    asked = {"pseudonym": key.pseudonym("id", stable)}

    def dies(_: Database) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:  # before anything was told
        patch.setattr(Database, "scour", dies)
        with pytest.raises(KeyboardInterrupt):
            forget(place, key, **asked)
    record(place, [_made(place, "later.csv")], at=now() + 5, kind="export", level="raw", accounts=1, edges=0)
    moved = place.parent.rename(place.parent.with_name("moved")) / place.name
    for again in (asked, {"handle": person}, {"platform_user_id": stable}, {"tag": key.tag("handle", person)}):
        done = forget(moved, key, **again)
        assert done.erased.accounts == 0
        held = [(Path(each.path), each.state) for each in done.holders]
        assert held == [(moved.parent / "waves" / "e.csv", "there")]
    assert forget(moved, key, "nobody.known").holders == []
    assert holders.delete(done.holders) == [held[0][0].as_posix()]
    assert [each.state for each in forget(moved, key, person).holders] == ["gone"]
    assert holding(moved.parent, [person.encode(), stable.encode()]) == []


def test_an_output_that_was_being_made_is_told(place: Path, key: ProjectKey) -> None:
    """What began to read before the erasure and was noted after it holds the person; made anew it does not."""
    rehearsal.go(place, rehearsal.service(town(60)), seeds=[name(1)], budget=10)
    forget(place, key, name(1))
    slow, anew = _made(place, "slow.csv"), _made(place, "anew.csv")
    about = {"kind": "export", "level": "raw", "accounts": 1, "edges": 0}
    record(place, [slow], at=now() + 60, begun=now() - 60, **about)
    record(place, [anew], at=now() - 60, begun=now() - 60, **about)
    anew.write_text("without them")
    record(place, [anew], at=now() + 60, begun=now() + 60, **about)
    assert [(each.path, each.state) for each in forget(place, key, name(1)).holders] == [(str(slow), "there")]


def test_older_lists_are_read(place: Path, key: ProjectKey) -> None:
    """Absolute paths without a beginning, as lists had them once; what is not there is told as gone."""
    rehearsal.go(place, rehearsal.service(town(60)), seeds=[name(1)], budget=10)
    there = _made(place, "there.csv")
    about = {"at": int(now()) - 1, "kind": "export", "level": "raw", "accounts": 1, "edges": 0, "key": None}
    files = {str(there): checksum(there), "/nowhere/e.csv": "0" * 64, "a\0b": "0" * 64}
    list_of(place).write_text(json.dumps({**about, "files": files}) + "\n")
    found = {Path(each.path).name: each.state for each in forget(place, key, name(1)).holders}
    assert found == {"there.csv": "there", "e.csv": "gone", "a\0b": "gone"}


def test_who_was_met_under_another_name_is_told_of_too(place: Path, key: ProjectKey) -> None:
    """Erased before a crawl, not by a command: asked later, the exports of that time are told."""
    api = rehearsal.service([*((lister, "zelda") for lister in LISTERS), ("zelda", "friend")])
    rehearsal.go(place, api, seeds=LISTERS[:1], budget=1)
    forget(place, key, "zelda.new", reason=optout.OPTED_OUT)
    renamed = rehearsal.service(api.network, faults={"renamed": 1.0})
    rehearsal.go(place, renamed, seeds=LISTERS, budget=100, max_depth=0)
    record(place, [_made(place, "e.csv")], at=now() - 1, kind="export", level="raw", accounts=1, edges=0)
    database = Database.open(place, now=now)
    database.claim()
    assert forgetting.forget_met(database, now=now) == 1
    database.close()
    assert [Path(each.path).name for each in forget(place, key, "zelda.new").holders] == ["e.csv"]


def _made(database: Path, file: str) -> Path:
    path = database.parent / file
    path.write_text(file)
    return path


def test_the_receipt_is_kept_and_names_nobody(place: Path, key: ProjectKey) -> None:
    """The database can prove what was done, and says of whom to nobody without the key."""
    api = rehearsal.service(town(60))
    rehearsal.go(place, api, seeds=[name(1)], budget=10)
    done = forget(place, key, name(1))
    [(at, act, details, hash)] = rehearsal.rows(place, "SELECT at, act, details, hash FROM receipts")
    assert (at, act, hash) == (done.at, "forgotten", done.receipt)
    assert msgspec.json.decode(details)["accounts"] == 1
    import hashlib

    assert hashlib.sha256(f"{at}\n{act}\n{details}".encode()).hexdigest() == hash
    tags = [tag for (tag,) in rehearsal.rows(place, "SELECT hash FROM optouts")]
    assert key.tag("handle", name(1)) in tags
    assert hashlib.sha256(name(1).encode()).hexdigest() not in tags


# --- opt-out -------------------------------------------------------------------------------------------------------


def test_who_opted_out_is_never_stored_and_never_bought(place: Path, key: ProjectKey) -> None:
    """Before the first page: the crawl goes on around them, list by list to the end, and counts."""
    api = rehearsal.service(town(120))
    whole = rehearsal.follows(api, [name(1), name(2)])
    person = max({target for _, target in whole}, key=lambda each: (sum(each == target for _, target in whole), each))
    Database.open(place, now=now).close()
    forget(place, key, person, "nobody.known", reason=optout.OPTED_OUT)
    rehearsal.go(place, api, seeds=[name(1), name(2), person], budget=100_000)
    assert holding(place.parent, traces(api, person)) == []
    assert not any(page.startswith(f"{person}|") for page in _pages(api))
    edges = rehearsal.edges(place)
    assert edges <= {pair for pair in whole if person not in pair}
    listing = {source for source, target in whole if target == person}
    counted = rehearsal.rows(place, "SELECT sum(accounts) FROM withheld")[0][0]
    assert counted == sum(1 for source in listing if source in {pair[0] for pair in edges} | {name(1), name(2)})
    assert set(rehearsal.rows(place, "SELECT completeness FROM visits")) == {("complete",)}
    assert rehearsal.findings(place) == []
    assert replayed_edges(place) == edges


def _pages(api: Service) -> list[str]:
    return list(api.ledger.pages)


LISTERS = [f"lister{number}" for number in range(12)]
"""Half of the lists show a renamed account under its new handle."""


def test_an_opt_out_holds_under_a_new_handle(place: Path, key: ProjectKey) -> None:
    """Once seen with their id they are known by it; and a new name of theirs is known from then on."""
    api = rehearsal.service([(lister, target) for lister in LISTERS for target in ("person", "other")])
    Database.open(place, now=now).close()
    forget(place, key, "person", reason=optout.OPTED_OUT)
    rehearsal.go(place, api, seeds=LISTERS[:1], budget=1)
    assert rehearsal.rows(place, "SELECT kind FROM optouts ORDER BY 1") == [("handle",), ("id",)]
    renamed = rehearsal.service(api.network, faults={"renamed": 1.0})
    rehearsal.go(place, renamed, seeds=LISTERS, budget=100)
    stored = {handle for (handle,) in rehearsal.rows(place, "SELECT handle FROM accounts")}
    former = {handle for (handle,) in rehearsal.rows(place, "SELECT handle FROM handle_history")}
    assert "other.new" in stored | former
    assert (stored | former).isdisjoint({"person", "person.new"})
    assert rehearsal.rows(place, "SELECT count(*), count(DISTINCT person) FROM optouts") == [(3, 1)]


def test_somebody_else_under_an_old_handle_is_kept(place: Path, key: ProjectKey) -> None:
    """Where the id says that somebody else has the handle now, they are stored: they never opted out."""
    api = rehearsal.service([(lister, "person") for lister in LISTERS])
    Database.open(place, now=now).close()
    forget(place, key, "person", reason=optout.OPTED_OUT)
    rehearsal.go(place, api, seeds=LISTERS[:1], budget=1)
    others = rehearsal.service(api.network, faults={"taken_over": 1.0})
    rehearsal.go(place, others, seeds=LISTERS, budget=100)
    assert rehearsal.rows(place, "SELECT display_name FROM accounts WHERE handle = 'person'") == [("Somebody Else",)]


def test_a_hash_of_the_same_key_keeps_out_without_a_name(place: Path, key: ProjectKey) -> None:
    """A list may be handed on as keyed hashes: nobody needs to read whom it is about."""
    api = rehearsal.service([("a", "person"), ("a", "b")])
    Database.open(place, now=now).close()
    forget(place, key, tag=key.tag("handle", "person"), reason=optout.OPTED_OUT)
    rehearsal.go(place, api, seeds=["a"], budget=10)
    assert rehearsal.edges(place) == {("a", "b")}


def test_who_is_stored_is_erased_when_they_opt_out(place: Path, key: ProjectKey) -> None:
    """An opt-out that comes late is a forgetting."""
    api = rehearsal.service(town(60))
    rehearsal.go(place, api, seeds=[name(1)], budget=20)
    person = popular(place)
    done = forget(place, key, person, reason=optout.OPTED_OUT)
    assert done.erased.accounts == 1
    assert holding(place.parent, traces(api, person)) == []


def test_a_missing_key_stops_everything_that_writes(place: Path, key: ProjectKey) -> None:
    """Where nobody can tell who is kept out, nothing is stored and nothing is bought."""
    api = rehearsal.service(town(60))
    rehearsal.go(place, api, seeds=[name(1)], budget=5)
    forget(place, key, name(1))
    content = key.path.read_bytes()
    key.path.unlink()
    charged = rehearsal.state(place).charged
    with pytest.raises(errors.KeyUnusable):
        rehearsal.go(place, api, seeds=[name(2)], budget=100)
    assert rehearsal.state(place).charged == charged
    key.path.write_bytes(content)
    key.path.chmod(0o644)
    with pytest.raises(errors.KeyUnusable, match="read by others"):
        rehearsal.go(place, api, seeds=[name(2)], budget=100)
    key.path.chmod(0o600)
    rehearsal.go(place, api, seeds=[name(2)], budget=100)


def test_another_key_is_refused(place: Path, key: ProjectKey, tmp_path: Path) -> None:
    """Hashes of two keys in one list would let through whoever stands under the other."""
    Database.open(place, now=now).close()
    forget(place, key, "anna")
    with pytest.raises(errors.KeyUnusable):
        forget(place, secret.create(tmp_path / "keys" / "b.key"), "berta")


def test_who_is_met_under_a_known_account_is_erased_before_the_next_crawl(place: Path, key: ProjectKey) -> None:
    """Stored under one name, opted out under another: once a list connects the two, the account goes, unbought."""
    api = rehearsal.service([*((lister, "zelda") for lister in LISTERS), ("zelda", "friend")])
    rehearsal.go(place, api, seeds=LISTERS[:1], budget=1)
    assert (LISTERS[0], "zelda") in rehearsal.edges(place)
    forget(place, key, "zelda.new", reason=optout.OPTED_OUT)
    renamed = rehearsal.service(api.network, faults={"renamed": 1.0})
    rehearsal.go(place, renamed, seeds=LISTERS, budget=100, max_depth=0)
    rehearsal.go(place, renamed, budget=100)
    assert rehearsal.rows(place, "SELECT reason FROM frontier WHERE state = 4") == [("opted_out",)]
    assert not any(page.startswith("zelda") for page in _pages(renamed))
    database = Database.open(place, now=now)
    database.claim()
    assert forgetting.forget_met(database, now=now) == 1
    assert forgetting.forget_met(database, now=now) == 0
    database.close()
    assert b"zelda" not in place.read_bytes()
    assert rehearsal.findings(place) == []


@pytest.mark.parametrize("fields", [("bio",), ("avatar", "region", "language", "bio")])
def test_fields_left_out_reach_neither_table_nor_archive(place: Path, fields: tuple[str, ...]) -> None:
    """What the policy leaves out is not written at all."""
    api = rehearsal.service(town(60))
    rehearsal.go(place, api, seeds=[name(1)], budget=20, left_out=fields)
    columns = {"bio": "bio", "avatar": "avatar_url", "region": "region", "language": "language"}
    for field in fields:
        assert rehearsal.rows(place, f"SELECT count({columns[field]}) FROM accounts") == [(0,)]
    words = {"bio": b'"bio"', "avatar": b'"avatarUrl"', "region": b'"region"', "language": b'"language"'}
    for body in answers(place):
        assert not any(words[field] in body for field in fields)
        assert b'"details"' not in body
        assert read_page(body).unreadable_accounts == 0
    assert rehearsal.rows(place, "SELECT count(display_name) > 0 FROM accounts") == [(1,)]


def test_a_kill_after_the_transaction_is_made_good(
    place: Path, key: ProjectKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the erasure and the cleaning of the file only bytes are left; the next crawl or call removes them."""
    api = rehearsal.service(town(120))
    rehearsal.go(place, api, seeds=[name(1), name(2)], budget=60)
    person = popular(place)

    def dies(_: Database) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Database, "scour", dies)
        with pytest.raises(KeyboardInterrupt):
            forget(place, key, person)
    assert rehearsal.rows(place, "SELECT count(*) FROM receipts") == [(1,)]
    assert rehearsal.rows(place, f"SELECT count(*) FROM accounts WHERE handle = '{person}'") == [(0,)]
    assert rehearsal.findings(place) == []
    database = Database.open(place, now=now)
    database.claim()
    assert forgetting.forget_met(database, now=now) == 0
    database.close()
    assert holding(place.parent, traces(api, person)) == []


def test_a_reader_delays_the_cleaning_only(place: Path, key: ProjectKey) -> None:
    """While somebody reads, their old state stays in the file; it is said, and the next call removes it."""
    api = rehearsal.service(town(120))
    rehearsal.go(place, api, seeds=[name(1), name(2)], budget=60)
    person = popular(place)
    reader = Database.open(place, now=now, mode="read")
    with reader.read() as conn:
        conn.exec_driver_sql("SELECT count(*) FROM accounts").all()
        done = forget(place, key, person)
        assert not done.is_scoured
        assert rehearsal.rows(place, f"SELECT count(*) FROM accounts WHERE handle = '{person}'") == [(0,)]
    reader.close()
    assert forget(place, key, person).is_scoured
    assert holding(place.parent, traces(api, person)) == []


def test_many_revisits_and_each_other(place: Path, key: ProjectKey) -> None:
    """People who follow each other, follows that ended and came back, lists read three times: the checks hold."""
    study = Study(place, "a", "b", "x", "y")
    both, neither = (facts("x"), facts("y"), facts("z")), (facts("z"),)
    for listed in (both, neither, both, neither, both):
        study.now += 100
        study.visit("a", *listed)
    study.visit("b", *both)
    study.visit("b", *neither)
    study.visit("x", facts("y"), facts("a"))
    study.visit("y", facts("x"), facts("only"))
    assert study.ask("SELECT count(*) FROM past_follows")[0][0] > 0
    study.db.close()
    assert rehearsal.findings(place) == []
    done = forget(place, key, "x", "y")
    assert done.erased.accounts == 2
    assert done.erased.known_only_through == 1
    assert rehearsal.findings(place) == []
    assert rehearsal.edges(place) == {("a", "z"), ("b", "z")}
    assert rehearsal.rows(place, "SELECT count(*) FROM past_follows") == [(0,)]


def test_a_kill_before_the_copies_is_made_good(place: Path, key: ProjectKey, monkeypatch: pytest.MonkeyPatch) -> None:
    """Erased from the database and not yet from a copy beside it: called again, it is."""
    api = rehearsal.service(town(60))
    rehearsal.go(place, api, seeds=[name(1)], budget=20)
    person = popular(place)
    backup.beside(place, "before-repair", now=now)

    def dies(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(forgetting, "_forget_in_copies", dies)
        with pytest.raises(KeyboardInterrupt):
            forget(place, key, person)
    assert holding(place.parent, traces(api, person)) != []
    assert len(forget(place, key, person).copies) == 1
    assert holding(place.parent, traces(api, person)) == []


def test_an_answer_that_cannot_be_read_does_not_stop_a_forgetting(place: Path, key: ProjectKey) -> None:
    """Nobody can tell whom it names, so nothing of it is kept."""
    study = Study(place, "a")
    study.visit("a", facts("x"), body=b"not a page, but it says x")
    study.db.close()
    forget(place, key, "x")
    assert answers(place) == [b""]
    assert rehearsal.findings(place) == []
