"""People in rehearsals: networks whose handles can be searched for, and the search for what is left of somebody."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import rehearsal

from crawler.replay import replay
from socialfetch.simulator import edge_list, network
from socialfetch.simulator.service import Service
from storage import archive
from storage.database import Database


def now() -> float:
    """Return a time after every rehearsal."""
    return 1_750_100_000.0


def town(accounts: int, *, rng_seed: int = 3) -> network.Network:
    """Return a network whose handles are no part of each other, nor of anything else."""
    drawn = network.generate(accounts, rng_seed=rng_seed)
    return network.from_follows(
        ((name(source), name(int(target))) for source in range(accounts) for target in drawn.following(source)[0]),
        rng_seed=rng_seed,
    )


def renamed(edges: Path) -> network.Network:
    """Return the network of an edge list under such handles."""
    read = edge_list.read(edges)
    return network.from_follows(
        (name(source), name(target)) for source, target in zip(read.source.tolist(), read.target.tolist(), strict=True)
    )


def study(folder: Path, *, accounts: int, budget: int) -> Path:
    """Crawl a town into folder/study/a.db; returns the database's path."""
    (folder / "study").mkdir()
    path = folder / "study" / "a.db"
    rehearsal.go(path, rehearsal.service(town(accounts)), seeds=[name(1), name(2)], budget=budget)
    return path


def name(index: int) -> str:
    """Return a handle of nobody else's letters."""
    return f"qx{index:05d}zv"


def traces(api: Service, handle: str) -> list[bytes]:
    """Return everything that tells this person from all others: handle, ids, and name and bio that nobody shares."""
    index = api.network.index(handle)
    assert index is not None
    account = api.network.account(index)
    texts = [handle, account.platform_user_id, account.sec_uid, account.display_name, account.bio, account.avatar_url]
    others = [api.network.account(other) for other in range(api.network.accounts) if other != index]
    shared = {text for other in others for text in (other.display_name, other.bio)}
    found = [str(text) for text in texts if text and text not in shared]
    assert handle in found
    assert str(account.platform_user_id) in found
    return [text.encode() for text in found]


def holding(folder: Path, needles: Sequence[bytes]) -> list[tuple[str, bytes]]:
    """Return which files hold which of these bytes; archived answers are looked into as well."""
    found = []
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        content = path.read_bytes()
        found += [(path.name, needle) for needle in needles if needle in content]
    for path in [*folder.glob("*.db"), *folder.glob("*.backup")]:
        for body in answers(path):
            found += [(path.name, needle) for needle in needles if needle in body]
    return found


def answers(path: Path) -> list[bytes]:
    """Return the archived answers of a database."""
    database = Database.open(path, now=now, mode="read")
    with database.read() as conn:
        rows = conn.exec_driver_sql("SELECT ledger_id, dictionary_id, body FROM archive").all()
        bodies = archive.Bodies(conn)
        found = [bodies.read(*row) for row in rows]
    database.close()
    return found


def replayed(path: Path, target: Path) -> Path:
    """Replay a database into a new one, which must be sound; returns it."""
    source, new = Database.open(path, now=now, mode="read"), Database.open(target, now=now)
    try:
        replay(source, new)
    finally:
        source.close()
        new.close()
    assert rehearsal.findings(target) == []
    return target


def replayed_edges(path: Path) -> set[tuple[str, str]]:
    """Replay a database and return the follows of the new one, which is removed again."""
    target = replayed(path, path.with_name("again.db"))
    found = rehearsal.edges(target)
    for each in target.parent.glob("again.db*"):
        each.unlink()
    return found


def popular(path: Path) -> str:
    """Return who is followed most of those whose own list was read."""
    [(handle,)] = rehearsal.rows(
        path,
        "SELECT a.handle FROM follows f JOIN accounts a ON a.id = f.dst JOIN frontier e ON e.account_id = a.id"
        " WHERE e.completeness = 'complete' GROUP BY a.id ORDER BY count(*) DESC, a.id LIMIT 1",
    )
    return str(handle)
