"""A page in storage's words: what an answer said, what is decided of its list by that, and what it brought."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from storage.accounts import Facts, Wants
from storage.allowances import Caps
from storage.archive import Archive
from storage.frontier import Lease
from storage.ordering import Candidate, Ordering
from storage.runs import Credits


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One paid answer, in storage's words. `status` is `found` or why nothing is listed."""

    lease: Lease
    status: str
    facts: Sequence[Facts]
    unreadable: int
    has_more: bool
    next_cursor: str | None
    reported_total: int | None
    charged: int
    request_id: str | None
    body: bytes
    withheld: int = 0
    """Listed accounts that are neither in `facts` nor in `body`: they are kept out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known of a list after a page, for the decision whether it goes on; `edges` is of the whole visit."""

    status: str
    pages: int
    page_listed: int
    page_fresh: int
    edges: int
    has_more: bool
    next_cursor: str | None
    is_cursor_known: bool
    reported_total: int | None
    page_known: int = 0
    """Of a list that is read again: follows on this page that were known before."""
    current: int | None = None
    """How many accounts it is known to follow now; only where a list read again is to be judged by its order."""
    order_chance: float | None = None
    """log10 of the chance that its new follows always came first by accident; above 0: they did not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """The list ends here. `is_whole`: every page was read, so that a follow not listed has ended."""

    completeness: str
    reason: str | None = None
    is_whole: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class GoOn:
    """The list goes on at this cursor."""

    cursor: str


Judge = Callable[[Evidence], End | GoOn]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a crawl decides and storage applies, the same for all pages of a transaction.

    Where the ordering keeps neither cash nor listings, known accounts are not written at all (the lean path).
    """

    ordering: Ordering
    judge: Judge
    max_depth: int | None
    archive: Archive | None
    may_go_on: Callable[[Credits], bool]
    """Whether a next page may be reserved; false while draining."""
    wants: Wants | None = None
    explore: Callable[[Candidate], float] | None = None
    """The priority of a new account in the explore queue, where there is one."""
    caps: Caps = field(default_factory=Caps)


@dataclass(slots=True)
class Stored:
    """What a page brought. `next` is the lease to go on with, `end` is set where the list ended."""

    next: Lease | None = None
    end: End | None = None
    listed: int = 0
    new_accounts: int = 0
    new_queued: int = 0
    new_edges: int = 0
    gone_edges: int = 0
    confirmed: int = 0
    """Known follows that a list read again showed."""
    duplicates: int = 0
    self_follows: int = 0
    renamed: int = 0
    taken_over: int = 0
    credits: Credits = field(default_factory=lambda: Credits(0, 0, 0, 0, 0))
    overcharge: int = 0
    is_late: bool = False
    """Nothing was stored: the lease had been taken away, and somebody else has the page."""
    hits: int = 0
    rate: float = 0.0
    log_followers: float = 0.0
    order_score: int = 0
    order_tests: int = 0
