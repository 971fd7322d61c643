"""What a command prints: text for people, or with --json one JSON object as the last line of standard output.

Invariant: with --json nothing else reaches standard output. Text that is not ours is escaped and never read as markup.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping
from typing import Any, TextIO, cast

from rich.console import Console
from rich.text import Text

from cli.escaping import escaped
from cli.failure import Failure
from cli.redaction import Redaction
from cli.stream import Stream

SCHEMA = 1
"""Of every JSON object printed. It grows when something promised changes, not when something is added."""

_LABEL_WIDTH = 9
"""Columns before the text of a labelled line."""

_STYLES = {"ok": "green", "WARN": "yellow", "FAIL": "red", "error:": "bold red"}


class Output:
    """Standard output and standard error of one command."""

    def __init__(
        self, *, as_json: bool, stdout: Stream, stderr: Stream, environ: Mapping[str, str], redaction: Redaction
    ) -> None:
        self.as_json = as_json
        self.stderr = stderr
        self._stdout = stdout
        self._redaction = redaction
        self.console = _console(stdout, environ)
        """For people, on standard output; a command that draws more than lines checks `as_json` first."""
        self.errors = _console(stderr, environ)
        """For people, on standard error: progress and notes."""

    def line(self, text: str, *, label: str | None = None, is_command: bool = False) -> None:
        """Print a line for people; with --json print nothing.

        A `label` stands in the first column before the text; an empty one goes on under the line above. On a terminal
        what is too long goes on under itself, but for a command, which is to be copied.
        """
        if not self.as_json:
            self._print(self.console, label, text, _LABEL_WIDTH, folds=not is_command)

    def note(self, text: str, *, label: str | None = None, is_command: bool = False) -> None:
        """Print a line on standard error, with --json as well: what is not the result."""
        self._print(self.errors, label, text, _LABEL_WIDTH, folds=not is_command)

    def plain(self, text: str) -> None:
        """Print a bare line on standard output at once, for scripts that read it while the command goes on."""
        self._write(f"{escaped(text)}\n")

    def finish(self, document: Mapping[str, Any]) -> None:
        """Print the result of the command where --json was given. The last thing a command does."""
        if self.as_json:
            # ASCII: no terminal takes anything in it for a command, whatever a handle holds.
            self._write(json.dumps({"schema": SCHEMA, **document}, allow_nan=False) + "\n")

    def fail(self, failure: Failure, details: Mapping[str, Any] | None = None) -> None:
        """Print an error in its three parts on standard error; with --json the object too, `details` beside it."""
        parts = [*failure.message.split("\n"), failure.meaning, failure.hint]
        for label, text in zip(("error:", *[""] * len(parts)), parts, strict=False):
            if text:  # a hint names commands
                self._print(self.errors, label, text, len("error: "), folds=text is not failure.hint)
        error = {
            "code": failure.code,
            "message": failure.message,
            "meaning": failure.meaning,
            "hint": failure.hint,
        }
        self.finish({**(details or {}), "error": error, "exit_code": int(failure.exit_code)})

    def _print(self, console: Console, label: str | None, text: str, width: int, *, folds: bool) -> None:
        line = Text()
        if label is not None:
            # One column at least between a label and its text, however long the label.
            line.append(label, _STYLES.get(label)).append(" " * max(1, width - len(label)))
        shown = escaped(self._redaction.mask(text))
        if folds and console.file.isatty():  # scripts read whole lines, forced colours or not
            shown = _folded(shown, console.width, indent=len(line))
        console.print(line + Text(shown), soft_wrap=True)

    def _write(self, text: str) -> None:
        self._stdout.write(self._redaction.mask(text))
        self._stdout.flush()


def _folded(text: str, width: int, *, indent: int) -> str:
    """Break a text into lines of so many columns that stand under one another behind what stands before the first."""
    if indent + len(text) <= width:
        return text
    # What separates two parts ends a line and begins none.
    glued = text.replace(" ·", "\N{NO-BREAK SPACE}·")
    lines = textwrap.wrap(glued, max(1, width - indent), break_long_words=False, break_on_hyphens=False)
    return ("\n" + " " * indent).join(lines).replace("\N{NO-BREAK SPACE}·", " ·")


def _console(stream: Stream, environ: Mapping[str, str]) -> Console:
    # NO_COLOR and FORCE_COLOR are read from `environ`. Nothing in a text is markup, an emoji or a number to paint.
    return Console(
        file=cast("TextIO", stream), highlight=False, markup=False, emoji=False, soft_wrap=True, _environ=environ
    )
