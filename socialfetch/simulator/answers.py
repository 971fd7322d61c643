"""What the service wants sent: a status, headers, a body, and how it is to be delivered."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

import msgspec

from socialfetch import wire

SLOW_S = 60.0
"""How long a body takes that trickles in."""

_JSON = {"content-type": "application/json; charset=utf-8"}


class Delivery(Enum):
    """How an answer reaches the client."""

    WHOLE = "whole"
    CUT = "cut"
    """Half of the body comes, then the connection closes."""
    SLOWLY = "slowly"
    """The body trickles in over SLOW_S seconds."""
    HANG_UP = "hang up"
    """The connection closes, nothing comes."""
    NEVER = "never"
    """Nothing comes, the connection stays open."""


class Answer(msgspec.Struct, frozen=True):
    """An answer to one request. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    delivery: Delivery = Delivery.WHOLE
    delay_s: float = 0.0
    """Seconds to wait before anything of it happens."""


NEVER = Answer(status=0, headers={}, body=b"", delivery=Delivery.NEVER)
HANG_UP = Answer(status=0, headers={}, body=b"", delivery=Delivery.HANG_UP)


def success(body: object, headers: Mapping[str, str] | None = None) -> Answer:
    """Return a 200 with a message of `wire`, or with JSON already encoded."""
    encoded = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return Answer(200, {**_JSON, **headers} if headers else _JSON, encoded)


def refusal(
    status: int,
    code: str,
    message: str,
    *,
    request_id: str | None,
    retry_after: str | None = None,
    checkout_url: str | None = None,
) -> Answer:
    """Return an answer with the API's error envelope."""
    error = wire.ErrorBody(code=code, message=message, request_id=request_id, checkout_url=checkout_url)
    headers = _JSON if retry_after is None else {**_JSON, "retry-after": retry_after}
    return Answer(status, headers, msgspec.json.encode(wire.ErrorEnvelope(error=error)))


def html(status: int, title: str) -> Answer:
    """Return the kind of page that a proxy before the API sends."""
    body = f"<!DOCTYPE html>\n<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>\n"
    return Answer(status, {"content-type": "text/html; charset=utf-8"}, body.encode())
