"""Where a database stands: one consistent reading for status, reports and the end of a crawl."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite
from typing import Any

import sqlalchemy as sa

from storage.driver import sorting_on_disk
from storage.journal import Act
from storage.runs import ENDED, REFRESH, at_work_last
from storage.schema import (
    Completeness,
    State,
    accounts,
    budget_changes,
    follows,
    frontier,
    journal,
    ledger,
    processes,
    runs,
    visits,
)

LOOPBACK = ("127.0.0.1", "::1", "localhost")


_UNTOLD = frozenset({"concurrency", "rate", "deadline_s", "origin", "lot_seed"})
"""Settings that change nothing of what a run buys, or, as where it is bought, are told by another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a run was asked to do when it began, or went on under other terms after `from_credit` credits.

    `process` is the number of the process that asked; `at` is in Unix seconds, None where no process tells; `changed`
    holds what each setting was `before` and `after`.
    """

    process: int | None
    at: int | None
    from_credit: int
    strategy: str
    settings: Mapping[str, Any]
    changed: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """One run, under the terms that hold now.

    Credits are whole credits, times Unix seconds, `active_s` seconds at work over all its processes.
    """

    id: int
    started_at: int
    ended_at: int | None
    stop_reason: str | None
    strategy: str
    rng_seed: int
    budget: int
    charged: int
    uncertain: int
    reserved: int
    pages: int
    new_edges: int
    new_accounts: int
    errors: int
    active_s: float
    settings: str
    """JSON: what the run was asked to do."""
    forecast: str | None
    """JSON: what it was expected to buy, as `foreseen` reads it."""
    terms: tuple[Terms, ...] = ()
    """How it began, and each time that it went on under other terms."""
    raised: tuple[tuple[int, int], ...] = ()
    """When its budget was changed, in Unix seconds, and by how many credits."""

    @property
    def began(self) -> Terms:
        """How it began; as it stands now where the database does not tell."""
        if self.terms:
            return self.terms[0]
        return Terms(
            process=None,
            at=self.started_at,
            from_credit=0,
            strategy=self.strategy,
            settings=self.asked,
            changed={},
        )

    @property
    def budget_began(self) -> int:
        """The budget that it began with, in credits."""
        return self.budget - sum(credits for _, credits in self.raised)

    @property
    def strategies(self) -> tuple[str, ...]:
        """The strategies it was asked for, each once, in their order."""
        return tuple(dict.fromkeys([*(each.strategy for each in self.terms), self.strategy]))

    @property
    def foreseen(self) -> dict[str, Any] | None:
        """Return the forecast beside what came: for `accounts` and `edges` low, mid, high and actual; None without one.

        It was made at `from_credit` for so many `credits` more: those that the run could really spend; `spent` tells
        how many of them were. `is_whole`: all were, or the run found no use for the rest, so that what came is to be
        compared with all of it. Before that it is compared with what was expected of as many credits. `expected` holds
        what the actual number is compared with, and `error` how far that was off; both are None where the forecast
        does not tell.
        """
        return self.forecasts[-1] if self.forecast is not None else None

    @property
    def forecasts(self) -> list[dict[str, Any]]:
        """Return every forecast in the form of `foreseen`, the last one last; of an earlier one what came of it is what
        had come when the next one was made."""
        if self.forecast is None:
            return []
        made = json.loads(self.forecast)
        now = {"accounts": self.new_accounts, "edges": self.new_edges, "credits": self.charged + self.uncertain}
        earlier = [
            _judged(each, came=after["at"], budget=after["budget"], stop_reason=None)
            for each, after in pairwise([*made.get("earlier", []), made])
        ]
        return [*earlier, _judged(made, came=now, budget=self.budget, stop_reason=self.stop_reason)]

    @property
    def asked(self) -> dict[str, Any]:
        """Return what the run was asked to do, setting by setting; nothing where somebody changed what was noted."""
        return json_object(self.settings)

    @property
    def is_refresh(self) -> bool:
        """Whether it reads known lists again."""
        return bool(self.asked.get(REFRESH))

    @property
    def sources(self) -> tuple[str, ...]:
        """The hosts that were asked, each once, in their order; none where they were not noted."""
        asked = [*(each.settings for each in self.terms), self.asked]
        return tuple(dict.fromkeys(str(each["source"]) for each in asked if each.get("source")))

    @property
    def remaining(self) -> int:
        """Credits neither charged nor uncertain; negative only after an answer dearer than its reservation."""
        return self.budget - self.charged - self.uncertain


_TO_THE_END = ("budget_exhausted", "frontier_empty")
"""Stop reasons of a run that bought all it could: a forecast for more was wrong."""


def on_the_way(path: Sequence[Sequence[float]], credits: float) -> tuple[float, float]:
    """Return the new accounts and follows that a forecast expects of its first so many credits.

    `path` has rows of credits, accounts and follows; between them it is a straight line, from nothing for nothing.
    """
    before: Sequence[float] = (0, 0.0, 0.0)
    for row in path:
        if credits < row[0]:
            part = max(0.0, credits - before[0]) / (row[0] - before[0])
            return before[1] + part * (row[1] - before[1]), before[2] + part * (row[2] - before[2])
        before = row
    return before[1], before[2]


def json_object(text: str) -> dict[str, Any]:
    """Return a JSON object that the database keeps; an empty one where somebody changed it into something else."""
    try:
        found = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _judged(
    made: Mapping[str, Any], *, came: Mapping[str, int], budget: int, stop_reason: str | None
) -> dict[str, Any]:
    """Return a forecast beside what came until its run had so many `credits`, as `RunRow.foreseen` has it."""
    at = made["at"]
    credits = made.get("credits", made["budget"] - at["credits"])  # older ones were for all that was left
    spent = came["credits"] - at["credits"]
    was_lowered = budget < made["budget"]
    is_whole = spent >= credits or (stop_reason in _TO_THE_END and not was_lowered)
    was_raised = spent > credits and budget > made["budget"]
    path = [] if was_raised else made.get("path") or []
    compared = {}
    for place, name in enumerate(("accounts", "edges"), start=1):
        span, actual = {key: made[name][key] for key in ("low", "mid", "high")}, came[name] - at[name]
        expected: dict[str, float] | None = None
        if is_whole and not was_raised:
            expected = span
        elif path and path[-1][place] > 0:
            part = on_the_way(path, spent)[place - 1] / path[-1][place]
            expected = {key: round(part * value) for key, value in span.items()}
        error = None if expected is None else _error(expected["mid"], actual)
        compared[name] = {**span, "actual": actual, "expected": expected, "error": error}
    return {"from_credit": at["credits"], "credits": credits, "spent": spent, "is_whole": is_whole, **compared}


def _error(expected: float, actual: float) -> float | None:
    return None if not expected else round(actual / expected - 1, 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The state of a database.

    `accounts` is a partition: known = visited + boundary + hidden + private + not_found + failed. Visited: at least one
    page of the list was read; hidden, private, not_found: what the provider answered; boundary: never visited.
    """

    runs: list[RunRow]
    charged: int
    uncertain: int
    pages: int
    accounts: Mapping[str, int]
    frontier: Mapping[str, int]
    skipped: Mapping[str, int]
    completeness: Mapping[str, int]
    edges: int
    run_id: int | None

    @property
    def run(self) -> RunRow | None:
        """The run asked about; None where there is none yet."""
        return next((run for run in self.runs if run.id == self.run_id), None)

    @property
    def put_off(self) -> RunRow | None:
        """Beside a refresh the run that the next crawl goes on with, beside a crawl the one of the next refresh.

        None where it has ended, or no credits left.
        """
        is_refresh = self.run is not None and self.run.is_refresh
        found = next((run for run in reversed(self.runs) if run.is_refresh != is_refresh), None)
        return None if found is None or found.stop_reason in ENDED or found.remaining <= 0 else found


