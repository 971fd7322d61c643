"""The phases of a run: an audit first, then the strategy, then the waves of a control sample, then what is left.

A phase is the rule by which entries are taken and the credits of the run at which it ends. Shares are of the budget, so
that a run that is continued, with another budget even, comes to the same phases.
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


def phases(budget: int, *, strategy: str, audit: float, control: float) -> list[Phase]:
    """Return the phases of a run with this budget (credits); `audit` and `control` are shares of it."""
    for_audit = round(audit * budget)
    for_control = round(control * budget)
    for_main = budget - for_control if for_control else None
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
