"""Accounts: who is known, by which handle, with which facts.

Identity is the platform's stable id where it is known; a handle is a label that changes. Invariants: a handle belongs
to one account at a time; an account that changes its handle keeps its row and edges.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Any, NamedTuple
from zlib import crc32

import sqlalchemy as sa

from storage.ordering import AHEAD_LANE, Candidate, Ordering
from storage.schema import State, accounts, frontier, handle_history, visits
from storage.statement import Insert, Lookup, Row, Statement

FACTS_MAX_AGE_S = 3600
"""Changed counters of a known account are written at most once in this time; hubs are listed thousands of times."""


class Facts(NamedTuple):
    """What a listing says of one account. `handle` is normalised; counts are as reported by the platform."""

    handle: str
    platform_user_id: str | None
    display_name: str | None
    bio: str | None
    avatar_url: str | None
    region: str | None
    language: str | None
    verified: bool | None
    private: bool | None
    followers: int | None
    following: int | None
    posts: int | None
    account_created_at: int | None


class Entry(Candidate, gc=False):
    """An account and its frontier entry as one transaction sees and changes them.

    A struct, because a page makes one for each account it lists: in the order of `_COLUMNS`.
    """

    handle: str | None = None
    platform_user_id: str | None = None
    facts_hash: int | None = None
    updated_at: int = 0
    state: int | None = None
    lane: int = 0
    priority: float = 0.0
    reason: str | None = None
    seed_id: int | None = None
    chance: float | None = None
    visit_id: int | None = None
    completeness: str | None = None
    is_new: bool = False
    is_dirty: bool = False
    has_grown: bool = False
    """Whether its sums changed; `is_dirty` says that of anything."""

    @property
    def has_list(self) -> bool:
        """Whether its list was read, or begun."""
        return self.visit_id is not None or self.completeness is not None

    def candidate(self) -> Candidate:
        """Return what a strategy may know, as it stands now."""
        return Candidate(*_known_of(self))

    def rank(self, ordering: Ordering) -> None:
        """Give the entry its place; one that was put ahead of all others keeps its own until it is read."""
        if self.lane != AHEAD_LANE:
            self.lane, self.priority = ordering.place(self)


_known_of = attrgetter(*Candidate.__struct_fields__)


def _counted(table: sa.Table, *names: str) -> list[sa.ColumnElement[Any]]:
    """Return columns that are 0 where there is no row."""
    return [sa.func.coalesce(table.c[name], sa.literal_column("0")) for name in names]


_COLUMNS = (
    accounts.c.id,
    accounts.c.followers,
    accounts.c.following,
    *_counted(frontier, "depth", "cash", "listings", "merit", "quality"),
    *_counted(visits, "pages", "listed", "hits", "rate"),
    accounts.c.handle,
    accounts.c.platform_user_id,
    accounts.c.facts_hash,
    accounts.c.updated_at,
    frontier.c.state,
    *_counted(frontier, "lane", "priority"),
    frontier.c.reason,
    frontier.c.seed_id,
    frontier.c.chance,
    frontier.c.visit_id,
    frontier.c.completeness,
)


def _select(condition: sa.ColumnElement[bool]) -> sa.Select[tuple[object, ...]]:
    return (
        sa.select(*_COLUMNS)
        .select_from(
            accounts.outerjoin(frontier, frontier.c.account_id == accounts.c.id).outerjoin(
                visits, visits.c.id == frontier.c.visit_id
            )
        )
        .where(condition)
    )


_BY_HANDLE = Lookup(accounts.c.handle, _select)
_BY_PLATFORM_ID = Lookup(accounts.c.platform_user_id, _select)
_BY_ID = Lookup(accounts.c.id, _select)

_OPTIONAL = ("platform_user_id", "region", "language", "private", "account_created_at")
_NEXT_ID = Statement(sa.select(sa.func.coalesce(sa.func.max(accounts.c.id), 0) + 1))
_INSERT = Insert(accounts, ("id", *Facts._fields, "facts_hash", "first_seen_at", "updated_at"))
_UPDATE_FACTS = Statement(
    sa.update(accounts)
    .where(accounts.c.id == sa.bindparam("row_id"))
    .values(
        {name: sa.bindparam(name) for name in (*Facts._fields, "facts_hash", "updated_at")}
        # A listing that leaves an optional fact out does not make it unknown.
        | {
            name: sa.func.coalesce(sa.bindparam(name, type_=accounts.c[name].type), accounts.c[name])
            for name in _OPTIONAL
        }
    ),
    ("row_id", *Facts._fields, "facts_hash", "updated_at"),
)
_SET_HANDLE = Statement(
    sa.update(accounts)
    .where(accounts.c.id == sa.bindparam("row_id"))
    .values(handle=sa.bindparam("new_handle", type_=sa.Text)),
    ("row_id", "new_handle"),
)
_INSERT_HISTORY = Insert(handle_history, ("account_id", "handle", "reason", "until_at"))
_ENTRY = ("state", "priority", "lane", "depth", "cash", "reason", "listings", "merit", "quality", "chance")
"""Columns of the frontier that a listing may change."""

_SUMS = ("cash", "listings", "merit", "quality")
"""Those of them that stand in no index: what is listed again mostly changes these alone."""

_FRONTIER_INSERT = Insert(frontier, ("account_id", *_ENTRY, "seed_id"))


def _frontier_update(names: Sequence[str]) -> Statement:
    return Statement(
        sa.update(frontier)
        .where(frontier.c.account_id == sa.bindparam("row_id"))
        .values({name: sa.bindparam(name) for name in names}),
        (*names, "row_id"),
    )


_UPDATE_ENTRY, _UPDATE_SUMS = _frontier_update(_ENTRY), _frontier_update(_SUMS)
_entry_row, _sums_row = attrgetter(*_ENTRY, "account_id"), attrgetter(*_SUMS, "account_id")
_new_entry_row = attrgetter("account_id", *_ENTRY, "seed_id")


def facts_hash(facts: Facts) -> int:
    """Return a checksum of everything a listing says, so that unchanged facts are known without reading them.

    Of `repr(facts)`, as it always was, spelled out because a page asks for twenty and this takes a third of the time.
    """
    handle, stable, name, bio, avatar, region, language, verified, private, followers, following, posts, created = facts
    text = (
        f"Facts(handle={handle!r}, platform_user_id={stable!r}, display_name={name!r}, bio={bio!r}, "
        f"avatar_url={avatar!r}, region={region!r}, language={language!r}, verified={verified}, private={private}, "
        f"followers={followers}, following={following}, posts={posts}, account_created_at={created})"
    )
    return crc32(text.encode())


class Register:
    """The accounts that one transaction touches: read once, changed in memory, written once at the end.

    `renamed` and `taken_over` count what happened to handles.
    """

    def __init__(self, conn: sa.Connection, *, now: int) -> None:
        self._conn = conn
        self._now = now
        self._by_handle: dict[str, Entry] = {}
        self._by_platform_id: dict[str, Entry] = {}
        self._by_id: dict[int, Entry] = {}
        self._inserts: list[tuple[Entry, Facts]] = []
        self._updates: dict[int, Facts] = {}
        self._next_id = 0
        self.renamed = 0
        self.taken_over = 0

    def load(self, listed: Iterable[Facts], ids: Iterable[int]) -> None:
        """Read every account that the listings can mean, and the accounts with these ids."""
        facts_by_handle = {facts.handle: facts for facts in listed}
        for row in _BY_HANDLE.run(self._conn, facts_by_handle):
            self._keep(Entry(*row))
        for row in _BY_ID.run(self._conn, [id_ for id_ in ids if id_ not in self._by_id]):
            self._keep(Entry(*row))
        doubtful = {
            facts.platform_user_id
            for handle, facts in facts_by_handle.items()
            if facts.platform_user_id is not None
            and facts.platform_user_id not in self._by_platform_id
            # A handle known under the same id needs no second look; all others might be a known account renamed.
            and (handle not in self._by_handle or self._by_handle[handle].platform_user_id != facts.platform_user_id)
        }
        for row in _BY_PLATFORM_ID.run(self._conn, doubtful):
            if row[0] not in self._by_id:
                self._keep(Entry(*row))
        if not self._next_id:
            self._next_id = _NEXT_ID.run(self._conn).scalar()

    def _keep(self, entry: Entry) -> None:
        self._by_id[entry.account_id] = entry
        if entry.handle is not None:
            self._by_handle[entry.handle] = entry
        if entry.platform_user_id is not None:
            self._by_platform_id[entry.platform_user_id] = entry

    def by_id(self, account_id: int) -> Entry:
        """Return a loaded entry."""
        return self._by_id[account_id]

    def admit(self, facts: Facts) -> Entry:
        """Return the account meant by a listing, new or known, with renames and take-overs of handles noted."""
        entry = self._by_handle.get(facts.handle)
        stable = facts.platform_user_id
        if entry is not None and stable is not None and entry.platform_user_id not in {None, stable}:
            self._lose_handle(entry, "taken_over")
            self.taken_over += 1
            entry = None
        if stable is not None:
            owner = self._by_platform_id.get(stable)
            if owner is not None and owner is not entry:
                if entry is not None:
                    # The handle was known without an id and turns out to be a known account's new one.
                    self._lose_handle(entry, "taken_over")
                    self.taken_over += 1
                if owner.handle is not None:
                    self._lose_handle(owner, "renamed")
                    self.renamed += 1
                entry = owner
                entry.handle = facts.handle
                self._by_handle[facts.handle] = entry
                self._updates[entry.account_id] = facts
        if entry is None:
            entry = Entry(
                self._next_id,
                facts.followers,
                facts.following,
                handle=facts.handle,
                platform_user_id=stable,
                facts_hash=facts_hash(facts),
                updated_at=self._now,
                is_new=True,
            )
            self._next_id += 1
            self._keep(entry)
            self._inserts.append((entry, facts))
            return entry
        if facts.platform_user_id is None and entry.platform_user_id is not None:
            facts = facts._replace(platform_user_id=entry.platform_user_id)
        self._learn(entry, facts)
        return entry

    def _learn(self, entry: Entry, facts: Facts) -> None:
        is_due = self._now - entry.updated_at >= FACTS_MAX_AGE_S
        if entry.facts_hash is not None and not is_due and entry.platform_user_id == facts.platform_user_id:
            return
        checksum = facts_hash(facts)
        if checksum != entry.facts_hash:
            entry.followers, entry.following = facts.followers, facts.following
            entry.facts_hash = checksum
            entry.updated_at = self._now
            if facts.platform_user_id is not None and entry.platform_user_id is None:
                entry.platform_user_id = facts.platform_user_id
                self._by_platform_id[facts.platform_user_id] = entry
            self._updates[entry.account_id] = facts

    def _lose_handle(self, entry: Entry, reason: str) -> None:
        if entry.handle is None:
            return
        self.flush_accounts()  # the handle must be free before somebody else gets it
        _INSERT_HISTORY.run(self._conn, [(entry.account_id, entry.handle, reason, self._now)])
        _SET_HANDLE.run(self._conn, entry.account_id, None)
        if self._by_handle.get(entry.handle) is entry:
            del self._by_handle[entry.handle]
        entry.handle = None

    def flush_accounts(self) -> None:
        """Write new accounts and changed facts."""
        rows: list[Row] = [
            (entry.account_id, *facts, entry.facts_hash, self._now, self._now) for entry, facts in self._inserts
        ]
        _INSERT.run(self._conn, rows)
        self._inserts.clear()
        _UPDATE_FACTS.run_many(
            self._conn,
            [
                (
                    account_id,
                    *facts._replace(handle=self._by_id[account_id].handle or facts.handle),
                    checksum,
                    self._now,
                )
                for account_id, facts in self._updates.items()
                for checksum in (facts_hash(facts),)
            ],
        )
        self._updates.clear()

    def flush_frontier(self) -> None:
        """Write the frontier entries of new accounts and those that changed."""
        touched: Sequence[Entry] = list(self._by_id.values())
        _FRONTIER_INSERT.run(self._conn, [_new_entry_row(e) for e in touched if e.is_new and e.state is not None])
        _UPDATE_ENTRY.run_many(self._conn, [_entry_row(e) for e in touched if e.is_dirty and not e.is_new])
        _UPDATE_SUMS.run_many(
            self._conn, [_sums_row(e) for e in touched if e.has_grown and not e.is_dirty and not e.is_new]
        )


NO_HANDLE = "no_handle"
"""Why an entry is skipped whose account lost its handle to another."""

FILTERED = "filtered"
"""Why an entry is skipped whose facts the user's filters refuse."""

