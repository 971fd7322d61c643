"""Raw pages: what was paid for can be read again."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial

from study import Study, facts

from storage import archive
from storage.archive import TRAINING_PAGES, Archive

Make = Callable[..., Study]


def body(number: int) -> bytes:
    """Return an answer that resembles the others and is none of them."""
    return json.dumps(
        {"accounts": [{"handle": f"user{number}{n}", "bio": f"likes number {number * n}"} for n in range(20)]}
    ).encode()


def test_every_page_is_read_back_as_it_came(study: Make) -> None:
    """Bodies from before and after the training of a dictionary come back byte for byte, and take less room."""
    s = study("a", budget=10_000)
    store = s.rules.archive
    assert store is not None
    bodies = {}
    for number in range(TRAINING_PAGES + 50):
        s.visit("a", facts("x"), body=body(number))
        [(ledger_id,)] = s.ask("SELECT max(id) FROM ledger")
        bodies[ledger_id] = body(number)
        if (samples := store.take_samples()) is not None:
            assert store.take_samples() is None  # one caller trains, however many look
            dictionary = s.db.transact(partial(archive.train, samples=samples, now=1))
            assert dictionary is not None
            store.adopt(dictionary)
    for ledger_id, expected in bodies.items():
        assert s.read(partial(archive.read, ledger_id=ledger_id)) == expected
    sizes = dict(s.ask("SELECT dictionary_id IS NOT NULL, avg(length(body)) FROM archive GROUP BY 1"))
    assert sizes[1] < 0.8 * sizes[0]
    assert s.read(partial(archive.read, ledger_id=99_999)) is None


def test_a_later_crawl_goes_on_with_the_dictionary(study: Make) -> None:
    """What was trained once is used by the next process."""
    s = study("a")
    store = Archive(None)
    s.db.transact(lambda conn: store.add(conn, [(n, body(n)) for n in range(TRAINING_PAGES)]))
    s.db.transact(partial(archive.train, samples=store.take_samples(), now=1))
    later = Archive(s.read(archive.newest_dictionary))
    s.db.transact(lambda conn: later.add(conn, [(1000, body(1000))]))
    assert s.ask("SELECT dictionary_id FROM archive WHERE ledger_id = 1000") == [(1,)]
    assert later.take_samples() is None


def test_pages_too_alike_to_train_on_do_no_harm(study: Make) -> None:
    """Without a dictionary the pages are stored all the same."""
    s = study("a")
    store = Archive(None)
    s.db.transact(lambda conn: store.add(conn, [(n, b"") for n in range(TRAINING_PAGES)]))
    assert s.db.transact(partial(archive.train, samples=store.take_samples(), now=1)) is None
    assert store.take_samples() is None
