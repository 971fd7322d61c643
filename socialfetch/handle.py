"""Handles: the one way to normalise what a person or the API writes.

Invariant: a normalised handle is what is sent and stored.
"""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

MAX_LENGTH = 128
"""Longest handle the API takes, in characters."""

_ALLOWED = re.compile(r"[\w.\-]+", re.UNICODE)


class InvalidHandle(ValueError):
    """Not a handle. `given` is the text as written, `problem` says what is wrong with it."""

    def __init__(self, given: str, problem: str) -> None:
        super().__init__(f"{given!r}: {problem}")
        self.given = given
        self.problem = problem


def normalise(text: str) -> str:
    """Return the handle in the form that is sent and stored: no `@`, no surrounding blanks, lower case."""
    return text.strip().removeprefix("@").lower()


def parse(text: str) -> str:
    """Return the handle meant by `@x`, `x` or a profile URL such as `https://www.tiktok.com/@x?lang=en`.

    A wrong handle is a paid `not_found`, so everything doubtful is refused here. Raises InvalidHandle.
    """
    given = text.strip()
    candidate = given
    if "/" in given:
        try:
            parts = urlsplit(given if "://" in given else f"https://{given}")
        except ValueError:
            raise InvalidHandle(text, "not an address that can be read") from None
        host = (parts.hostname or "").lower()
        if parts.scheme not in {"http", "https"} or not (host == "tiktok.com" or host.endswith(".tiktok.com")):
            raise InvalidHandle(text, "not a TikTok profile address; write @name or https://www.tiktok.com/@name")
        first = unquote(parts.path).strip("/").split("/")[0]
        if not first.startswith("@"):
            raise InvalidHandle(text, "the address names no profile; a profile address holds /@name")
        candidate = first
    handle = normalise(candidate)
    if not handle:
        raise InvalidHandle(text, "empty handle")
    if len(handle) > MAX_LENGTH:
        raise InvalidHandle(text, f"longer than {MAX_LENGTH} characters")
    if not _ALLOWED.fullmatch(handle):
        raise InvalidHandle(text, "a handle holds letters, digits, '_', '.' and '-' only")
    if not handle.strip("."):
        raise InvalidHandle(text, "a handle holds at least one letter or digit")
    return handle
