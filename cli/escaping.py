"""Foreign text made safe to print: no terminal commands, no invisible signs, no text that runs backwards.

A handle, a path or a provider's word may hold escape sequences, which a terminal obeys, or bidirectional controls that
make a line read as something it is not. Everything that is not ours passes through `escaped` before it is printed.
"""

from __future__ import annotations

import unicodedata

_UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def escaped(text: str) -> str:
    """Return `text` on one line, with control, format (bidi, zero width) and undecodable signs written as escapes."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_written(sign) if unicodedata.category(sign) in _UNPRINTABLE else sign for sign in text)


def shortened(text: str, limit: int = 80) -> str:
    """Return `escaped(text)`, cut to `limit` characters."""
    shown = escaped(text)
    return shown if len(shown) <= limit else f"{shown[: limit - 1]}…"


def _written(sign: str) -> str:
    code = ord(sign)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
