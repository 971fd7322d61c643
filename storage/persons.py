"""Which account is meant: by handle, by platform id, by pseudonym, or by a keyed hash."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from storage.schema import accounts, handle_history
from storage.secret import ProjectKey

SHORTEST = 4
"""Signs of a pseudonym that name an account at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """An account as somebody named it; exactly one of the four is set. A pseudonym may be cut short."""

    handle: str | None = None
    platform_user_id: str | None = None
    pseudonym: str | None = None
    tag: str | None = None


class NotFound(Exception):
    """A pseudonym that names no stored account, or several."""

    def __init__(self, pseudonym: str, count: int) -> None:
        what = "is nobody's under this key" if not count else f"is the beginning of {count:,} pseudonyms"
        super().__init__(f"{pseudonym} {what}")
        self.pseudonym = pseudonym
        self.count = count


def identity(handle: str | None, platform_user_id: str | None, account_id: int) -> tuple[str, str]:
    """Return what a pseudonym is made of: the platform id, else the handle, else the place in this database."""
    if platform_user_id is not None:
        return "id", platform_user_id
    return ("handle", handle) if handle is not None else ("row", str(account_id))


def pseudonyms(conn: sa.Connection, key: ProjectKey) -> Iterator[tuple[int, str]]:
    """Yield (account id, pseudonym) of every account, by id."""
    for row in conn.execute(
        sa.select(accounts.c.id, accounts.c.handle, accounts.c.platform_user_id).order_by(accounts.c.id)
    ):
        yield row.id, key.pseudonym(*identity(row.handle, row.platform_user_id, row.id))


def find(conn: sa.Connection, wanted: Sequence[Wanted], key: ProjectKey) -> list[list[int]]:
    """Return the stored accounts that each of them means; none where it is not stored. Raises NotFound."""
    by_pseudonym = _by_pseudonym(conn, wanted, key)
    by_tag = _by_tag(conn, wanted, key)
    return [
        by_pseudonym[each.pseudonym]
        if each.pseudonym is not None
        else by_tag.get(each.tag, [])
        if each.tag is not None
        else _by_name(conn, each)
        for each in wanted
    ]


def _by_name(conn: sa.Connection, wanted: Wanted) -> list[int]:
    if wanted.platform_user_id is not None:
        where = accounts.c.platform_user_id == wanted.platform_user_id
        return list(conn.execute(sa.select(accounts.c.id).where(where)).scalars())
    present = conn.execute(sa.select(accounts.c.id).where(accounts.c.handle == wanted.handle)).scalars().all()
    if present:
        return list(present)
    # Who had it once, if nobody has it now.
    former = sa.select(handle_history.c.account_id).where(handle_history.c.handle == wanted.handle).distinct()
    return sorted(conn.execute(former).scalars())


def _by_pseudonym(conn: sa.Connection, wanted: Sequence[Wanted], key: ProjectKey) -> dict[str | None, list[int]]:
    asked = {each.pseudonym for each in wanted if each.pseudonym is not None}
    found: dict[str | None, list[int]] = {text: [] for text in asked}
    if not asked:
        return found
    for account_id, handle, stable in _known_as(conn):
        # It may have been given out before the id was known, or under an older handle.
        made = {key.pseudonym("id", stable)} if stable is not None else set()
        made |= {key.pseudonym("handle", handle)} if handle is not None else {key.pseudonym("row", str(account_id))}
        for text in asked:
            if any(each.startswith(text) for each in made) and account_id not in found[text]:
                found[text].append(account_id)
    for named, account_ids in found.items():
        if len(account_ids) != 1:
            raise NotFound(named or "", len(account_ids))
    return found


def _by_tag(conn: sa.Connection, wanted: Sequence[Wanted], key: ProjectKey) -> dict[str, list[int]]:
    asked = {each.tag for each in wanted if each.tag is not None}
    found: dict[str, list[int]] = {}
    for account_id, handle, stable in _known_as(conn) if asked else ():
        tags = {key.tag("id", stable)} if stable is not None else set()
        tags |= {key.tag("handle", handle)} if handle is not None else set()
        for tag in tags & asked:
            found.setdefault(tag, []).append(account_id)
    return found


def _known_as(conn: sa.Connection) -> Iterator[tuple[int, str | None, str | None]]:
    """Yield (account id, handle, platform id) for every handle of every account, those of old too."""
    yield from conn.execute(sa.select(accounts.c.id, accounts.c.handle, accounts.c.platform_user_id))
    yield from conn.execute(
        sa.select(handle_history.c.account_id, handle_history.c.handle, accounts.c.platform_user_id).join(
            accounts, accounts.c.id == handle_history.c.account_id
        )
    )
