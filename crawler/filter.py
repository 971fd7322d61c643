"""Filters on listed facts: which accounts a user wants bought at all. The others stay in the graph."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Self

from storage.accounts import Facts


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Limits of reported counts, and values that a fact must have; a fact that is not known is not one of them."""

    min_followers: int | None = None
    max_followers: int | None = None
    min_following: int | None = None
    max_following: int | None = None
    regions: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    verified: bool | None = None
    handle: str | None = None
    """A regular expression that the whole handle matches."""

    @property
    def is_open(self) -> bool:
        """Whether everybody passes."""
        return self == Filter()

    @cached_property
    def _pattern(self) -> re.Pattern[str] | None:
        return None if self.handle is None else re.compile(self.handle)

    def wants(self, facts: Facts) -> bool:
        """Tell whether an account with these facts is to be bought."""
        return (
            _within(facts.followers, self.min_followers, self.max_followers)
            and _within(facts.following, self.min_following, self.max_following)
            and _among(facts.region, self.regions)
            and _among(facts.language, self.languages)
            and (self.verified is None or bool(facts.verified) == self.verified)
            and (self._pattern is None or self._pattern.fullmatch(facts.handle or "") is not None)
        )

    def as_settings(self) -> dict[str, Any]:
        """Return what a later reader needs to repeat it: only what is set."""
        return {name: value for name, value in asdict(self).items() if value not in (None, ())}

    @classmethod
    def of_settings(cls, settings: Mapping[str, Any]) -> Self:
        """Return the filter that `as_settings` told of."""
        given: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()
        }
        return cls(**given)


def _within(count: int | None, least: int | None, most: int | None) -> bool:
    if least is None and most is None:
        return True
    return count is not None and (least is None or count >= least) and (most is None or count <= most)


def _among(fact: str | None, values: tuple[str, ...]) -> bool:
    return not values or (fact is not None and fact.casefold() in {value.casefold() for value in values})
