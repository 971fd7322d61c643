"""The phases of a run: an audit first, then the strategy, then the waves of a control sample, then what is left.

A phase is the rule by which entries are taken and the credits of the run at which it ends. Shares are of what the
budget has for first calls: a run that is continued, with another budget even, gives each phase what it lacks of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

from crawler.options import Options
from crawler.strategies.expansion import Expansion
from storage import runs, sampling
from storage.sampling import CONTROL_QUEUES
from storage.schema import Queue

if TYPE_CHECKING:
    from sqlalchemy import Connection


CUT = "phases_cut"


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """One phase. `ceiling` is in credits of the run, all phases before it included; None is the run's budget, which can
    be raised meanwhile. `wave` numbers a control wave, `share` are its credits in all.
    """

    queue: str
    strategy: str
    ceiling: int | None
    wave: int | None = None
    share: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What a run had used when its budget was cut: credits `in_all`, and by queue as they were booked at their calls.

    What turned out free later is in the latter still.
    """

    in_all: int = 0
    by_queue: Mapping[str, int] = field(default_factory=dict)


def phases(options: Options, budget: int, *, spent: Spent) -> list[Phase]:
    """Return the phases of a run with this budget (credits), of which so many were `spent` when it was cut.

    The shares of the audit and of the control sample are of what the reserve for retries leaves. Where they lack more
    than is left, all are cut alike: of waves that are cut one after the other the last would get nothing.
    """
    to_spend = max(0, budget - options.caps.retry_reserve)
    for_audit, for_control = (round(share * to_spend) for share in options.shares)
    bounds = [round(for_control * wave / len(CONTROL_QUEUES)) for wave in range(len(CONTROL_QUEUES) + 1)]
    waves = [until - since for since, until in pairwise(bounds)]
    queues, shares = (Queue.AUDIT, *CONTROL_QUEUES), (for_audit, *waves)
    had = [spent.by_queue.get(queue, 0) for queue in queues]
    lacking = [max(0, share - used) for share, used in zip(shares, had, strict=True)]
    left = max(0, to_spend - spent.in_all)
    part = min(1.0, left / max(1, sum(lacking)))
    ends = [round(part * so_far) for so_far in accumulate(lacking)]

    audit = Phase(queue=Queue.AUDIT, strategy=Expansion.name, ceiling=spent.in_all + ends[0])
    until = to_spend - (ends[-1] - ends[0])
    main = Phase(queue=Queue.MAIN, strategy=options.strategy, ceiling=until if for_control else None)
    plan = [audit, main] if ends[0] else [main]
    if for_control:
        for wave, queue in enumerate(CONTROL_QUEUES, start=1):
            ceiling, share = until + ends[wave] - ends[0], had[wave] + ends[wave] - ends[wave - 1]
            plan.append(Phase(queue=queue, strategy=options.strategy, ceiling=ceiling, wave=wave, share=share))
        plan.append(Phase(queue=Queue.MAIN, strategy=options.strategy, ceiling=None))
    return plan


def spent_before(conn: Connection, options: Options, budget: int, run_id: int) -> Spent:
    """Return what a run had used when its budget was cut into these shares, by now where it was not.

    So a run that goes on under the same terms comes to the same phases, also where one ended a few credits short.
    """
    found: Any = json.loads(runs.recall(conn, CUT) or "{}")
    if found.get("terms") == _terms(options, budget, run_id):
        return Spent(**found["spent"])
    return Spent(in_all=runs.read_credits(conn, run_id).used, by_queue=sampling.used_by_queue(conn, run_id))


def cut(conn: Connection, options: Options, run_id: int) -> None:
    """Keep what the phases of a run are cut from, under the terms that it has now, where it has more than one."""
    if not any(options.shares):
        return
    budget = runs.read_credits(conn, run_id).budget
    spent = spent_before(conn, options, budget, run_id)
    runs.keep(conn, CUT, json.dumps({"terms": _terms(options, budget, run_id), "spent": asdict(spent)}))


def _terms(options: Options, budget: int, run_id: int) -> list[float]:
    return [run_id, budget, options.caps.retry_reserve, *options.shares]


def coming(conn: Connection, options: Options, run_id: int) -> list[Phase]:
    """Return the phases of a run that are not over, the last one in any case."""
    credits = runs.read_credits(conn, run_id)
    every = phases(options, credits.budget, spent=spent_before(conn, options, credits.budget, run_id))
    return [phase for phase in every[:-1] if phase.ceiling is None or credits.used < phase.ceiling] + every[-1:]
