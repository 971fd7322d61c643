"""What was charged for what: complete, never sampled."""

from __future__ import annotations

import msgspec


class Ledger(msgspec.Struct):
    """The provider's side of the account book, of the paid route."""

    charged: int = 0
    """Credits charged so far."""
    calls: int = 0
    """Calls of the paid route so far, refused ones included."""
    pages: dict[str, int] = {}
    """How often each page was charged for, by `handle|cursor`; the cursor of a first page is empty."""

    def charge(self, page: str, credits: int) -> None:
        """Charge for a page. Nothing is written for a price of 0."""
        if credits:
            self.charged += credits
            self.pages[page] = self.pages.get(page, 0) + 1
