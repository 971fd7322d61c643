"""What can be wrong with a database.

DatabaseError                the database cannot be used; `hint` says what to do about it
├── BadAddress               what names the database cannot be read
├── NotADatabase             not SQLite, or somebody else's database
├── MissingDatabase          there is none at that place
├── NewerSchema              written by a newer program
├── OlderSchema              only reading was asked, and the tables are an older program's
├── UnfinishedCopy           a copy into it was begun and has not ended
├── CopyDiffers              a copy is not what was copied
├── LockedByCrawl            another crawl works on it
├── AlreadyServed            another daemon lives on it
├── Busy                     another program holds the write lock
│   └── Cut                  the connection to the database server was lost, or cannot be made
├── InDoubt                  nobody can tell whether what was written last is there
├── NeedsFile                only a database in a file can do this
├── ReadOnly                 file, folder or disk refuse writing
├── DiskFull                 no room left
├── DiskFault                the disk or a limit refuses a read or a write
├── OutOfFiles               no file may be opened any more
├── UpgradeFailed            an older program's tables could not be led to the newest schema
├── NothingArchived          there are no archived answers to replay
├── ArchiveIncomplete        answers or ledger rows are missing from what is to be replayed
├── UnknownStrategy          what is to be replayed was crawled by a strategy unknown here
├── ArchiveUnreadable        an archived answer cannot be read
├── KeyUnusable              the project key is needed and is missing, exposed, or another one
└── Corrupt                  the file is damaged
CopyRefused                  a database cannot be copied, or not to that place
├── NothingToCopy            it holds nothing
├── ItsOwnCopy               the place is the database itself
├── TargetTaken              the place holds something
└── SourceChanged            it is not what it was when the copy was begun
PlaceTaken                   something stands where a copy or a new database was to be
PlaceNotWritable             a copy or a new database cannot be made there
DaemonsBudget                a daemon spends here, and another budget was asked for, or its own has nothing left
NoDaemon                     credits with a last day were given to a run
NoTotal                      a daemon's total was to be raised, and it has none
BudgetTooSmall               a budget below what the run has already spent or promised
OtherSettings                crawlers at work on the run were asked for something else
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


class DatabaseError(Exception):
    """The database cannot be used. `problem` says what happened, `hint` what to type next."""

    hint = "See `followgraph doctor`."

    def __init__(self, problem: str, *, hint: str | None = None) -> None:
        super().__init__(problem)
        self.problem = problem
        if hint is not None:
            self.hint = hint


class BadAddress(DatabaseError):
    """What names the database cannot be read: nothing was looked for."""

    hint = (
        "Mend --db or storage.database: a path, or postgresql://user@host:5432/name. "
        "In a password write @ : / # ? % as %40 %3A %2F %23 %3F %25, or keep it in ~/.pgpass or PGPASSWORD."
    )


class NotADatabase(DatabaseError):
    """Not SQLite, or a database of another program."""

    hint = "Name another database with --db; this one was left untouched."


class MissingDatabase(DatabaseError):
    """There is no database at that place."""

    hint = "Name the file with --db, or begin one with `followgraph seed HANDLE`."


class NewerSchema(DatabaseError):
    """Written by a newer followgraph."""

    hint = "Upgrade followgraph; the database was left untouched."


class OlderSchema(DatabaseError):
    """Only reading was asked, and the tables are an older program's."""

    hint = "Run `followgraph doctor --repair` once: it upgrades the database after a backup copy."


class UnfinishedCopy(DatabaseError):
    """A copy into this database was begun and has not ended: it holds a part of a study."""

    hint = "Go on with the `followgraph copy` that began it, or remove it: the database it is made of is whole."


class CopyDiffers(DatabaseError):
    """A copy is not what was copied, in these `tables`. It stays unfinished."""

    hint = "Remove the copy and make it anew. If it happens again, report this: it is a fault of ours, or of the disk."

    def __init__(self, tables: Sequence[str]) -> None:
        super().__init__(f"the copy is not what the database holds: {', '.join(tables)}")
        self.tables = tables


class LockedByCrawl(DatabaseError):
    """Another crawl works on this database."""

    hint = "Wait for it or stop it; `followgraph status` shows how far it is."


class AlreadyServed(DatabaseError):
    """Another daemon lives on the same database."""

    hint = (
        "Let crawls help it: followgraph crawl. Or end it first: followgraph drain. "
        "One that was killed gives its place free after a minute."
    )

    def __init__(self, host: str, pid: int) -> None:
        super().__init__(f"another daemon works on this database: process {pid} on {host}")


class Busy(DatabaseError):
    """Another program holds the write lock for too long."""

    hint = "Close the program that has the database open for writing, then run the command again."


class Cut(Busy):
    """The connection to the database server was lost, or cannot be made. What was not committed is not written."""

    hint = "Check the address given with --db and the server, then run the command again: what was committed is safe."


class InDoubt(DatabaseError):
    """The connection was lost while a transaction was committed, and nobody can tell whether it was."""

    hint = "Look with `followgraph status` whether it is there, and run the command again if it is not."

    def __init__(self) -> None:
        super().__init__("the connection to the database server was lost while something was written")