_RUNS = sa.select(*(runs.c[name] for name in RunRow.__dataclass_fields__ if name in runs.c))


def last_run(conn: sa.Connection) -> RunRow | None:
    """Return the run that was at work last."""
    last = at_work_last(conn)
    row: Any = None if last is None else conn.execute(_RUNS.where(runs.c.id == last.id)).one()
    return None if row is None else RunRow(**row._mapping)


def all_runs(conn: sa.Connection) -> list[RunRow]:
    """Return every run, oldest first, with the terms under which it began and went on. Reads through the journal."""
    terms, raised = _terms(conn), _raised(conn)
    return [
        RunRow(**row._mapping, terms=tuple(terms.get(row.id, ())), raised=tuple(raised.get(row.id, ())))
        for row in conn.execute(_RUNS.order_by(runs.c.id))
    ]


def _terms(conn: sa.Connection) -> dict[Any, list[Terms]]:
    """Return by run how it began, and each time that it went on otherwise."""
    began: Any = conn.execute(
        sa.select(journal.c.ledger_id, journal.c.details).where(journal.c.act == Act.BEGAN).order_by(journal.c.id)
    )
    times: Any = conn.execute(sa.select(processes.c.id, processes.c.started_at))
    started: dict[Any, int] = dict(iter(times))
    found: dict[Any, list[Terms]] = {run: [] for run in conn.execute(sa.select(runs.c.id)).scalars()}
    for ledger_id, text in began.all():
        details = json_object(text)
        run, process, settings = (details.get(name) for name in ("run", "process", "settings"))
        if not (isinstance(run, int) and isinstance(process, int) and isinstance(settings, dict)) or run not in found:
            continue  # somebody changed the note
        settings = {name: value for name, value in settings.items() if _is_tellable(value)}
        before = found[run]
        changed = {}
        if before:
            changed = differences(before[-1].settings, settings, but=_UNTOLD)
            if not changed:
                continue
        before.append(
            Terms(
                process=process,
                at=started.get(process),
                from_credit=_spent(conn, run, ledger_id) if changed else 0,
                strategy=str(details.get("strategy")),
                settings=settings,
                changed=changed,
            )
        )
    return found


