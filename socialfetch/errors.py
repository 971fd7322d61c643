"""Everything a call can come back with instead of a page.

    SocialFetchError
    ├── BadRequest              400: handle or cursor refused                     not charged
    ├── Unauthorized            401: key missing or wrong                         not charged
    ├── PaymentRefused          402
    │   ├── InsufficientCredits     balance used up                               not charged
    │   └── PaymentRequired         a payment challenge, never answered           not charged
    ├── ClientFault             403, 404, 3xx and every other refusal of ours     not charged
    ├── Throttled               429, 503: too fast, or the provider is overloaded not charged
    ├── Unreachable             no connection was made, nothing was sent          not charged
    ├── InternalError           500                                               unknown
    ├── LookupFailed            502                                               unknown
    ├── ServerFault             any other 5xx                                     unknown
    ├── TimedOut                sent, no whole answer in time                     unknown
    ├── Disconnected            sent, the connection broke                        unknown
    └── Malformed               a 2xx that cannot be read                         unknown

Invariant: a leaf knows whether the call was paid for. "Unknown" means that money may be gone: it is never free.
"""

from __future__ import annotations

from enum import Enum
from typing import ClassVar


class Charged(Enum):
    """Whether a call that brought no page was paid for."""

    NO = "no"
    YES = "yes"
    UNKNOWN = "unknown"


class SocialFetchError(Exception):
    """A call that brought no page. `detail` is safe to log: it never holds the key or a body."""

    charged: ClassVar[Charged] = Charged.UNKNOWN
    code: ClassVar[str] = "error"

    def __init__(
        self,
        detail: str = "",
        *,
        status: int | None = None,
        provider_code: str | None = None,
        request_id: str | None = None,
        retry_after: str | None = None,
    ) -> None:
        super().__init__(detail or self.code)
        self.detail = detail
        self.status = status
        """HTTP status, None where no answer came."""
        self.provider_code = provider_code
        """The provider's own `error.code`, None where the body had none."""
        self.request_id = request_id
        self.retry_after = retry_after
        """Delta-seconds; an HTTP date, as sent, where the answer did not say what time it was there."""


class BadRequest(SocialFetchError):
    """400: the handle or the cursor was refused."""

    charged = Charged.NO
    code = "bad_request"


class Unauthorized(SocialFetchError):
    """401: the key is missing or wrong."""

    charged = Charged.NO
    code = "unauthorized"


class PaymentRefused(SocialFetchError):
    """402 of either kind."""

    charged = Charged.NO
    code = "payment_required"


class InsufficientCredits(PaymentRefused):
    """402: the provider's balance is used up."""

    code = "insufficient_credits"


class PaymentRequired(PaymentRefused):
    """402: a payment challenge, usually a missing key. It is never paid."""


class ClientFault(SocialFetchError):
    """403, 404, a redirect: the address or the plan is wrong, never 'this user does not exist'."""

    charged = Charged.NO
    code = "client_fault"


class Throttled(SocialFetchError):
    """429 or 503: ask again later, after `retry_after` where the provider says so."""

    charged = Charged.NO
    code = "throttled"


class Unreachable(SocialFetchError):
    """No connection could be made: nothing was sent, so nothing was charged."""

    charged = Charged.NO
    code = "unreachable"


class InternalError(SocialFetchError):
    """500: 'unexpected or billing error'."""

    code = "internal_error"


class LookupFailed(SocialFetchError):
    """502: the upstream answer could not be used; the documents contradict each other on its price."""

    code = "lookup_failed"


class ServerFault(SocialFetchError):
    """Any other 5xx, from the provider or a proxy before it."""

    code = "server_fault"


class TimedOut(SocialFetchError):
    """The request was sent and no whole answer came in time."""

    code = "timed_out"


class Disconnected(SocialFetchError):
    """The connection broke after the request was sent."""

    code = "disconnected"


class Malformed(SocialFetchError):
    """A success that cannot be read: HTML, a cut or an oversized body, an envelope without its required fields."""

    code = "malformed"
