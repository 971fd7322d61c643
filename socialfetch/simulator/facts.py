"""What an account tells of itself: invented, fixed by the rng seed, never of a real person.

Invariant: facts do not depend on who asks, when or how often. Every platform id is one account's alone.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from datetime import UTC, datetime
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from socialfetch import wire
from socialfetch.simulator.chance import generator

NEWEST = 1_760_000_000
"""The simulated present, in Unix seconds: no follow that a network starts with is younger, no account either."""

_OLDEST_ACCOUNT = 1_472_688_000
_YOUNGEST_ACCOUNT = 1_735_689_600
_VERIFIED = 0.015
_AT_HOME = 0.8
"""Share of a community's accounts that live in its region and share its interest."""
_SPREADING = 2_654_435_761
"""Odd, so that multiplying by it modulo 2**32 gives every account number another value."""

_GIVEN = ("Ada", "Ben", "Chiara", "Elif", "Hana", "Jun", "Kofi", "Małgorzata", "Rosa", "Søren", "Tomás", "Zoë")
_FAMILY = (
    "Costa",
    "García",
    "Haddad",
    "Ito",
    "Kowalska",
    "Mbeki",
    "Novák",
    "Okafor",
    "Petrov",
    "Silva",
    "Ünal",
    "Weber",
)
_PLACES = (
    (None, None),
    ("US", "en"),
    ("BR", "pt"),
    ("ID", "id"),
    ("MX", "es"),
    ("JP", "ja"),
    ("DE", "de"),
    ("TR", "tr"),
    ("PL", "pl"),
    ("FR", "fr"),
)
"""Regions with their language; the first stands for accounts that name none."""
_INTERESTS = (
    "",
    "football every weekend",
    "slow cooking 🍲",
    "street dance and battles",
    "chess openings",
    "night photography",
    "small gardens",
    "old synthesizers",
    "trail running",
    "book reviews",
    "woodwork",
)
"""What a bio says; the first stands for an empty bio."""


class Facts:
    """Columns of facts, one row an account."""

    def __init__(self, accounts: int, rng_seed: int, community: NDArray[np.uint32] | None = None) -> None:
        """Draw the facts of `accounts` accounts. Accounts of one community mostly share region and interest."""
        rng = generator(rng_seed, "facts")
        home = np.zeros(accounts, np.uint32) if community is None else community
        away = rng.random(accounts) >= _AT_HOME
        self._given = rng.integers(0, len(_GIVEN), accounts, dtype=np.uint8)
        self._family = rng.integers(0, len(_FAMILY), accounts, dtype=np.uint8)
        self._verified = rng.random(accounts) < _VERIFIED
        self._posts = rng.lognormal(3.0, 1.5, accounts).astype(np.uint32)
        self._created_at = rng.integers(_OLDEST_ACCOUNT, _YOUNGEST_ACCOUNT, accounts, dtype=np.uint32)
        self._place = _shared(home, away, len(_PLACES), rng)
        self._interest = _shared(home, away, len(_INTERESTS), rng)

    def account(self, index: int, handle: str, *, followers: int, following: int, private: bool) -> wire.Account:
        """Return the account as lists show it. `private` says whether it is flagged as private."""
        created_at = int(self._created_at[index])
        platform_id = platform_user_id(created_at, index)
        region, language = _PLACES[self._place[index]]
        return wire.Account(
            handle=handle,
            display_name=f"{_GIVEN[self._given[index]]} {_FAMILY[self._family[index]]}",
            bio=_INTERESTS[self._interest[index]],
            avatar_url=f"https://avatars.example.com/{platform_id}.jpeg",
            profile_url=f"https://www.tiktok.com/@{handle}",
            platform_user_id=platform_id,
            sec_uid=sec_uid(platform_id) if index % 4 else None,
            verified=bool(self._verified[index]),
            private_account=True if private else None,
            region=region,
            language=language,
            account_created_at=iso_8601(created_at),
            metrics=wire.Metrics(followers=followers, following=following, posts=int(self._posts[index])),
        )

    def created_at(self, index: int) -> int:
        """Return when the account was made, in Unix seconds."""
        return int(self._created_at[index])


def platform_user_id(created_at: int, index: int) -> str:
    """Return a stable id as the platform makes them: the upper half is the time of creation."""
    return str(created_at << 32 | index * _SPREADING % 2**32)


def sec_uid(platform_id: str) -> str:
    """Return the platform's second stable id of the same account."""
    return "MS4wLjABAAAA" + urlsafe_b64encode(blake2b(platform_id.encode(), digest_size=24).digest()).decode()


def iso_8601(at: int) -> str:
    """Write Unix seconds as the API does."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _shared(
    home: NDArray[np.uint32], away: NDArray[np.bool_], kinds: int, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Return a kind for each account: 1 to `kinds` - 1 by community, any (0 included) for those away."""
    return np.where(away, rng.integers(0, kinds, len(home)), 1 + home % (kinds - 1)).astype(np.uint8)
