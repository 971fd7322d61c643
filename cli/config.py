"""Where a setting's value comes from: flag, then environment, then file, then default.

Invariant: every value is checked where it was written, so an error names the file, variable or flag, the key, and what
is allowed there.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import TypeAdapter, ValidationError

from cli.escaping import escaped, shortened
from cli.settings import Section, Settings, every, flag_of, sections
from cli.wording import named, refusal, unknown_key, unknown_section, unknown_variable

DEFAULT_FILE = Path("config.toml")
PREFIX = "FOLLOWGRAPH_"

DEFAULT = "default"
"""The origin of a value that nobody set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """One thing wrong. `source` is a file, a variable or a flag; `problem` says what is allowed there."""

    source: str
    key: str | None = None
    problem: str

    def __str__(self) -> str:
        place = self.source if self.key is None else f"{self.source}: {self.key}"
        return f"{place}: {self.problem}"


class ConfigError(Exception):
    """The configuration cannot be used. `mistakes` holds all that was found at once."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        super().__init__("\n".join(str(mistake) for mistake in mistakes))
        self.mistakes = tuple(mistakes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """Checked settings, and for each dotted key where its value was written."""

    settings: Settings
    origins: Mapping[str, str]
    file: Path | None

    def outweighs(self, key: str, other: str) -> bool:
        """Tell whether one key was given somewhere stronger than another: flag, then environment, then file."""
        return _strength(self.origins[key]) > _strength(self.origins[other])

    def whence(self, key: str) -> str:
        """Return `from --budget`, `from config.toml`, … or `the default`, to stand beside a value."""
        origin = self.origins[key]
        return "the default" if origin == DEFAULT else f"from {origin}"


def _strength(origin: str) -> int:
    """Return how strong a place is to write a value: a flag, then a variable, then a file, then none."""
    return 3 if origin.startswith("--") else 2 if origin.startswith(PREFIX) else int(origin != DEFAULT)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Written:
    """A value as it was written. `as_text`: where everything is text, as in a variable."""

    key: str
    value: object
    source: str
    names_key: bool
    as_text: bool = False


def load(file: Path | None, environ: Mapping[str, str], flags: Mapping[str, object]) -> Configuration:
    """Read and check all settings. `file` None means ./config.toml where there is one.

    `flags` maps dotted keys to what was given on the command line; None is "not given". Raises ConfigError.
    """
    chosen = file if file is not None else DEFAULT_FILE if DEFAULT_FILE.exists() else None
    mistakes: list[Mistake] = []
    tree: dict[str, dict[str, Any]] = {name: {} for name in sections()}
    origins = dict.fromkeys(every(), DEFAULT)
    # From the weakest to the strongest; a weaker value is checked even where a stronger one hides it.
    for given in (*_from_file(chosen), *_from_environment(environ), *_from_flags(flags)):
        if isinstance(given, Mistake):
            mistakes.append(given)
            continue
        try:
            value = _checked(given)
        except ValidationError as error:
            problem = refusal(given.key, given.value, error)
            mistakes.append(Mistake(source=given.source, key=None if given.names_key else given.key, problem=problem))
        else:
            section, _, name = given.key.partition(".")
            tree[section][name] = value
            origins[given.key] = given.source
    if mistakes:
        raise ConfigError(mistakes)
    # The values were checked one by one; durations are seconds by now and must not be read a second time.
    built: dict[str, Any] = {name: section.model_construct(**tree[name]) for name, section in sections().items()}
    return Configuration(settings=Settings.model_construct(**built), origins=origins, file=chosen)


def variable(key: str) -> str:
    """Return the environment variable of a dotted key."""
    return PREFIX + key.replace(".", "__").upper()


def _from_file(path: Path | None) -> Iterator[_Written | Mistake]:
    if path is None:
        return
    source = escaped(str(path))
    document = _parsed(path)
    if isinstance(document, str):
        yield Mistake(source=source, problem=document)
        return
    for name, table in document.items():
        if name not in sections():
            yield Mistake(source=source, key=named(name), problem=unknown_section(name, table))
        elif not isinstance(table, dict):
            yield Mistake(source=source, key=name, problem=f"this is a section: write [{name}] on a line of its own")
        else:
            for key, value in table.items():
                dotted = f"{name}.{key}"
                if dotted in every():
                    yield _Written(key=dotted, value=value, source=source, names_key=False)
                else:
                    yield Mistake(source=source, key=named(dotted), problem=unknown_key(dotted))


def _parsed(path: Path) -> dict[str, Any] | str:
    """Return the file's content, or what is wrong with it."""
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    except UnicodeDecodeError:
        return "this is not TOML: it is not UTF-8 text"
    except tomllib.TOMLDecodeError as error:
        return f"this is not TOML: {shortened(str(error), 200)}"
    except RecursionError:
        return "this is not TOML that anybody wrote: nested too deep"


def _from_environment(environ: Mapping[str, str]) -> Iterator[_Written | Mistake]:
    known = {variable(key): key for key in every()}
    for name, text in sorted(environ.items()):
        if not name.startswith(PREFIX):
            continue
        if name not in known:
            yield Mistake(source=named(name), problem=unknown_variable(name, known))
        elif text.strip():  # an empty variable is what `${NAME:-}` leaves behind: not set
            yield _Written(key=known[name], value=text, source=name, names_key=True, as_text=True)


def _from_flags(flags: Mapping[str, object]) -> Iterator[_Written]:
    for key, value in flags.items():
        if value is not None:
            as_text = isinstance(value, str)  # a list comes as one word, as in a variable
            yield _Written(key=key, value=value, source=flag_of(key) or key, names_key=True, as_text=as_text)


@cache
def _adapter(key: str) -> TypeAdapter[Any]:
    field = every()[key]
    # Strictness is the model's: in a file "20" is not a number and true is not 1.
    kind: Any = Annotated[field.annotation, field]
    return TypeAdapter(kind, config=Section.model_config)


def _checked(given: _Written) -> Any:
    adapter = _adapter(given.key)
    return (
        adapter.validate_strings(given.value, strict=False) if given.as_text else adapter.validate_python(given.value)
    )
