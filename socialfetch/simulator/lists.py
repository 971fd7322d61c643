"""Pages of following lists: the honest ones, and those that lie."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from socialfetch.simulator.chance import fraction
from socialfetch.simulator.faults import Faults
from socialfetch.simulator.network import Network, Status
from socialfetch.simulator.settings import Settings

_DRIFT = 4


class Listing(msgspec.Struct, frozen=True):
    """One page, before it is written as JSON."""

    status: str
    accounts: Sequence[int]
    """The listed accounts, as numbers of the network."""
    next_cursor: str | None
    has_more: bool
    total: int | None


def nothing(status: str) -> Listing:
    """Return the page of an account whose list is not shown."""
    return Listing(status=status, accounts=(), next_cursor=None, has_more=False, total=None)


class Lists:
    """The following lists of a network, page by page. Stateless: a cursor says all."""

    def __init__(self, *, network: Network, settings: Settings, faults: Faults) -> None:
        self._network = network
        self._settings = settings
        self._faults = faults

    def page(self, index: int, cursor: str, start: int) -> Listing:
        """Return the page of an account's list that begins at the place `start`, where `cursor` points.

        The cursor is empty on the first page. The next one is the time of the last listed follow.
        """
        handle = self._network.handle(index)
        status = self._network.status(index)
        if status is not Status.FOUND:
            return nothing(status)
        if self._faults.strikes("unknown_status", handle):
            return nothing("restricted")
        if cursor and self._faults.strikes("turns_hidden", handle):
            return nothing(Status.HIDDEN)
        targets, times = self._network.following(index)
        total = len(targets)
        end = min(start + self._page_size(handle, cursor), total)
        accounts = targets[start:end].tolist()
        next_cursor = str(times[end - 1]) if end < total else None
        has_more = end < total

        lies = self._faults
        if cursor and 0 < start < total:
            if lies.strikes("repeated_page", handle):
                accounts = targets[: self._page_size(handle, "")].tolist()
            if lies.strikes("duplicate_account", handle):
                accounts.insert(0, int(targets[start - 1]))
            if lies.strikes("empty_page", handle):
                accounts, next_cursor, has_more = [], str(times[end - 1]), True
            if lies.strikes("repeated_cursor", handle):
                next_cursor, has_more = cursor, True
        if not cursor and lies.strikes("self_follow", handle):
            accounts.insert(0, index)
        if has_more and lies.strikes("more_without_cursor", handle):
            next_cursor = None
        if not has_more and total and lies.strikes("cursor_without_more", handle):
            next_cursor = str(times[-1])
        if lies.strikes("drifting_total", handle, cursor):
            drift = int(fraction(self._settings.rng_seed, "drift", handle, cursor) * (2 * _DRIFT + 1)) - _DRIFT
            total = max(0, total + drift)
        return Listing(status=status, accounts=accounts, next_cursor=next_cursor, has_more=has_more, total=total)

    def _page_size(self, handle: str, cursor: str) -> int:
        jitter = self._settings.page_jitter
        if not jitter:
            return self._settings.page_size
        drawn = fraction(self._settings.rng_seed, "page size", handle, cursor)
        return self._settings.page_size - jitter + int(drawn * (2 * jitter + 1))
