"""The lock of the one program that works on a database: a file beside it, and the database file itself.

The kernel gives both back when a process ends, however it ends. The file beside it serves every name that leads to the
same path; the lock on the database itself also serves other names of the same file, and a lock file that was deleted.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from filelock import FileLock, Timeout

from storage import errors

if sys.platform != "win32":
    import fcntl


_PATIENCE_S = 0.2
"""Long enough for somebody who only looks whether the lock is held."""


class Held:
    """A lock that was taken. `release` gives it back, after every connection to the database was closed."""

    def __init__(self, beside: FileLock, file: int | None) -> None:
        self._beside = beside
        self._file = file

    def release(self) -> None:
        """Give the lock back. Closing any descriptor of a file ends SQLite's own locks on it in the whole process."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
        self._beside.release()


def take(path: Path) -> Held:
    """Take the database's lock. Raises LockedByCrawl and ReadOnly."""
    beside = take_beside(path)
    try:
        return Held(beside, _take_file(path))
    except BaseException:
        beside.release()
        raise


def take_beside(path: Path) -> FileLock:
    """Take the lock beside the database only: for work between whose begin and end connections stay open."""
    place = path.resolve()  # a link and what it leads to are one database
    lock = FileLock(f"{place}.lock", mode=0o600)
    try:
        lock.acquire(timeout=_PATIENCE_S, poll_interval=_PATIENCE_S / 10)
    except Timeout:
        raise errors.LockedByCrawl(f"another crawl works on {path}") from None
    except OSError as error:
        raise errors.ReadOnly(f"{place}.lock cannot be written: {error.strerror}") from error
    return lock


def is_held(path: Path) -> bool:
    """Tell whether a program works on the database just now; nothing is made or changed to find out."""
    if sys.platform == "win32":
        return False
    try:
        file = os.open(f"{path.resolve()}.lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(file)
    return False


def _take_file(path: Path) -> int | None:
    """Lock the database file itself; None where the system or the file system has no such locks.

    It is a lock of another kind than SQLite's, which neither sees nor disturbs it.
    """
    if sys.platform == "win32":
        return None
    try:
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise errors.ReadOnly(f"{path} cannot be opened: {error.strerror}") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        raise errors.LockedByCrawl(f"another crawl works on {path}, under this name or another") from None
    except OSError:
        os.close(file)
        return None
    return file
