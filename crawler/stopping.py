"""Rules that end a run before its budget because further credits bring little. Off unless asked for.

That a ranking has stopped moving is none of them: measured, it says nothing of whether the ranking is right.
"""

from __future__ import annotations

from dataclasses import dataclass

WINDOW = 200
"""Credits that the yield is taken over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRules:
    """Limits below which a run stops with `low_yield`; None is never.

    `uncrawled_share` is the part of the seeds' cash that lies on accounts not read yet (RankMass: Cho & Schonfeld 2007;
    strategies that spread cash only). `new_accounts_per_credit` is the yield of the last 200 credits.
    """

    uncrawled_share: float | None = None
    new_accounts_per_credit: float | None = None

    def by_yield(self, *, credits: int, new_accounts: int) -> str | None:
        """Return why to stop by the yield of the last credits, None while there is no reason."""
        least = self.new_accounts_per_credit
        if least is None or credits < WINDOW or new_accounts >= least * credits:
            return None
        return f"{new_accounts / credits:.3g} new accounts a credit over the last {credits:,}, limit {least:g}"

    def by_cash(self, share: float) -> str | None:
        """Return why to stop by the share of cash that lies uncrawled, None while there is no reason."""
        least = self.uncrawled_share
        if least is None or share >= least:
            return None
        return f"{share:.3g} of the seeds' cash lies on accounts not read yet, limit {least:g}"
