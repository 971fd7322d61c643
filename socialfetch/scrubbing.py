"""A page's body without some of the people in it, or without some of what it says of everybody.

The body stays what the vendor sent in everything else, so that it can be read and replayed like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, TypeVar

import msgspec

from socialfetch.client import UNREADABLE
from socialfetch.errors import Malformed
from socialfetch.handle import normalise
from socialfetch.wire import WITHHELD

P = TypeVar("P")

FIELDS = {"bio": "bio", "avatar": "avatarUrl", "region": "region", "language": "language"}
"""What can be left out of every profile, with the vendor's word for it. `details` goes with any of them."""


def scrubbed(
    body: bytes, who: Callable[[str, str | None], P | None] | None = None, *, left_out: Collection[str] = ()
) -> tuple[bytes, list[P]]:
    """Return the body without those listed accounts for which `who` returns somebody, and who they were, in order.

    `who` is asked with the normalised handle and the platform id. The page says from then on how many it lacks. A body
    of which nothing has to go comes back as it is. Raises Malformed for what is no page.
    """
    try:
        page: Any = msgspec.json.decode(body)
        listed = page["data"].get("accounts")
    except (*UNREADABLE, KeyError, TypeError, AttributeError) as error:
        raise Malformed("the answer is not a page of this API", status=200) from error
    if not isinstance(listed, list):
        return body, []
    kept: list[Any] = []
    gone: list[P] = []
    changed = False
    words = [FIELDS[name] for name in left_out]
    for account in listed:
        if isinstance(account, dict):
            person = None if who is None else who(_handle(account), _stable(account))
            if person is not None:
                gone.append(person)
                continue
            for word in (*words, "details") if words else ():
                changed |= account.pop(word, None) is not None
        kept.append(account)
    if not gone and not changed:
        return body, []
    data = page["data"]
    data["accounts"] = kept
    if gone:
        before = data.get(WITHHELD)
        data[WITHHELD] = (before if isinstance(before, int) else 0) + len(gone)
    return msgspec.json.encode(page), gone


def _handle(account: dict[str, Any]) -> str:
    handle = account.get("handle")
    return normalise(handle) if isinstance(handle, str) else ""


def _stable(account: dict[str, Any]) -> str | None:
    stable = account.get("platformUserId")
    return str(stable) if isinstance(stable, (str, int)) and not isinstance(stable, bool) else None
