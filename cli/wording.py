"""What is wrong with a setting and what it takes, in words. A value that might be a secret is never shown."""

from __future__ import annotations

import difflib
import json
import types
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from cli.escaping import shortened
from cli.settings import Allowed, Choices, every, sections

KEY_VARIABLE = "SOCIALFETCH_API_KEY"


def refusal(key: str, value: object, error: ValidationError) -> str:
    """Say what was written, what is wrong with it and what is allowed."""
    first = error.errors()[0]
    reason = f" ({first['ctx']['error']})" if first["type"] == "value_error" else ""
    choices = _choices(every()[key])
    near = _near(value, choices) if isinstance(value, str) and choices else ""
    return f"{_shown(value)} is not allowed{reason}; give {allowed(key)}{near}"


def _shown(value: object) -> str:
    """Write a value as it may be printed: a key or a password put in the wrong place must not end in a log."""
    if isinstance(value, str):
        if _is_secret(value) or "@" in value or "?" in value:
            return "the value (not shown)"
        return f'"{shortened(value)}"'
    if isinstance(value, dict):
        return "a table"
    return shortened(json.dumps(value, default=str))


def named(name: str) -> str:
    """Return a name that somebody wrote, as it may be printed: the key itself may stand in a name's place."""
    return "(a key)" if _looks_like_key(name) else shortened(name)


def allowed(key: str) -> str:
    """Return in words what a setting takes: type and bounds."""
    field = every()[key]
    choices = _choices(field)
    if choices:
        return _listed(choices)
    for part in _metadata(field):
        if isinstance(part, Allowed):
            return part.words
    return {bool: "true or false", int: "a whole number", float: "a number"}[_kind(field)] + _bounds(field)


def _bounds(field: FieldInfo) -> str:
    found: dict[str, Any] = {}
    for part in _metadata(field):
        for name in ("ge", "gt", "le", "lt"):
            if hasattr(part, name):
                found[name] = getattr(part, name)
    words = []
    if "ge" in found:
        words.append(f"from {found['ge']:,}")
    if "gt" in found:
        words.append(f"above {found['gt']:,}")
    if "le" in found:
        words.append(f"to {found['le']:,}")
    if "lt" in found:
        words.append(f"below {found['lt']:,}")
    return "".join(f" {part}" for part in words)


def _kind(field: FieldInfo) -> Any:
    return _parts(field.annotation)[0]


def _metadata(field: FieldInfo) -> list[object]:
    return [*field.metadata, *_parts(field.annotation)[1]]


def _parts(annotation: Any) -> tuple[Any, list[object]]:
    """Take `Annotated[T, …] | None` apart into T and what it is annotated with."""
    if get_origin(annotation) in {Union, types.UnionType}:
        annotation = next(arm for arm in get_args(annotation) if arm is not type(None))
    if get_origin(annotation) is Annotated:
        kind, *metadata = get_args(annotation)
        return kind, metadata
    return annotation, []


def _choices(field: FieldInfo) -> Sequence[str]:
    kind = _kind(field)
    if get_origin(kind) is Literal:
        return get_args(kind)
    return next((part.names() for part in _metadata(field) if isinstance(part, Choices)), ())


def _listed(words: Sequence[str]) -> str:
    quoted = [f'"{word}"' for word in words]
    return " or ".join([", ".join(quoted[:-1]), quoted[-1]] if len(quoted) > 1 else quoted)


def _near(written: str, known: Iterable[str]) -> str:
    found = difflib.get_close_matches(written, list(known), n=1)
    return f"; did you mean {found[0]}?" if found else ""


def unknown_section(name: str, table: object) -> str:
    """Say what is wrong with a top-level name of the file."""
    if _is_secret(name):
        return f"no such section{_key_hint()}"
    if not isinstance(table, dict):
        # A setting written above the first [section], or without one.
        homes = [key for key in every() if key.endswith(f".{name}")]
        if homes:
            section, _, key = homes[0].partition(".")
            return f"no such section; did you mean {key} under [{section}]?"
    return f"no such section; there are {', '.join(sections())}{_near(name, sections())}"


def unknown_key(dotted: str) -> str:
    """Say what is wrong with a name inside a section."""
    if _is_secret(dotted.partition(".")[2]):
        return f"no such setting{_key_hint()}"
    section, _, name = dotted.partition(".")
    siblings = [key for key in every() if key.startswith(f"{section}.")]
    near = difflib.get_close_matches(name, [key.partition(".")[2] for key in siblings], n=1)
    if near:
        return f"no such setting; did you mean {section}.{near[0]}?"
    elsewhere = [key for key in every() if key.partition(".")[2] == name]
    return "no such setting" + (f"; did you mean {elsewhere[0]}?" if elsewhere else "")


def unknown_variable(name: str, known: Iterable[str]) -> str:
    """Say what is wrong with an environment variable of ours that sets nothing."""
    return "no such setting" + (_key_hint() if _is_secret(name) else _near(name, known))


def _is_secret(text: str) -> bool:
    """Say whether a name or a value looks like the API's key."""
    bare = text.lower().removeprefix("followgraph_").replace("__", "_")
    return _looks_like_key(text) or bare in {"key", "api_key", "apikey", "api_api_key", "token", "secret"}


def _looks_like_key(text: str) -> bool:
    return "sfk_" in text.lower()


def _key_hint() -> str:
    return f"; the key never stands in a file of settings: put it in {KEY_VARIABLE}, or name its file in api.key_file"
