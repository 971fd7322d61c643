"""A file or a folder that is made under a name of its own and gets its real one when it is whole.

Invariant: nothing half made ever stands at the real name, and nothing that stands there is replaced.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from storage import errors

_BESIDE = ("", "-wal", "-shm", "-journal", ".lock")
"""What SQLite and we put beside a database, by ending."""


@contextmanager
def drafted(target: Path) -> Iterator[Path]:
    """Yield an empty file, readable by its owner only, that becomes `target` when the block ends well.

    Raises PlaceTaken where something stands there, then or at the end, and PlaceNotWritable.
    """
    if os.path.lexists(target):
        raise errors.PlaceTaken(target)
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".partial", dir=target.absolute().parent)
    except OSError as error:
        raise errors.PlaceNotWritable(target, error.strerror or str(error)) from error
    os.close(handle)
    draft = Path(name)
    try:
        yield draft
        _publish(draft, target)
    finally:
        for ending in _BESIDE:
            Path(f"{draft}{ending}").unlink(missing_ok=True)


@contextmanager
def drafted_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder beside `target`, its owner's only; it is gone at the end where nobody has given it a name.

    Raises OSError.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.", suffix=".partial"))
    try:
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _publish(draft: Path, target: Path) -> None:
    """Give the draft its name, on disk when this returns; a link, unlike a rename, never replaces a file."""
    try:
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        try:
            os.link(draft, target)
        except FileExistsError:
            raise errors.PlaceTaken(target) from None
        except OSError:  # a file system without links
            if os.path.lexists(target):
                raise errors.PlaceTaken(target) from None
            draft.rename(target)
        folder = os.open(target.absolute().parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise errors.PlaceNotWritable(target, error.strerror or str(error)) from error
