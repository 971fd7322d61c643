"""The API key: read from the environment or from a private file, never from a flag, never shown.

Invariant: an error about a key names where it was looked for, never what was found.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from cli.config import ConfigError, Mistake
from cli.escaping import escaped
from cli.settings import Settings
from cli.wording import KEY_VARIABLE

_LONGEST = 4096
"""Bytes of a key file read at most."""

CONTAINER_SECRETS = Path("/run/secrets")
"""Where container engines put secrets."""

_LONG = 16
"""Characters of a key of which four may be shown."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key and where it came from. Printing it shows neither the key nor its length."""

    secret: SecretStr
    origin: str
    """`SOCIALFETCH_API_KEY` or the path of the key file."""

    @property
    def told(self) -> str:
        """Return `ends …9f2c, from SOCIALFETCH_API_KEY`: enough to tell two keys apart.

        Nothing is shown of a key too short to stay a secret without its end.
        """
        text = self.secret.get_secret_value()
        ending = f"ends …{text[-4:]}, " if len(text) >= _LONG else ""
        return f"{ending}from {self.origin}"


def find(settings: Settings, environ: Mapping[str, str]) -> Key | None:
    """Return the key, None where nobody gave one. Raises ConfigError for one that cannot be used."""
    given = environ.get(KEY_VARIABLE, "").strip()
    if given:
        return Key(SecretStr(_checked(given, KEY_VARIABLE)), KEY_VARIABLE)
    if settings.api.key_file is None:
        return None
    source = escaped(settings.api.key_file)
    path = Path(settings.api.key_file).expanduser()
    content = _content(path, source, is_handed_over=is_handed_over(path, environ))
    return Key(SecretStr(_checked(content, source)), source)


def is_handed_over(path: Path, environ: Mapping[str, str]) -> bool:
    """Tell whether a secret was given by systemd or a container engine, which say by whom it can be read, not we.

    They keep it where only the service gets in, and often hand it over readable by its group or by all.
    """
    places = [CONTAINER_SECRETS, *(Path(place) for place in [environ.get("CREDENTIALS_DIRECTORY")] if place)]
    return any(path.absolute().is_relative_to(place) for place in places)


def _checked(text: str, source: str) -> str:
    # A line break inside a header is an attack or a damaged file; aiohttp would quote the key in its complaint.
    if not text.isascii() or not text.isprintable() or " " in text:
        raise _unusable(source, "holds signs that no key holds; a key is one line of letters, digits and '_'")
    return text


def _content(path: Path, source: str, *, is_handed_over: bool) -> str:
    try:
        # Non-blocking: a pipe in the file's place must not make us wait for ever.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except OSError as error:
        raise _unusable(source, f"cannot be read: {error.strerror}") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise _unusable(source, "is not a regular file")
        if os.name == "posix" and status.st_mode & 0o077 and not is_handed_over:
            raise _unusable(
                source, f"can be read by others (mode {status.st_mode & 0o777:03o}); run: chmod 600 {source}"
            )
        content = os.read(descriptor, _LONGEST + 1)
    finally:
        os.close(descriptor)
    if len(content) > _LONGEST:
        raise _unusable(source, f"is larger than {_LONGEST:,} bytes: not a file that holds one key")
    try:
        text = content.decode("ascii").strip()
    except UnicodeDecodeError:
        raise _unusable(source, "is not text: not a file that holds one key") from None
    if not text:
        raise _unusable(source, "is empty; it holds the key, alone on its line")
    return text


def _unusable(source: str, problem: str) -> ConfigError:
    key = None if source == KEY_VARIABLE else "api.key_file"
    return ConfigError([Mistake(source=source, key=key, problem=problem)])
