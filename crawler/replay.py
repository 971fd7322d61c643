"""Replay: a database written anew from the archive of another, at no cost, as today's program would have written it.

Every call is made again against the archived answers: the same pages, times and outcomes in the same order, decoded,
judged and stored by the code that a crawl uses. Invariant: the source is only read, and nothing is asked of anybody.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, assert_never

from crawler import policy
from crawler.filter import Filter
from crawler.options import CORE_SIZE, Options
from crawler.purchase import listing, screened
from crawler.seeding import ordering_now
from crawler.strategies import registry
from crawler.strategy import lot
from socialfetch.client import read_page
from socialfetch.errors import Malformed
from storage import journal, pages, parking, ranking, requeue, runs, seeding, summary
from storage.database import Database
from storage.errors import ArchiveIncomplete, ArchiveUnreadable, UnknownStrategy
from storage.history import Call, Deed, History, done_again
from storage.journal import Act
from storage.listing import End, Evidence, GoOn, Rules
from storage.optout import FORGOTTEN
from storage.ordering import Candidate
from storage.replica import Replica
from storage.schema import Outcome
from storage.summary import Summary

if TYPE_CHECKING:
    from sqlalchemy import Connection

CHUNK = 200
"""Events written in one transaction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What a replay read and wrote. `inferred` counts acts older than the journal, which may have been otherwise."""

    calls: int
    inferred: int
    source: Summary
    result: Summary


def replay(
    source: Database, target: Database, *, on_progress: Callable[[int, int], None] = lambda *_: None
) -> Replayed:
    """Write the history of `source` into the empty database `target`.

    `on_progress` is told calls done and calls in all. Raises NothingArchived, ArchiveIncomplete, ArchiveUnreadable,
    UnknownStrategy or another DatabaseError.
    """
    with source.read() as conn:
        history = History(conn)
        calls = history.check()
        replica = Replica(history)
        target.transact(replica.begin)
        teller = _Teller(replica)
        events = history.events()
        while chunk := list(islice(events, CHUNK)):
            target.transact(partial(teller.tell, events=chunk))
            on_progress(teller.calls, calls)
        for work in replica.finish():
            target.transact(work)
        before = summary.read(conn)
    with target.read() as conn:
        after = summary.read(conn)
    return Replayed(calls=calls, inferred=teller.inferred, source=before, result=after)


class _Teller:
    """Does again what was done, event by event, with the settings of the process that did it."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._process_id = 0
        self._settings: dict[str, Any] = {}
        self._choose(registry.DEFAULT)
        self.calls = 0
        self.inferred = 0

    def tell(self, conn: Connection, events: list[Call | Deed]) -> None:
        """Do these events in one transaction."""
        for event in events:
            with done_again(event):
                self._tell(conn, event)

    def _tell(self, conn: Connection, event: Call | Deed) -> None:
        match event:
            case Call():
                self._call(conn, event)
                self.calls += 1
            case Deed():
                before = journal.last(conn)
                self._do(conn, event)
                if event.is_inferred:
                    journal.mark_inferred(conn, after=before)
                    self.inferred += 1
            case _:
                assert_never(event)

    def _call(self, conn: Connection, call: Call) -> None:
        replica = self._replica
        if call.cause == FORGOTTEN:
            replica.book(conn, call)
        elif call.outcome == Outcome.SETTLED:
            if call.visit is None or call.body is None:
                raise ArchiveIncomplete(f"ledger row {call.id} belongs to no visit or has no answer")
            try:
                page = read_page(call.body)
            except Malformed as error:
                raise ArchiveUnreadable(call.id) from error
            lease = replica.hold(conn, call, process_id=self._process_id)
            # The books are the truth about money, whatever is read in the answer today.
            paid = replace(listing(lease, page), charged=call.charged, request_id=call.request_id)
            paid = screened(conn, paid, now=call.at)
            rules = self._ended if call.is_last else self._went_on
            pages.commit_pages(conn, [paid], rules=rules, now=call.at)
            replica.keep(conn, call)
        elif call.visit is None or call.outcome == Outcome.RECONCILED:
            replica.book(conn, call)
        else:
            replica.refuse(conn, call, replica.hold(conn, call, process_id=self._process_id))

    def _do(self, conn: Connection, deed: Deed) -> None:
        details, replica = deed.details, self._replica
        match deed.act:
            case Act.BEGAN:
                self._begin(**details)
                journal.note(conn, Act.BEGAN, **details)
            case Act.SEEDED:
                seeding.add(conn, [details["handle"]], ordering=ordering_now(conn), now=details["at"])
            case Act.DEPTH_LIMITED:
                parking.apply_depth_limit(conn, details["max_depth"])
            case Act.CHOSE:
                self._choose(details["strategy"])
                journal.note(conn, Act.CHOSE, **details)
            case Act.STOPPED:
                journal.note(conn, Act.STOPPED, **details)
            case Act.CASH_REBUILT | Act.TALLIED:
                ranking.rebuild(conn, self._strategy)
            case Act.RANKED:
                after = replica.until(conn, details["after"])
                ranking.rerank(conn, self._strategy, after=after, at_most=details["at_most"])
            case Act.RESCORED:
                ranking.place_anew(conn, self._strategy, replica.those(conn, details["accounts"]))
            case Act.LOTTED:
                chance = self._lot if details["explores"] else None
                after = replica.until(conn, details["after"])
                ranking.draw_lots(conn, chance, after=after, at_most=details["at_most"])
            case Act.PARKED:
                parking.park(conn, replica.those(conn, details["accounts"]), details["reason"])
            case Act.UNPARKED:
                parking.unpark(conn, replica.those(conn, details["accounts"]))
            case Act.FILTERED:
                parking.refuse(conn, replica.those(conn, details["accounts"]))
            case Act.UNFILTERED:
                parking.want(conn, replica.those(conn, details["accounts"]))
            case Act.NAMELESS:
                if (nameless := replica.here(conn, details["account"])) is not None:
                    replica.pass_over(conn, nameless)
            case Act.REQUEUED:
                entries = ((replica.here(conn, account_id), *rest) for account_id, *rest in details["entries"])
                requeue.queue(conn, [(of, *rest) for of, *rest in entries if of is not None])
            case Act.REMEMBERED:
                runs.remember(conn, details["key"], details["value"])
            case _:
                raise ArchiveIncomplete(f"nobody here knows what {deed.act!r} in the journal means")

    def _begin(self, *, process: int, strategy: str, settings: dict[str, Any], **_: Any) -> None:
        self._process_id = process
        self._settings = settings
        self._choose(strategy)

    def _choose(self, strategy: str) -> None:
        settings = self._settings
        options = Options(
            budget=None,
            strategy=settings.get("strategy", strategy),
            cost_exponent=settings.get("cost_exponent"),
            core_size=settings.get("core_size", CORE_SIZE),
        )
        if strategy not in registry.EVERY:
            raise UnknownStrategy(strategy)
        self._strategy = options.strategy_of(strategy, lot_seed=settings.get("lot_seed", 0))
        self._ended = self._rules(went_on=False)
        self._went_on = self._rules(went_on=True)

    def _lot(self, entry: Candidate) -> float:
        return lot(entry, self._settings.get("lot_seed", 0))

    def _rules(self, *, went_on: bool) -> Rules:
        settings = self._settings
        wanted = Filter.of_settings(settings.get("filter", {}))
        return Rules(
            ordering=self._strategy,
            judge=partial(_judge, max_pages=settings.get("max_pages_per_account"), went_on=went_on),
            max_depth=settings.get("max_depth"),
            archive=None,  # bodies are taken over as they lie
            may_go_on=lambda _: False,  # the next page is leased when its call comes
            wants=None if wanted.is_open else wanted.wants,
            explore=self._lot if settings.get("explore") else None,
        )


def _judge(evidence: Evidence, *, max_pages: int | None, went_on: bool) -> End | GoOn:
    """Judge a list by today's rules; where its next page was asked for all the same, it did go on."""
    verdict = policy.judge(evidence, max_pages=max_pages)
    if went_on and isinstance(verdict, End):
        return GoOn(cursor=evidence.next_cursor or "")
    return verdict
