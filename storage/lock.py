"""The lock of the one program that works on a database, a file beside it.

The kernel gives it back when a process ends, however it ends.
"""

from __future__ import annotations

from pathlib import Path

from filelock import FileLock, Timeout

from storage import errors


def take(path: Path) -> FileLock:
    """Take the database's lock; its `release` gives it back. Raises LockedByCrawl and ReadOnly."""
    lock = FileLock(f"{path}.lock", mode=0o600)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise errors.LockedByCrawl(f"another crawl works on {path}") from None
    except OSError as error:
        raise errors.ReadOnly(f"{path}.lock cannot be written: {error.strerror}") from error
    return lock
