"""Servers of raw sockets that do what no honest one does, and a door to a server that can be slammed and opened again.

Run as a script it is the door, as a process that can be killed: `hostile_server.py PORT HOST:PORT`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

Behaviour = Callable[[socket.socket, bytes], None]
"""What to do with one request: its connection and its head. The connection is closed afterwards if it raises."""


class Hostile:
    """A server that has a behaviour. `heads` are the heads of all requests that came, on so many `connections`."""

    def __init__(self, behave: Behaviour, *, tls: ssl.SSLContext | None = None) -> None:
        self.heads: list[bytes] = []
        self.connections = 0
        self._behave = behave
        self._tls = tls
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                conn, _ = self._listener.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(conn,), daemon=True).start()

    def _serve(self, conn: socket.socket) -> None:
        # Whatever goes wrong with a hostile connection, the client is what is looked at.
        with suppress(OSError):
            try:
                conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if self._tls is not None:
                    conn = self._tls.wrap_socket(conn, server_side=True)
                self._open.add(conn)
                while head := _head(conn):
                    self.heads.append(head)
                    self._behave(conn, head)
            finally:
                self._open.discard(conn)
                conn.close()

    def close(self) -> None:
        """Close the listener and every connection."""
        # Closing alone would not wake who waits in accept().
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for conn in list(self._open):
            with suppress(OSError):
                conn.shutdown(socket.SHUT_RDWR)


def _head(conn: socket.socket) -> bytes:
    """Read the head of a request; empty where the client went away."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        part = conn.recv(4096)
        if not part:
            return b""
        head += part
    return head


@contextmanager
def hostile(behave: Behaviour, *, tls: ssl.SSLContext | None = None) -> Iterator[Hostile]:
    """Run a server for as long as the block lasts."""
    server = Hostile(behave, tls=tls)
    try:
        yield server
    finally:
        server.close()


def answer(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """Return an answer as bytes on the wire, its length told."""
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def end(conn: socket.socket, *, reset: bool) -> None:
    """Close a connection: in order, or by a reset."""
    if reset:
        conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    conn.close()


def fetch(url: str, head: bytes) -> bytes:
    """Send a request on to an honest server and return its whole answer."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as upstream:
        upstream.sendall(head.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        found = b""
        while part := upstream.recv(65_536):
            found += part
    return found


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


class Door:
    """A process that hands every connection on to a server: killed, the server is gone; opened, it is there again."""

    def __init__(self, target: str) -> None:
        self._target = target.removeprefix("http://")
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"http://127.0.0.1:{self._port}"

    def open(self) -> None:
        """Begin to listen."""
        command = [sys.executable, __file__, str(self._port), self._target]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"open\n"

    def slam(self) -> None:
        """End the process at once, with every connection that goes through it."""
        if self._process is not None:
            self._process.terminate()
            self._process.communicate()
            self._process = None


@contextmanager
def door(target: str) -> Iterator[Door]:
    """Keep an open door to a server for as long as the block lasts."""
    found = Door(target)
    found.open()
    try:
        yield found
    finally:
        found.slam()


async def _forward(port: int, target: str) -> None:
    host, target_port = target.split(":")

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection(host, int(target_port))
        await asyncio.gather(pump(reader, up_writer), pump(up_reader, writer))

    server = await asyncio.start_server(connected, "127.0.0.1", port, backlog=512)

    def leave() -> None:
        # A kernel may close the connections of a killed process before what it listens at, and whoever is cut off comes
        # back at once: no server that is gone lets a call in.
        server.close()
        os._exit(1)

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, leave)
    sys.stdout.write("open\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_forward(int(sys.argv[1]), sys.argv[2]))
