"""The phases of a run: an audit first, then the strategy, then the waves of a control sample, then what is left.

A phase is the rule by which entries are taken and the credits of the run at which it ends. Shares are of what the
budget has for first calls: a run that is continued, with another budget even, gives each phase what it lacks of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
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


def phases(options: Options, budget: int, *, used: Mapping[str, int]) -> list[Phase]:
    """Return the phases of a run with this budget (credits), of which it had `used` so many by queue when it was cut.

    The shares of the audit and of the control sample are of what the reserve for retries leaves.
    """
    strategy = options.strategy
    to_spend = max(0, budget - options.caps.retry_reserve)
    for_control = round(options.control * to_spend)
    bounds = [round(for_control * wave / len(CONTROL_QUEUES)) for wave in range(len(CONTROL_QUEUES) + 1)]
    shares = [until - since for since, until in pairwise(bounds)]
    lacking = [max(0, share - used.get(queue, 0)) for queue, share in zip(CONTROL_QUEUES, shares, strict=True)]
    ceiling = to_spend - sum(lacking)
    for_audit = max(0, round(options.audit * to_spend) - used.get(Queue.AUDIT, 0))
    up_to = sum(used.values()) + for_audit
    plan = [Phase(queue=Queue.AUDIT, strategy=Expansion.name, ceiling=up_to)] if for_audit else []
    plan.append(Phase(queue=Queue.MAIN, strategy=strategy, ceiling=ceiling if for_control else None))
    if for_control:
        for wave, (queue, share) in enumerate(zip(CONTROL_QUEUES, shares, strict=True), start=1):
            ceiling += lacking[wave - 1]
            plan.append(Phase(queue=queue, strategy=strategy, ceiling=ceiling, wave=wave, share=share))
        plan.append(Phase(queue=Queue.MAIN, strategy=strategy, ceiling=None))
    return plan


def used_before(conn: Connection, options: Options, budget: int, run_id: int) -> Mapping[str, int]:
    """Return what a run had used by queue when its budget was cut into these shares, by now where it was not.

    So a run that goes on under the same terms comes to the same phases, also where one ended a few credits short.
    """
    found: Any = json.loads(runs.recall(conn, CUT) or "{}")
    used: Mapping[str, int] = found.get("used", {})
    return used if found.get("terms") == _terms(options, budget, run_id) else sampling.used_by_queue(conn, run_id)


def cut(conn: Connection, options: Options, run_id: int) -> None:
    """Keep what the phases of a run are cut from, under the terms that it has now."""
    budget = runs.read_credits(conn, run_id).budget
    used = used_before(conn, options, budget, run_id)
    runs.keep(conn, CUT, json.dumps({"terms": _terms(options, budget, run_id), "used": used}))


def _terms(options: Options, budget: int, run_id: int) -> list[float]:
    return [run_id, budget, options.caps.retry_reserve, options.audit, options.control]


def coming(conn: Connection, options: Options, run_id: int) -> list[Phase]:
    """Return the phases of a run that are not over, the last one in any case."""
    credits = runs.read_credits(conn, run_id)
    every = phases(options, credits.budget, used=used_before(conn, options, credits.budget, run_id))
    return [phase for phase in every[:-1] if phase.ceiling is None or credits.used < phase.ceiling] + every[-1:]
