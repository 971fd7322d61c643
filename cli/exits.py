"""Exit codes, a promise to scripts: what a number says stays true."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """What the process tells its caller."""

    DONE = 0
    """Done as asked, one's own budget reached included."""
    FAULT = 1
    """A fault of ours; a report was saved."""
    USAGE = 2
    """Bad input or configuration."""
    REFUSED = 3
    """The API refused: a person is needed (key, credits)."""
    GAVE_UP = 4
    """A breaker, an overcharge, or an API that cannot be reached."""
    DATABASE = 5
    """The database cannot be used, or a check of it failed."""
    INTERRUPTED = 130
    """A second Ctrl-C, or the first where nothing can be drained."""
