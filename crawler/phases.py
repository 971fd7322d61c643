"""The phases of a run: an audit first, then the strategy, then the waves of a control sample, then what is left.

A phase is the rule by which entries are taken and the credits of the run at which it ends. Shares are of what the
budget has for first calls, so that a run that is continued comes to the same phases, and all pay for the reserve alike.
"""

from __future__ import annotations

from dataclasses import dataclass

from crawler.strategies.expansion import Expansion
from storage.sampling import CONTROL_QUEUES
from storage.schema import Queue


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """One phase. `ceiling` is in credits of the run, all phases before it included; None is the run's budget, which can
    be raised meanwhile. `wave` numbers a control wave.
    """

    queue: str
    strategy: str
    ceiling: int | None
    wave: int | None = None


def phases(budget: int, *, strategy: str, audit: float, control: float, reserve: int) -> list[Phase]:
    """Return the phases of a run with this budget (credits), of which so many are a `reserve` for retries.

    `audit` and `control` are shares of the rest.
    """
    to_spend = max(0, budget - reserve)
    for_audit = round(audit * to_spend)
    for_control = round(control * to_spend)
    for_main = to_spend - for_control if for_control else None
    main = Phase(queue=Queue.MAIN, strategy=strategy, ceiling=for_main)
    plan = [Phase(queue=Queue.AUDIT, strategy=Expansion.name, ceiling=for_audit)] if for_audit else []
    plan.append(main)
    if for_main is not None:
        plan += [
            Phase(
                queue=queue,
                strategy=strategy,
                ceiling=for_main + round(for_control * wave / len(CONTROL_QUEUES)),
                wave=wave,
            )
            for wave, queue in enumerate(CONTROL_QUEUES, start=1)
        ]
        plan.append(Phase(queue=Queue.MAIN, strategy=strategy, ceiling=None))
    return plan
