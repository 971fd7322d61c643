"""The text of config.toml, written from the settings themselves so that it cannot say anything else than they do."""

from __future__ import annotations

import inspect
import json
import textwrap

from pydantic.fields import FieldInfo

from cli import durations
from cli.settings import DURATION, example_of, sections

_HEAD = """\
# Settings of followgraph, each at its default. Take away the "#" before a setting to change it.
# A flag goes before the environment (FOLLOWGRAPH_CRAWL__RATE=5), the environment before this file.
"""
_WIDTH = 118


def render() -> str:
    """Return config.toml: every setting commented out at its default, under one line of why and its unit."""
    lines = [_HEAD]
    for name, section in sections().items():
        lines += _comment(inspect.getdoc(section) or "")
        lines.append(f"[{name}]")
        for key, field in section.model_fields.items():
            lines += _comment(field.description or "")
            lines.append(f"#{key} = {_value(field)}")
        lines.append("")
    return "\n".join(lines)


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(text, _WIDTH - 2)]


def _value(field: FieldInfo) -> str:
    default = field.default
    if default is None:
        return f"{json.dumps(example_of(field))}  # an example: not set"
    if DURATION in field.metadata:
        return json.dumps(durations.written(default))
    return json.dumps(default)
