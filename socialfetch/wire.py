"""The vendor's messages as typed structs, read by the client and written by the simulator.

Only what the contract requires is required here; unknown fields and unknown statuses survive. On the wire the names are
the vendor's own, in camelCase.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec

LISTED = "found"
"""The one lookup status that lists accounts."""

MAX_LISTED = 100_000
"""Accounts of a page that are believed."""

WITHHELD = "x-withheld"
"""Our own word in an archived page, never the vendor's: how many accounts it listed that were taken out since."""


class Metrics(msgspec.Struct, frozen=True, gc=False):
    """Counters of an account, none negative by the contract."""

    followers: int
    following: int
    posts: int = 0


class Account(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """One listed account. `account_created_at` is ISO-8601 today and was integer epoch seconds."""

    handle: str
    metrics: Metrics
    display_name: str | None = msgspec.field(default=None)
    bio: str | None = None
    avatar_url: str | None = None
    profile_url: str | None = None
    verified: bool | None = None
    platform_user_id: str | int | None = None
    sec_uid: str | None = None
    private_account: bool | None = None
    region: str | None = None
    language: str | None = None
    account_created_at: str | int | float | None = None
    details: dict[str, Any] | None = None


class Cursor(msgspec.Struct, frozen=True, rename="camel"):
    """Where the list goes on. `next_cursor` is opaque: sent back as it came."""

    next_cursor: str | int | None = None
    has_more: bool = False


class Meta(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """The receipt of a call. `credits_charged` is the truth about its price, in credits."""

    credits_charged: int
    request_id: str | None = None
    version: str | None = None
    cached: bool = False


class FollowingData(msgspec.Struct, frozen=True, rename="camel"):
    """One page of a following list."""

    lookup_status: str
    accounts: Sequence[Account]
    page: Cursor
    total_accounts: int | None = None
    withheld: Annotated[int, msgspec.Meta(ge=0, le=MAX_LISTED)] | msgspec.UnsetType = msgspec.field(
        default=msgspec.UNSET, name=WITHHELD
    )


class FollowingPage(msgspec.Struct, frozen=True):
    """The 200 of `GET /v1/tiktok/profiles/{handle}/following`."""

    data: FollowingData
    meta: Meta


class LenientData(msgspec.Struct, frozen=True, rename="camel"):
    """A page of which single accounts could not be read: they stay raw until looked at one by one."""

    lookup_status: str
    accounts: list[msgspec.Raw] | None = None
    page: Cursor = Cursor()
    total_accounts: Any = None
    withheld: Any | msgspec.UnsetType = msgspec.field(default=msgspec.UNSET, name=WITHHELD)


class LenientPage(msgspec.Struct, frozen=True):
    """`FollowingPage` as far as it can be read: the receipt may be missing, single accounts may be broken."""

    data: LenientData
    meta: Meta | None = None


class BalanceData(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """Spendable credits: one required field in the old contract, ten in the new one."""

    balance: int
    billing_alert: str | None = None
    payg: int | None = None
    payg_spendable: int | None = None
    grace_debt_credits: int | None = None
    refill_state: str | None = None
    subscription_included_remaining: int | None = None
    subscription_included_total: int | None = None
    subscription: dict[str, Any] | None = None
    collection_status: str | None = None


class Balance(msgspec.Struct, frozen=True):
    """The 200 of `GET /v1/balance`."""

    data: BalanceData
    meta: Meta | None = None


class User(msgspec.Struct, frozen=True, omit_defaults=True):
    """Whose key it is."""

    id: str
    name: str | None = None
    email: str | None = None


class WhoamiData(msgspec.Struct, frozen=True):
    """The envelope's inside of `/v1/whoami`."""

    user: User


class Whoami(msgspec.Struct, frozen=True):
    """The 200 of `GET /v1/whoami`."""

    data: WhoamiData
    meta: Meta | None = None


class ErrorBody(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What the provider says of a failure; `message` is for people and never parsed."""

    code: str
    message: str = ""
    request_id: str | None = None
    checkout_url: str | None = None


class ErrorEnvelope(msgspec.Struct, frozen=True):
    """Every non-200 body in the contract."""

    error: ErrorBody
