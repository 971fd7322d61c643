"""What can be wrong with the wish for a simulator, each with a hint for the person who typed it.

SimulatorError
├── UnreadableGraph      the edge list: missing, not gzip, empty, binary, or a line that is no follow
├── UnknownFault         no misbehaviour has this name
├── UnknownProfile       no set of misbehaviours has this name
├── InvalidRate          a rate that is no number from 0 to 1
├── InvalidSetting       a setting outside its range
├── UnknownAccount       a change to an account that the network does not have
└── AddressUnavailable   the server cannot listen there
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_SHOWN = 80
"""Characters shown of a line that cannot be read."""


class SimulatorError(Exception):
    """A simulator that cannot be made as asked. `hint` says what to do."""

    hint: str = ""


class UnreadableGraph(SimulatorError):
    """`path` is no edge list. `line_number` counts from 1, `line` is shortened; None where the whole file is wrong."""

    hint = "An edge list has lines `source<TAB>target`, plain or gzip, with integer or text ids."

    def __init__(self, path: Path, problem: str, *, line_number: int | None = None, line: str | None = None) -> None:
        where = str(path) if line_number is None else f"{path}, line {line_number:,}"
        if line is not None and len(line) > _SHOWN:
            line = line[: _SHOWN - 1] + "…"
        super().__init__(f"{where}: {problem}" if line is None else f"{where}: {problem}: {line!r}")
        self.path = path
        self.problem = problem
        self.line_number = line_number
        self.line = line


class UnknownFault(SimulatorError):
    """No misbehaviour is called `name`."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__(f"no fault is called {name!r}")
        self.name = name
        self.hint = _did_you_mean(name, known)


class UnknownProfile(SimulatorError):
    """No set of misbehaviours is called `name`."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__(f"no profile is called {name!r}")
        self.name = name
        self.hint = _did_you_mean(name, known)


class InvalidRate(SimulatorError):
    """The rate `given` for the fault `name` is no number from 0 to 1."""

    hint = "A rate is a share from 0 (never) to 1 (always): NAME=0.02."

    def __init__(self, name: str, given: object) -> None:
        shown = "missing" if given == "" else f"{given!r}, not a number from 0 to 1"
        super().__init__(f"the rate of {name!r} is {shown}")
        self.name = name
        self.given = given


class InvalidSetting(SimulatorError):
    """The setting `name` is outside its range; it takes what `expected` says."""

    def __init__(self, name: str, given: object, expected: str) -> None:
        super().__init__(f"{name} is {given!r}")
        self.name = name
        self.given = given
        self.expected = expected
        self.hint = f"{name} is {expected}."


class UnknownAccount(SimulatorError):
    """The network has no account with this handle."""

    hint = "Only accounts that are there can be changed."

    def __init__(self, handle: str) -> None:
        super().__init__(f"the network has no account {handle!r}")
        self.handle = handle


class AddressUnavailable(SimulatorError):
    """The server cannot listen on `host` and `port`."""

    hint = "Take another port, or 0 for any free one."

    def __init__(self, host: str, port: int, problem: str) -> None:
        super().__init__(f"cannot listen on {host}:{port}: {problem}")
        self.host = host
        self.port = port


def _did_you_mean(name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    close = get_close_matches(name, names, n=1)
    return f"Did you mean {close[0]}?" if close else f"Known are: {', '.join(names)}."
