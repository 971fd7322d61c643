"""Secrets never printed: whatever leaves the process as text can be passed through `Redaction.mask` first.

Nothing here should ever find anything: the key is wrapped from where it is read to where it is sent. This is the net
below that rope.
"""

from __future__ import annotations

MASK = "[secret]"

_SHORTEST = 6
"""Characters. Masking a shorter one would cut ordinary words to pieces."""


class Redaction:
    """The secrets of this process, known only so that they can be masked."""

    def __init__(self) -> None:
        self._secrets: set[str] = set()

    def add(self, secret: str | None) -> None:
        """Mask this from now on."""
        if secret is not None and len(secret) >= _SHORTEST:
            self._secrets.add(secret)

    def mask(self, text: str) -> str:
        """Return `text` with every known secret replaced."""
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return text
