"""A loaded graph kept beside its database, so that the next load costs a read of two arrays.

It holds numbers only, no handle or text, and may be deleted at any time. Invariant: it is used only for the very state
of the database that it was made from.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from storage.export import OutputNotWritable, replacing

Arrays = dict[str, npt.NDArray[np.generic]]

FORMAT = 1
"""Raised when the arrays change their meaning."""

_TICK_NS = 50_000_000
"""File systems tell no two writes within so many nanoseconds apart."""


def key_of(file_state: tuple[int, ...], marks: tuple[int, ...], as_of: float | None) -> str:
    """Return what the content of a cache depends on: the state of the files, the newest rows, the time asked for."""
    return json.dumps([FORMAT, file_state, marks, as_of])


def stored(path: Path, key: str) -> Arrays | None:
    """Return the arrays kept under a key, None where there are none: a damaged cache is none."""
    try:
        # Opened here, because NumPy leaves the file open when it is no archive.
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            if str(file["key"]) != key:
                return None
            return {name: file[name] for name in file.files if name != "key"}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def store(path: Path, key: str, arrays: Arrays, *, changed_ns: int) -> bool:
    """Keep arrays, readable by their owner only; return whether they are. A place that cannot be written keeps none.

    `changed_ns` is when the database was last written. So shortly after, a later write might not show in the key.
    """
    try:
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez(file, key=np.array(key), **arrays)  # type: ignore[arg-type]  # its stubs take these for flags
        is_certain = path.stat().st_mtime_ns - changed_ns > _TICK_NS
        if not is_certain:
            path.unlink()
    except (OSError, OutputNotWritable):
        return False
    return is_certain
