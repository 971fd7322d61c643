"""Listed accounts as JSON, and the faults that change how one is shown.

Each account is encoded once and kept, up to a bound: a page is then little more than joined bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import msgspec

from socialfetch import wire
from socialfetch.simulator import facts
from socialfetch.simulator.chance import fraction
from socialfetch.simulator.faults import Faults
from socialfetch.simulator.network import Network

_KEPT = 2**15
"""Encoded accounts kept at most, of about 600 bytes each."""

_NEW_HANDLE = ".new"
_LONG = 10_000
_HOSTILE_NAME = "<script>alert(1)</script>\x1b[31m\u202eevil" + "n" * _LONG
_HOSTILE_BIO = '=HYPERLINK("http://example.com";"click")\r\n"]]><b>[bold]&amp;\x07' + "b" * _LONG
_ODD = (
    "renamed",
    "taken_over",
    "mixed_case",
    "no_ids",
    "created_at_integer",
    "created_at_absent",
    "hostile_text",
    "unknown_fields",
    "broken_account",
)


class Accounts:
    """The accounts of a network as lists show them."""

    def __init__(self, *, network: Network, faults: Faults, rng_seed: int) -> None:
        self._network = network
        self._faults = faults
        self._rng_seed = rng_seed
        self._any_odd = bool(faults.on(_ODD))
        self._plain = lru_cache(maxsize=_KEPT)(self._encode_plain)
        self._kept_since = network.changes

    def resolve(self, handle: str) -> int | None:
        """Return the number of the account that a handle means, a renamed account's new handle included."""
        index = self._network.index(handle)
        if index is None and handle.endswith(_NEW_HANDLE):
            old = handle.removesuffix(_NEW_HANDLE)
            if self._faults.strikes("renamed", old):
                return self._network.index(old)
        return index

    def encoded(self, indexes: Sequence[int], *, lister: str, cursor: str, trim: bool) -> list[msgspec.Raw]:
        """Return the listed accounts of one page of `lister`'s list as JSON. `trim` leaves out the stable ids."""
        if self._any_odd or trim:
            return [
                msgspec.Raw(self._encode_odd(index, place, lister=lister, cursor=cursor, trim=trim))
                for place, index in enumerate(indexes)
            ]
        if self._kept_since != self._network.changes:
            self._plain.cache_clear()
            self._kept_since = self._network.changes
        return [self._plain(index) for index in indexes]

    def _encode_plain(self, index: int) -> msgspec.Raw:
        return msgspec.Raw(msgspec.json.encode(self._network.account(index)))

    def _encode_odd(self, index: int, place: int, *, lister: str, cursor: str, trim: bool) -> bytes:
        strikes = self._faults.strikes
        account = self._network.account(index)
        handle = account.handle
        if strikes("taken_over", handle) and self._is_shown_anew("taken_over", handle, lister):
            account = _taken_over(account, index)
        if strikes("renamed", handle) and self._is_shown_anew("renamed", handle, lister):
            new = handle + _NEW_HANDLE
            account = msgspec.structs.replace(account, handle=new, profile_url=f"https://www.tiktok.com/@{new}")
        if strikes("mixed_case", lister) and account.handle.isascii():
            account = msgspec.structs.replace(account, handle=account.handle.upper())
        if trim or strikes("no_ids", lister, cursor):
            account = msgspec.structs.replace(account, platform_user_id=None, sec_uid=None)
        if strikes("created_at_integer", lister, cursor):
            account = msgspec.structs.replace(account, account_created_at=self._network.created_at(index))
        if strikes("created_at_absent", lister, cursor):
            account = msgspec.structs.replace(account, account_created_at=None)
        if strikes("hostile_text", lister, cursor):
            account = msgspec.structs.replace(account, display_name=_HOSTILE_NAME, bio=_HOSTILE_BIO)
        fields = msgspec.to_builtins(account)
        if strikes("unknown_fields", lister, cursor):
            fields["badges"] = [{"kind": "early", "level": 3}]
        if place == 0 and strikes("broken_account", lister, cursor):
            del fields["metrics"]
        return msgspec.json.encode(fields)

    def _is_shown_anew(self, fault: str, handle: str, lister: str) -> bool:
        """Whether this list shows the changed account: one half of the lists does, always the same half."""
        return fraction(self._rng_seed, fault, handle, lister) < 0.5


def _taken_over(account: wire.Account, index: int) -> wire.Account:
    """Return the somebody else who took the account's handle."""
    platform_id = facts.platform_user_id(facts.NEWEST, index)
    return msgspec.structs.replace(
        account,
        platform_user_id=platform_id,
        sec_uid=facts.sec_uid(platform_id),
        display_name="Somebody Else",
        bio="new here",
        account_created_at=facts.iso_8601(facts.NEWEST),
    )
