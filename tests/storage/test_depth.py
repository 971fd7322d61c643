"""Depth is the number of hops from the nearest seed, however the shorter way was found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import sqlalchemy as sa
from study import Study, facts

from storage import parking, seeding

Make = Callable[..., Study]


def depths(s: Study) -> dict[str, int]:
    """Return every account's depth."""
    return dict(s.ask("SELECT handle, depth FROM frontier JOIN accounts ON id = account_id"))


def waiting(s: Study, handle: str) -> tuple[int, str | None]:
    """Return state and reason of an entry."""
    [row] = s.ask("SELECT state, reason FROM frontier JOIN accounts ON id = account_id WHERE handle = ?", handle)
    return row[0], row[1]


def test_a_shorter_way_to_a_list_read_in_part_shortens_what_it_listed(study: Make) -> None:
    """An account that waits with half of its list stored passes a smaller depth on to that half."""
    s = study("a", "b")
    s.visit("a", facts("x"))
    s.visit("x", facts("y"))
    s.may_go_on = False
    s.visit("y", facts("z"), cursor="c2")
    assert depths(s)["z"] == 3
    s.may_go_on = True
    s.visit("b", facts("y"))
    assert (depths(s)["y"], depths(s)["z"]) == (1, 2)


def test_a_shorter_way_found_in_the_same_transaction_shortens_what_was_listed(study: Make) -> None:
    """Pages committed together are as if they had been committed one after another."""
    s = study("a", "b")
    s.visit("a", facts("x"))
    s.visit("x", facts("y"))
    for handle in ("y", "b"):
        s.db.transact(
            partial(
                _prefer,
                "UPDATE frontier SET priority = 1e300"
                " WHERE account_id = (SELECT id FROM accounts WHERE handle = :handle)",
                handle,
            )
        )
    leases = {lease.handle: lease for lease in s.lease(2)}
    s.commit(s.answer(leases["y"], [facts("z")]), s.answer(leases["b"], [facts("y")]))
    assert (depths(s)["y"], depths(s)["z"]) == (1, 2)


def _prefer(sql: str, handle: str, conn: object) -> None:
    # The study hands its connection on without a type.
    conn.execute(sa.text(sql), {"handle": handle})  # type: ignore[attr-defined]


def test_a_known_account_that_becomes_a_seed_shortens_what_it_listed(study: Make) -> None:
    """Whoever is listed by a new seed is one hop away, also where the list was read before."""
    s = study("a")
    s.visit("a", facts("x"))
    s.visit("x", facts("y"))
    s.visit("y", facts("z"))
    s.db.transact(partial(seeding.add, handles=["y"], ordering=s.strategy, now=s.now))
    assert depths(s) == {"a": 0, "x": 1, "y": 0, "z": 1}


def test_a_limit_of_no_hops_holds_when_a_shorter_way_is_found(study: Make) -> None:
    """With a limit of 0 nothing but seeds is bought, whatever shorter ways the seeds' lists show."""
    s = study("a")
    s.visit("a", facts("x"))
    s.visit("x", facts("y"))
    s.db.transact(partial(parking.apply_depth_limit, max_depth=0))
    s.rules = replace(s.rules, max_depth=0)
    s.db.transact(partial(seeding.add, handles=["b"], ordering=s.strategy, now=s.now))
    s.visit("b", facts("y"))
    assert depths(s)["y"] == 1
    assert waiting(s, "y") == (4, "depth")


def test_two_listings_of_a_new_account_in_one_transaction_keep_its_id(study: Make) -> None:
    """The stable id that the second of two pages committed together shows is stored, as if they had come apart."""
    s = study("a", "b")
    first, second = s.lease(2)
    s.commit(s.answer(first, [facts("x")]), s.answer(second, [facts("x", platform_user_id="7")]))
    assert s.ask("SELECT platform_user_id FROM accounts WHERE handle = 'x'") == [("7",)]


def test_who_is_public_again_is_still_too_deep(study: Make) -> None:
    """An account beyond the depth limit that stops being private waits for the limit to be raised, or a shorter way."""
    s = study("a", "b", "c", "d")
    s.rules = replace(s.rules, max_depth=0)
    s.visit("a", facts("x", private=True))
    assert waiting(s, "x") == (4, "private")
    s.now += 4000
    s.visit("b", facts("x", private=False))
    assert waiting(s, "x") == (4, "depth")
    s.rules = replace(s.rules, max_depth=1)
    s.db.transact(partial(parking.apply_depth_limit, max_depth=1))
    assert waiting(s, "x") == (0, None)
