"""What every command gets: the settings as they were given, where to print, the clock, the key."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

from cyclopts import Parameter

from cli.output import Output
from cli.redaction import Redaction

if TYPE_CHECKING:  # pydantic and structlog: a help page does without them
    from cli.config import Configuration
    from cli.key import Key
    from cli.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One call of the command. `now` gives Unix seconds."""

    environ: Mapping[str, str]
    config_file: Path | None
    flags: Mapping[str, object]
    """Global flags that set settings, by dotted key."""
    output: Output
    now: Callable[[], float]
    redaction: Redaction

    def configure(self, flags: Mapping[str, object] | None = None) -> Configuration:
        """Read and check all settings, `flags` being the command's own by dotted key, and set up the logs.

        Raises ConfigError.
        """
        from cli import config, logs  # noqa: PLC0415 - start-up

        configuration = config.load(self.config_file, self.environ, {**self.flags, **(flags or {})})
        settings = configuration.settings
        self.redaction.add(password(settings.storage.database))
        logs.configure(
            form=settings.log.format,
            level=settings.log.level,
            stream=self.output.stderr,
            colour=self.output.errors.color_system is not None and not self.output.errors.no_color,
            now=self.now,
            redaction=self.redaction,
        )
        return configuration

    def following(self, command: str, flags: Mapping[str, object] | None = None) -> str:
        """Return what to type next, with `flags` by dotted key, and the global options that this command was given."""
        from cli.settings import flag_of  # noqa: PLC0415 - start-up

        given = [(flag_of(key) or "", value) for key, value in (flags or {}).items()]
        given += [("--config", self.config_file), ("--db", self.flags.get("storage.database"))]
        return " ".join([f"followgraph {command}", *(word for flag, value in given for word in _typed(flag, value))])

    def key(self, settings: Settings) -> Key | None:
        """Return the API key, None where nobody gave one. Raises ConfigError for one that cannot be used."""
        from cli import key  # noqa: PLC0415 - start-up

        found = key.find(settings, self.environ)
        if found is not None:
            self.redaction.add(found.secret.get_secret_value())
        return found


def _typed(flag: str, value: object) -> list[str]:
    """Return a flag as it is typed; nothing where it was not given."""
    if value is None:
        return []
    if isinstance(value, bool):
        return [flag if value else f"--no-{flag.removeprefix('--')}"]
    values = value if isinstance(value, list | tuple) else (value,)
    return [f"{flag} {shlex.quote(_spelt(each))}" for each in values]


def _spelt(value: object) -> str:
    """Return a value as a person writes it: 20, not 20.0."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


Bound = Annotated[Session, Parameter(parse=False)]
"""The annotation of a command's `session`: it comes from us, not from the command line."""


def password(database: str) -> str | None:
    """Return the password in an address, None where there is none."""
    try:
        return urlsplit(database).password if "://" in database else None
    except ValueError:
        return None