TOO_DEEP = "depth"
"""Why an entry is skipped that lies beyond the depth limit."""

_PASSING = {"private", "no_following", NO_HANDLE, FILTERED}
"""Why an entry is skipped that a later listing may queue again."""


Wants = Callable[[Facts], bool]
"""Whether an account with these facts is to be bought, as far as the user's filters say."""


def never_bought(facts: Facts, wants: Wants | None = None) -> str | None:
    """Return why this account's list is not to be bought, None where it may be."""
    if facts.private:
        return "private"
    if facts.following == 0:
        return "no_following"
    if wants is not None and not wants(facts):
        return FILTERED
    return None


def enter(entry: Entry, facts: Facts, *, depth: int, max_depth: int | None, wants: Wants | None = None) -> None:
    """Give a new account its frontier entry; its place is set by who ranks it."""
    entry.depth = depth
    reason = never_bought(facts, wants)
    if reason is None and max_depth is not None and depth > max_depth:
        reason = TOO_DEEP
    entry.state = State.QUEUED if reason is None else State.SKIPPED
    entry.reason = reason


def reconsider(entry: Entry, facts: Facts, *, max_depth: int | None, wants: Wants | None = None) -> None:
    """Let a known account whose facts changed leave or enter the queue; a list under way is kept."""
    reason = never_bought(facts, None if entry.depth == 0 else wants)
    if entry.state == State.SKIPPED and entry.reason in _PASSING and reason is None:
        is_too_deep = max_depth is not None and entry.depth > max_depth
        entry.state = State.SKIPPED if is_too_deep else State.QUEUED
        entry.reason, entry.is_dirty = TOO_DEEP if is_too_deep else None, True
    elif entry.state == State.QUEUED and reason is not None and entry.visit_id is None:
        entry.state, entry.reason, entry.is_dirty = State.SKIPPED, reason, True