class NeedsFile(DatabaseError):
    """Only a database in a file can do this."""

    hint = "`followgraph copy --to FILE` makes a file of it; to keep a copy of it as it is take pg_dump."

    def __init__(self, name: str, *, hint: str | None = None) -> None:
        super().__init__(f"this works on SQLite files only, and {name} is on a PostgreSQL server", hint=hint)


class ReadOnly(DatabaseError):
    """File, folder or disk refuse writing."""

    hint = "Make the file and its folder writable, or name another place with --db."


class DiskFull(DatabaseError):
    """No room left on the disk."""

    hint = "Free some space, then run the command again: what was committed is safe."


class DiskFault(DatabaseError):
    """The disk, its quota or a limit on the size of files refuses a read or a write."""

    hint = "Check the disk, its quota and `ulimit -f`, then run the command again: what was committed is safe."


class OutOfFiles(DatabaseError):
    """This process may open no file any more."""

    hint = "Raise the limit (ulimit -n) or lower crawl.concurrency, then run the command again."


class Corrupt(DatabaseError):
    """The file is damaged."""

    hint = (
        "Do not write to it. `followgraph doctor` says what is damaged; put the last backup in its place, or write it"
        " anew from its archive: `followgraph replay --from OLD --db NEW`."
    )


class UpgradeFailed(DatabaseError):
    """A migration failed; the tables are as they were. `copy` is the backup made before."""

    hint = "The database was left as it was. Report this: it is a fault of ours, or the database was changed by hand."

    def __init__(self, problem: str, *, copy: Path) -> None:
        super().__init__(f"{problem}; a copy is at {copy}")
        self.copy = copy


class NothingArchived(DatabaseError):
    """There are no archived answers to replay."""

    hint = "Only what was crawled with storage.archive = on can be replayed."


class ArchiveIncomplete(DatabaseError):
    """Answers or ledger rows are missing from what is to be replayed."""

    hint = "A part cannot be replayed truthfully. `followgraph backup` copies the database as it is."


class UnknownStrategy(DatabaseError):
    """What is to be replayed was crawled by a strategy that this program does not have."""

    hint = "Replay it with the program that crawled it."

    def __init__(self, name: str) -> None:
        super().__init__(f"nobody here knows the strategy {name!r}")
        self.name = name


class ArchiveUnreadable(DatabaseError):
    """An archived answer cannot be read."""

    hint = "`followgraph doctor` says whether the file is damaged; if not, report this: it is a fault of ours."

    def __init__(self, ledger_id: int) -> None:
        super().__init__(f"the archived answer of ledger row {ledger_id} cannot be read")
        self.ledger_id = ledger_id


class KeyUnusable(DatabaseError):
    """The project key is needed and cannot be used: missing, exposed, or not the one of this database."""

    hint = "Put the key back where it was, or say where it is with policy.key_file. Without it nobody can be kept out."


class CopyRefused(Exception):
    """A database cannot be copied, or not to that place. `hint` says what to do about it."""

    hint = "Name an empty database: a file that does not exist yet, or a new one on a server."


class NothingToCopy(CopyRefused):
    """There is not a row in it."""

    hint = "Name the database that is to be copied with --db."

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} holds nothing yet")


class ItsOwnCopy(CopyRefused):
    """A database was to be copied to itself."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is the database that is to be copied")


class TargetTaken(CopyRefused):
    """The place of the copy holds something that is no unfinished copy."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is not empty")


class SourceChanged(CopyRefused):
    """A database is not what it was when the copy was begun, or the copy is of another one."""

    hint = "Remove the unfinished copy, let nobody work on the database that is copied, and copy it anew."


class PlaceTaken(Exception):
    """Something stands where a copy or a new database was to be; it was left alone."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} exists already")
        self.path = path


class PlaceNotWritable(Exception):
    """A copy or a new database cannot be made there."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} cannot be written: {reason}")
        self.path = path


class DaemonsBudget(Exception):
    """A daemon spends on this database: whoever crawls beside it takes part in its budget."""

    def __init__(self, problem: str, *, hint: str) -> None:
        super().__init__(problem)
        self.hint = hint


class NoDaemon(Exception):
    """Credits with a last day were given to a run: only a daemon counts days."""

    hint = "Leave --until out."

    def __init__(self, until: str) -> None:
        super().__init__(f"--until {until}: only a daemon's credits have a last day")


class NoTotal(Exception):
    """A daemon's total was to be raised, and it has none."""

    hint = "What it may spend a day is budget.per_day: change it on its page, or in config.toml and reload."

    def __init__(self) -> None:
        super().__init__("the daemon has no total that could be raised")


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


class OtherSettings(Exception):
    """Crawlers at work on the run were asked for something else, by `name`: one frontier has one order."""

    def __init__(self, name: str, *, theirs: object, ours: object) -> None:
        super().__init__(f"crawlers at work here have {name} = {theirs!r}; this one was asked for {ours!r}")
        self.name = name