def differences(
    before: Mapping[str, Any], after: Mapping[str, Any], *, but: Collection[str]
) -> dict[str, dict[str, Any]]:
    """Return what each setting that differs was `before` and `after`, by name; of the names `but` nothing is told.

    Nothing is known of one that only one side names: an older program did not keep it. Only a refresh alone says that
    it is one.
    """
    named = before.keys() & after.keys() | {REFRESH}
    return {
        name: {"before": before.get(name), "after": after.get(name)}
        for name in sorted(named.difference(but))
        if before.get(name) != after.get(name)
    }


def _is_tellable(value: object, depth: int = 3) -> bool:
    """Tell whether every JSON can hold a value as it is: nothing deep, no number that is none."""
    match value:
        case float():
            return isfinite(value)
        case list() | dict():
            inside = value.values() if isinstance(value, dict) else value
            return depth > 0 and all(_is_tellable(each, depth - 1) for each in inside)
        case _:
            return True


def _spent(conn: sa.Connection, run_id: int, ledger_id: int) -> int:
    """Return what a run had spent, charged or uncertain, up to this row of the ledger."""
    spent = sa.func.coalesce(sa.func.sum(ledger.c.charged + ledger.c.uncertain), 0)
    return int(conn.execute(sa.select(spent).where(ledger.c.run_id == run_id, ledger.c.id <= ledger_id)).scalar_one())


