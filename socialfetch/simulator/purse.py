"""The customer's credits: what was bought, what was charged, and what `/v1/balance` tells of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from socialfetch import wire
from socialfetch.simulator.faults import Faults
from socialfetch.simulator.ledger import Ledger

_REFILL_CREDITS = 1_000
_LAG_S = 30.0


class Purse:
    """Credits of one customer. Invariant: what is spent stands in the ledger."""

    def __init__(self, *, credits: int, faults: Faults, now: Callable[[], float]) -> None:
        self.ledger = Ledger()
        self._bought = credits
        self._faults = faults
        self._now = now
        self._lags = bool(faults.on(["balance_lags"]))
        self._recent: deque[tuple[float, int]] = deque()

    @property
    def balance(self) -> int:
        """Credits left to spend."""
        return max(0, self._bought - self.ledger.charged)

    def top_up(self, credits: int) -> None:
        """Buy credits."""
        self._bought += credits

    def charge(self, page: str, credits: int) -> None:
        """Spend credits on a page. The last page may cost more than is left."""
        self.ledger.charge(page, credits)
        if self._lags:
            self._forget_settled()
            self._recent.append((self._now(), credits))

    def can_pay(self, *call: object) -> bool:
        """Whether there is a credit to spend; an automatic top-up, where it is on, sees to it."""
        if not self.balance and self._faults.strikes("refill_on", *call):
            self.top_up(_REFILL_CREDITS)
        return self.balance > 0

    def told(self, number: int) -> wire.BalanceData:
        """Return what the `number`-th call to `/v1/balance` is told."""
        shown = self.balance
        if self._faults.strikes("balance_lags", number):
            self._forget_settled()
            shown += sum(credits for _, credits in self._recent)
        if self._faults.strikes("old_balance", number):
            return wire.BalanceData(balance=shown)
        return wire.BalanceData(
            balance=shown,
            billing_alert="none",
            payg=shown,
            payg_spendable=shown,
            grace_debt_credits=0,
            refill_state="healthy" if self._faults.strikes("refill_on", number) else None,
            subscription_included_remaining=0,
            subscription_included_total=0,
            subscription={"tier": "none", "status": "inactive"},
            collection_status="current",
        )

    def _forget_settled(self) -> None:
        while self._recent and self._recent[0][0] <= self._now() - _LAG_S:
            self._recent.popleft()
