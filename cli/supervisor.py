"""A word to systemd, where it started us: that we are ready, alive, reloading, stopping (sd_notify(3))."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from contextlib import suppress


class Supervisor:
    """Speaks to the socket that NOTIFY_SOCKET names; silent where there is none."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address

    def tell(self, *lines: str) -> None:
        """Send one message; nobody listening is no trouble of ours."""
        if self._address:
            with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as door:
                door.sendto("\n".join(lines).encode(), self._address)

    def reloading(self) -> None:
        """Say that the configuration is read again; `tell("READY=1")` ends it."""
        self.tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