def _raised(conn: sa.Connection) -> dict[int, list[tuple[int, int]]]:
    """Return by run when its budget was changed, and by how much."""
    rows: Any = conn.execute(
        sa.select(budget_changes.c.run_id, budget_changes.c.at, budget_changes.c.credits)
        .where(budget_changes.c.run_id.is_not(None))
        .order_by(budget_changes.c.id)
    )
    found: dict[int, list[tuple[int, int]]] = {}
    for run, at, credits in rows:
        found.setdefault(run, []).append((at, credits))
    return found


def is_rehearsal(rows: Iterable[RunRow]) -> bool:
    """Tell whether nothing came from anywhere but this machine: a simulated API, not the platform."""
    sources = {source for run in rows for source in run.sources}
    return bool(sources) and sources <= set(LOOPBACK)


def read(conn: sa.Connection, *, run_id: int | None = None) -> Summary:
    """Count everything, for one who asks about this run or, with None, about the one that was at work last.

    A scan of the frontier and of the follows, so seconds on a database of tens of millions.
    """
    # Most of a large frontier was never touched: counted apart, it need not be sorted into groups.
    untouched = sa.and_(
        frontier.c.state == int(State.QUEUED), frontier.c.completeness.is_(None), frontier.c.visit_id.is_(None)
    )
    # As a condition it would be looked up through the index of the queue, entry by entry all over the table.
    waiting = conn.execute(sa.select(sa.func.count(sa.case((untouched, 1)))).select_from(frontier)).scalar_one()
    counting = (
        sa.select(
            frontier.c.state,
            frontier.c.completeness,
            sa.case((frontier.c.state == int(State.SKIPPED), frontier.c.reason), else_=None),
            (visits.c.pages > 0),
            sa.func.count(),
        )
        .select_from(frontier.outerjoin(visits, visits.c.id == frontier.c.visit_id))
        .where(~untouched)
        .group_by(sa.text("1, 2, 3, 4"))
    )
    with sorting_on_disk(conn):  # SQLite groups by sorting: of ten million entries a gigabyte
        groups: Any = [(int(State.QUEUED), None, None, None, waiting), *conn.execute(counting).all()]
    by_account = dict.fromkeys(("visited", "boundary", "hidden", "private", "not_found", "failed"), 0)
    by_state = dict.fromkeys(("queued", "leased", "done", "failed", "skipped"), 0)
    skipped: dict[str, int] = {}
    completeness: dict[str, int] = {}
    for state, complete, reason, has_pages, count in groups:
        by_state["queued" if state == State.DEFERRED else State(state).name.lower()] += count
        if reason is not None:
            skipped[reason] = skipped.get(reason, 0) + count
        word = complete if complete is not None else (Completeness.PARTIAL if has_pages else None)
        if word is not None:
            completeness[word] = completeness.get(word, 0) + count
        if word in Completeness.LISTED:
            by_account["visited"] += count
        elif word is not None:
            by_account[word] += count
        elif state == State.FAILED:
            by_account["failed"] += count
        else:
            by_account["boundary"] += count
    known = conn.execute(sa.select(sa.func.count()).select_from(accounts)).scalar_one()
    charged, uncertain = conn.execute(
        sa.select(
            sa.func.coalesce(sa.func.sum(ledger.c.charged), 0), sa.func.coalesce(sa.func.sum(ledger.c.uncertain), 0)
        )
    ).one()
    pages = conn.execute(sa.select(sa.func.coalesce(sa.func.sum(visits.c.pages), 0))).scalar_one()
    edges = conn.execute(
        sa.select(sa.func.count()).select_from(follows).where(follows.c.ended_visit.is_(None))
    ).scalar_one()
    if run_id is None and (last := at_work_last(conn)) is not None:
        run_id = last.id
    return Summary(
        runs=all_runs(conn),
        charged=charged,
        uncertain=uncertain,
        pages=pages,
        accounts={"known": known, **by_account},
        frontier=by_state,
        skipped=skipped,
        completeness=completeness,
        edges=edges,
        run_id=run_id,
    )
