"""What can be wrong with a database.

DatabaseError                the database cannot be used; `hint` says what to do about it
├── NotADatabase             not SQLite, or somebody else's database
├── MissingDatabase          there is none at that place
├── NewerSchema              written by a newer program
├── OlderSchema              only reading was asked, and the tables are an older program's
├── LockedByCrawl            another crawl works on it
├── Busy                     another program holds the write lock
├── ReadOnly                 file, folder or disk refuse writing
├── DiskFull                 no room left
└── Corrupt                  the file is damaged
BudgetTooSmall               a budget below what the run has already spent or promised
"""

from __future__ import annotations


class DatabaseError(Exception):
    """The database cannot be used. `problem` says what happened, `hint` what to type next."""

    hint = "See `followgraph doctor`."

    def __init__(self, problem: str, *, hint: str | None = None) -> None:
        super().__init__(problem)
        self.problem = problem
        if hint is not None:
            self.hint = hint


class NotADatabase(DatabaseError):
    """Not SQLite, or a database of another program."""

    hint = "Name another file with --db; this one was left untouched."


class MissingDatabase(DatabaseError):
    """There is no database at that place."""

    hint = "Name the file with --db, or begin one with `followgraph seed HANDLE`."


class NewerSchema(DatabaseError):
    """Written by a newer followgraph."""

    hint = "Upgrade followgraph; the database was left untouched."


class OlderSchema(DatabaseError):
    """Only reading was asked, and the tables are an older program's."""

    hint = "Run `followgraph doctor --repair` once: it upgrades the database after a backup copy."


class LockedByCrawl(DatabaseError):
    """Another crawl works on this database."""

    hint = "Wait for it or stop it; `followgraph status` shows how far it is."


class Busy(DatabaseError):
    """Another program holds the write lock for too long."""

    hint = "Close the program that has the database open for writing, then run the command again."


class ReadOnly(DatabaseError):
    """File, folder or disk refuse writing."""

    hint = "Make the file and its folder writable, or name another place with --db."


class DiskFull(DatabaseError):
    """No room left on the disk."""

    hint = "Free some space, then run the command again: what was committed is safe."


class Corrupt(DatabaseError):
    """The file is damaged."""

    hint = "Do not write to it. `followgraph doctor` says what is damaged; restore the last backup."


class BudgetMissing(Exception):
    """A new run needs a budget and none was given."""

    def __init__(self) -> None:
        super().__init__("a new run needs a budget in credits")


class BudgetTooSmall(Exception):
    """A budget below what the run has already charged, left uncertain or reserved. All numbers are credits."""

    def __init__(self, *, budget: int, charged: int, uncertain: int, reserved: int) -> None:
        self.budget = budget
        self.charged = charged
        self.uncertain = uncertain
        self.reserved = reserved
        super().__init__(
            f"a budget of {budget:,} is less than what this run has already used: "
            f"{charged:,} charged, {uncertain:,} uncertain, {reserved:,} reserved"
        )
