"""Edge lists in files: `source<TAB>target`, one follow a line, plain or gzip.

Invariant: what is returned are accounts that can be asked for; everything else raises UnreadableGraph.
"""

from __future__ import annotations

import gzip
import io
import zlib
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from socialfetch import handle
from socialfetch.simulator.errors import UnreadableGraph

LARGEST = 2**30
"""Bytes that a gzip file may unpack to."""

_GZIP = b"\x1f\x8b"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_EXPECTED = "expected source<TAB>target"
_LARGEST = np.iinfo(np.int64).max


class EdgeList(msgspec.Struct, frozen=True):
    """Follows as a file tells them: repeated lines and self-follows still in it."""

    handles: list[str]
    """Every account named, each once."""
    source: NDArray[np.int64]
    """Who follows, as a place in `handles`."""
    target: NDArray[np.int64]
    """Who is followed, as a place in `handles`."""


def read(path: Path) -> EdgeList:
    """Read an edge list. An integer id `i` becomes the handle `u<i>`, a text id its normalised self.

    Blank lines are passed over. Raises UnreadableGraph.
    """
    content = _content(path)
    return _read_integers(content) or _read_lines(path, content)


def _content(path: Path) -> bytes:
    """Return the bytes of the file, unpacked."""
    try:
        content = path.read_bytes()
        if content.startswith(_GZIP):
            with gzip.GzipFile(fileobj=io.BytesIO(content)) as packed:
                content = packed.read(LARGEST + 1)
            if len(content) > LARGEST:
                raise UnreadableGraph(path, f"it unpacks to more than {LARGEST:,} bytes")
        elif path.suffix == ".gz":
            raise UnreadableGraph(path, "the name ends in .gz, but the file is not gzip")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UnreadableGraph(path, f"the gzip file is damaged or cut short ({error})") from error
    except OSError as error:
        raise UnreadableGraph(path, error.strerror or str(error)) from error
    if b"\0" in content:
        raise UnreadableGraph(path, "a binary file, not a list of lines")
    return content.removeprefix(_BYTE_ORDER_MARK).replace(b"\r\n", b"\n").rstrip(b"\n")


def _read_integers(content: bytes) -> EdgeList | None:
    """Read lines of two plain integers at once; None if there is anything else, which is then read line by line."""
    separators = content.translate(None, b"0123456789")
    if separators != b"\t\n" * (len(separators) // 2) + b"\t":
        return None
    ids = np.fromstring(content.decode("ascii"), dtype=np.int64, sep=" ")
    if len(ids) != 2 * (content.count(b"\n") + 1) or ids.max() == _LARGEST:
        return None  # a field is empty, or a number is larger than 64 bits
    known, places = np.unique(ids, return_inverse=True)
    return EdgeList(handles=[f"u{i}" for i in known.tolist()], source=places[0::2], target=places[1::2])


def _read_lines(path: Path, content: bytes) -> EdgeList:
    """Read line by line: slower, takes every kind of id and knows which line is wrong."""
    places: dict[str, int] = {}
    place_of_id: dict[str, int] = {}
    numbers: dict[str, bool] = {}
    ends: list[int] = []
    for number, raw in enumerate(content.split(b"\n"), start=1):
        try:
            line = raw.decode()
        except UnicodeDecodeError as error:
            shown = raw.decode(errors="replace")
            raise UnreadableGraph(path, "the line is not UTF-8", line_number=number, line=shown) from error
        if not line.strip():
            continue
        fields = line.split("\t")
        if len(fields) != 2:
            problem = f"{_EXPECTED}, found {len(fields)} field{'s' if len(fields) > 1 else ''}"
            raise UnreadableGraph(path, problem, line_number=number, line=line)
        for field in fields:
            place = place_of_id.get(field)
            if place is None:
                try:
                    name = _handle(field)
                except handle.InvalidHandle as error:
                    problem = f"{_EXPECTED}, found an id that is no handle ({error.problem})"
                    raise UnreadableGraph(path, problem, line_number=number, line=line) from error
                if numbers.setdefault(name, _is_number(field)) is not _is_number(field):
                    problem = f"a number and a text mean the same account, {name}: write all of them one way"
                    raise UnreadableGraph(path, problem, line_number=number, line=line)
                place = place_of_id[field] = places.setdefault(name, len(places))
            ends.append(place)
    if not ends:
        raise UnreadableGraph(path, "the file is empty")
    pairs = np.array(ends, dtype=np.int64)
    return EdgeList(handles=list(places), source=pairs[0::2], target=pairs[1::2])


def _handle(field: str) -> str:
    """Return the handle of an id as written."""
    text = field.strip()
    if _is_number(field):
        return handle.parse(f"u{text.lstrip('0') or '0'}")
    return handle.parse(text)


def _is_number(field: str) -> bool:
    text = field.strip()
    return text.isascii() and text.isdigit()
