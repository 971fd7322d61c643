"""What the value of a setting may be: kinds with their checks, and the words for what each takes.

What is wrong is a ValueError without the value: `cli/wording.py` says which setting it was and what to give instead.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from ipaddress import ip_address
from typing import Annotated
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

from cli import durations


@dataclass(frozen=True, slots=True)
class Allowed:
    """What a setting takes, in words, where type and bounds do not say it."""

    words: str


@dataclass(frozen=True, slots=True)
class Choices:
    """Names of which a setting takes one, where they stand elsewhere: asked for when a value is checked or refused."""

    names: Callable[[], Sequence[str]]


def _strategies() -> Sequence[str]:
    from crawler.strategies import registry  # noqa: PLC0415 - start-up

    return tuple(registry.CHOICES)


def _strategy(value: str) -> str:
    if value not in _strategies():
        raise ValueError("no strategy has this name")
    return value


def _seconds(value: object) -> float:
    """Read a duration. A bare number is refused: nobody remembers whether it meant seconds or minutes."""
    if not isinstance(value, str):
        raise ValueError("a duration names its unit")
    try:
        return durations.parse(value)
    except ValueError:
        raise ValueError("a duration names its unit") from None


def _address(value: str) -> str:
    """Check the API's address: nothing in it may leak the key or lead elsewhere than it reads."""
    if not value.isascii() or not value.isprintable() or " " in value or "\\" in value:
        raise ValueError("the address holds signs that no address holds")
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("this cannot be read as an address") from None
    if parts.username is not None or parts.password is not None:
        raise ValueError("an address with a name or password in it ends in logs; the key has its own place")
    if parts.scheme not in {"http", "https"} or not host:
        raise ValueError("the address begins with https:// and names a host")
    if parts.query or parts.fragment:
        raise ValueError("the address ends with the path: no '?' and no '#'")
    if parts.scheme == "http" and not _is_this_machine(host):
        raise ValueError("plain http would send the key in clear over the network; use https")
    return value.rstrip("/")


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _place(value: str) -> str:
    if not value.strip() or "\0" in value:
        raise ValueError("empty, or not a path")
    return value


def _listen(value: str) -> str:
    host, _, port = value.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise ValueError("an address and a port, with a colon between")
    return value


def _key_file(value: str) -> str:
    if value.strip().startswith("sfk_"):
        raise ValueError("this is a key, not the path of a file that holds one")
    return _place(value)


def _tuple(value: object, where: ValidationInfo) -> object:
    """Read a list; in a variable and on the command line its parts are separated by commas, in brackets or not."""
    if isinstance(value, str):
        if where.mode == "python":  # a file has lists of its own
            raise ValueError("text, not a list")
        if not value.strip():
            raise ValueError("empty")
        inside = value.strip().removeprefix("[").removesuffix("]").strip()
        words = tuple(part.strip().strip("\"'") for part in inside.split(",")) if inside else ()
        if not all(words):  # left out, what comes after it would move to its place
            raise ValueError("nothing stands between two commas, or after the last")
        return words
    return tuple(value) if isinstance(value, list) else value


def _word(value: str) -> str:
    if not value.strip():
        raise ValueError("a part of it is empty")
    return value


def _time_zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ValueError, OSError, KeyError):
        raise ValueError("no time zone has this name") from None
    return value


def _pattern(value: str) -> str:
    if not value:
        raise ValueError("empty: no handle matches it")
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"this is no regular expression: {error}") from None
    return value


def _command(value: str) -> str:
    try:
        words = shlex.split(value)
    except ValueError as error:
        raise ValueError(f"this is no command: {error}") from None
    if not words:
        raise ValueError("empty")
    return value


def _text(value: str) -> str:
    if not value.strip() or not value.isprintable() or len(value) > _LONGEST_TEXT:
        raise ValueError(f"empty, longer than {_LONGEST_TEXT} signs, or more than one line")
    return value


_LONGEST_TEXT = 500


def _day(value: str) -> str:
    try:
        return date.fromisoformat(value).isoformat()
    except ValueError:
        raise ValueError("not a day of the calendar") from None


def _doi(value: str) -> str:
    """Read a DOI as it is copied from anywhere: bare, behind `doi:`, or as an address."""
    bare = re.sub(r"^(https?://(dx\.)?doi\.org/|doi:\s*)", "", value.strip(), flags=re.IGNORECASE)
    if not re.fullmatch(r"10\.\d{4,9}(\.\d+)*/\S+", bare) or not bare.isprintable() or len(bare) > _LONGEST_TEXT:
        raise ValueError("a DOI begins with 10., has a slash, and no blanks")
    return bare


DURATION = Allowed('a duration such as "90s", "10m", "2h" or "1d"')

StrategyName = Annotated[str, AfterValidator(_strategy), Choices(_strategies)]
Duration = Annotated[float, BeforeValidator(_seconds), DURATION]
Address = Annotated[
    str, AfterValidator(_address), Allowed('an https address, or plain http to this machine ("http://127.0.0.1:8765")')
]
KeyFile = Annotated[str, AfterValidator(_key_file), Allowed("the path of a file that holds the key")]
Words = Annotated[
    tuple[Annotated[str, AfterValidator(_word)], ...],
    BeforeValidator(_tuple),
    Allowed('a list such as ["DE", "AT"], of which a flag takes one at a time'),
]
Caps = Annotated[
    tuple[Annotated[int, Field(ge=0, le=10**12)], ...],
    BeforeValidator(_tuple),
    Allowed("a list of whole numbers such as [10, 500, 1000]"),
]
TimeZone = Annotated[str, AfterValidator(_time_zone), Allowed('a time zone such as "UTC" or "Europe/Berlin"')]
Listen = Annotated[str, AfterValidator(_listen), Allowed('an address and a port ("127.0.0.1:8787")')]
Pattern = Annotated[str, AfterValidator(_pattern), Allowed("a regular expression")]
YesNo = Annotated[bool, Allowed("true or false")]
Command = Annotated[str, AfterValidator(_command), Allowed('a command with its arguments ("/usr/local/bin/tell-me")')]
Place = Annotated[str, AfterValidator(_place), Allowed("a path")]
Text = Annotated[str, AfterValidator(_text), Allowed("a line of text in quotes")]
Doi = Annotated[str, AfterValidator(_doi), Allowed('a DOI in quotes, such as "10.5281/zenodo.1234567"')]
Day = Annotated[str, AfterValidator(_day), Allowed('a day in quotes, such as "2028-12-31"')]
