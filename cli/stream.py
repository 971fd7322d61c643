"""Standard output and standard error that never end a command: a reader may go away, a disk may be full.

A crawl piped into `head` goes on when `head` has read enough: credits are being spent, and what they buy is kept.
"""

from __future__ import annotations

import io
import os
from typing import TextIO


class Stream(io.TextIOBase):
    """A text stream that takes everything. Once writing fails, what follows is dropped and `error` says why."""

    def __init__(self, stream: TextIO | None) -> None:
        """Wrap `stream`; None, a closed one, leads nowhere. What its encoding cannot write becomes an escape."""
        super().__init__()
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
        self._stream = stream
        self.error: OSError | None = None

    @property
    def encoding(self) -> str:  # type: ignore[override]  # an attribute there, and rich asks for it
        """The encoding of what is written."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    def writable(self) -> bool:
        """Return True: that is what it is for."""
        return True

    def isatty(self) -> bool:
        """Whether a person reads along."""
        return self._stream is not None and self._stream.isatty()

    def fileno(self) -> int:
        """Return the descriptor. Raises OSError where there is none."""
        if self._stream is None:
            raise OSError("closed")
        return self._stream.fileno()

    def write(self, text: str) -> int:
        """Write, or drop."""
        if self._stream is not None and self.error is None:
            try:
                self._stream.write(text)
            except OSError as error:
                self._give_up(error)
        return len(text)

    def flush(self) -> None:
        """Pass on what was written."""
        if self._stream is not None and self.error is None:
            try:
                self._stream.flush()
            except OSError as error:
                self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self.error = error
        # What is still buffered is written again when the interpreter ends, which would complain then.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)
