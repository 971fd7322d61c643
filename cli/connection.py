"""The way to the API: a client made of the settings and the key."""

from __future__ import annotations

from cli.key import Key
from cli.settings import Api
from cli.version import version
from socialfetch.client import Client, HttpTransport


def client(api: Api, key: Key | None, *, connections: int) -> Client:
    """Return a client with at most `connections` kept alive. Needs a running event loop; its context closes it."""
    return Client(
        HttpTransport(
            base_url=api.base_url,
            key=None if key is None else key.secret.get_secret_value(),
            user_agent=f"followgraph/{version()}",
            connections=connections,
            timeout_s=api.timeout_s,
            connect_timeout_s=api.connect_timeout_s,
            max_body_bytes=api.max_body_bytes,
        )
    )
