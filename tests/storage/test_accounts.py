"""Identity: stable ids, handles that change hands, facts that change."""

from __future__ import annotations

from collections.abc import Callable
from zlib import crc32

from study import Study, facts

from storage.accounts import facts_hash

Make = Callable[..., Study]


def handles(study: Study) -> dict[int, str | None]:
    """Return every account's current handle."""
    return dict(study.ask("SELECT id, handle FROM accounts ORDER BY id"))


def test_a_renamed_account_keeps_its_row_and_edges(study: Make) -> None:
    """A known stable id under a new handle is the same account; the old handle goes to the history."""
    s = study("a", "b")
    s.visit("a", facts("old", platform_user_id="7"))
    s.now += 5
    stored = s.visit("b", facts("new", platform_user_id="7"))
    assert (stored.new_accounts, stored.renamed, stored.taken_over) == (0, 1, 0)
    assert list(handles(s).values()) == ["a", "b", "new"]
    assert s.ask("SELECT account_id, handle, reason, until_at FROM handle_history") == [
        (3, "old", "renamed", int(s.now))
    ]
    assert s.ask("SELECT src, dst FROM follows") == [(1, 3), (2, 3)]


def test_a_handle_with_another_id_is_another_account(study: Make) -> None:
    """When a known handle shows a new id, the old account loses it and a new account begins."""
    s = study("a", "b")
    s.visit("a", facts("x", platform_user_id="7"))
    stored = s.visit("b", facts("x", platform_user_id="8"))
    assert (stored.new_accounts, stored.renamed, stored.taken_over) == (1, 0, 1)
    assert handles(s) == {1: "a", 2: "b", 3: None, 4: "x"}
    assert s.ask("SELECT src, dst FROM follows") == [(1, 3), (2, 4)]


def test_two_accounts_swap_their_handles_in_one_list(study: Make) -> None:
    """A swap within one page ends with each id under its new handle and no row lost."""
    s = study("a", "b")
    s.visit("a", facts("x", platform_user_id="7"), facts("y", platform_user_id="8"))
    s.visit("b", facts("x", platform_user_id="8"), facts("y", platform_user_id="7"))
    assert dict(s.ask("SELECT platform_user_id, handle FROM accounts WHERE id > 2")) == {"7": "y", "8": "x"}
    assert s.ask("SELECT count(*) FROM accounts") == [(4,)]
    assert s.ask("SELECT src, dst FROM follows") == [(1, 3), (1, 4), (2, 3), (2, 4)]


def test_an_id_learnt_later_joins_the_same_account(study: Make) -> None:
    """A handle known without an id takes the id of a later listing; a listing without one takes nothing away."""
    s = study("a", "b", "c")
    s.visit("a", facts("x"))
    s.visit("b", facts("x", platform_user_id="7", private=True, region="DE"))
    s.now += 10_000
    s.visit("c", facts("x", followers=99))
    assert s.ask("SELECT platform_user_id, private, region, followers FROM accounts WHERE handle = 'x'") == [
        ("7", 1, "DE", 99)
    ]


def test_a_handle_without_id_that_turns_out_to_be_a_known_account(study: Make) -> None:
    """Two rows that are one account are not merged silently: the id decides who has the handle."""
    s = study("a", "b", "c")
    s.visit("a", facts("first", platform_user_id="7"))
    s.visit("b", facts("second"))
    stored = s.visit("c", facts("second", platform_user_id="7"))
    assert (stored.renamed, stored.taken_over) == (1, 1)
    assert handles(s) == {1: "a", 2: "b", 3: "c", 4: "second", 5: None}


def test_unchanged_facts_cost_no_write_and_fresh_ones_wait(study: Make) -> None:
    """Counters of a known account are rewritten at most once an hour."""
    s = study("a", "b", "c")
    s.visit("a", facts("x", followers=10))
    s.now += 10
    s.visit("b", facts("x", followers=11))
    assert s.ask("SELECT followers FROM accounts WHERE handle = 'x'") == [(10,)]
    s.now += 4000
    s.visit("c", facts("x", followers=12))
    assert s.ask("SELECT followers, updated_at FROM accounts WHERE handle = 'x'") == [(12, int(s.now))]


def test_an_account_that_became_private_leaves_the_queue_and_returns(study: Make) -> None:
    """Known-private accounts are never bought; one that is public again is."""
    s = study("a", "b", "c")
    s.visit("a", facts("x"))
    s.now += 4000
    s.visit("b", facts("x", private=True))
    entry = "SELECT state, reason FROM frontier JOIN accounts ON id = account_id WHERE handle = 'x'"
    assert s.ask(entry) == [(4, "private")]
    s.now += 4000
    s.visit("c", facts("x", private=False))
    assert s.ask(entry) == [(0, None)]


def test_one_new_account_in_two_pages_of_a_transaction_is_one_row(study: Make) -> None:
    """Pages committed together share what they discover."""
    s = study("a", "b")
    first, second = s.lease(2)
    stored = s.commit(s.answer(first, [facts("x", platform_user_id="7")]), s.answer(second, [facts("x")]))
    assert [each.new_accounts for each in stored] == [1, 0]
    assert s.ask("SELECT count(*) FROM accounts WHERE handle = 'x'") == [(1,)]
    assert s.ask("SELECT src, dst FROM follows") == [(1, 3), (2, 3)]


def test_hostile_text_is_stored_as_it_came(study: Make) -> None:
    """Quotes, control characters, emoji and lone surrogates in names neither break nor change anything else.

    A server takes no byte 0 in a text: the sign that stands for what cannot be shown takes its place.
    """
    name = "'; DROP TABLE accounts; --\x00\u202e🙂"
    s = study("a")
    s.visit("a", facts("x", display_name=name, bio=name))
    kept = name.replace("\0", "\ufffd") if s.db.is_shared else name
    assert s.ask("SELECT display_name FROM accounts WHERE handle = 'x'") == [(kept,)]


def test_the_checksum_of_facts_is_what_older_databases_hold() -> None:
    """Else every account of an upgraded database would count as changed."""
    full = facts(
        "ana",
        platform_user_id="7",
        followers=3,
        following=4,
        bio="line\n'quoted' \"twice\" é \U0001f600",
        verified=True,
    )
    bare = facts("bob")
    for each in (full, bare):
        assert facts_hash(each) == crc32(repr(each).encode())
    assert facts_hash(bare) != facts_hash(bare._replace(posts=9))
