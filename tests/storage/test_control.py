from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random

from study import Study, facts

from storage import control

Make = Callable[..., Study]


def test_a_control_sample_is_drawn_from_lists_of_accounts_whose_followers_are_known(study: Make) -> None:
    """A seed that no list names has no weight; a lister with fewer followers weighs more, a target with more less."""
    s = study("seed")
    s.visit("seed", facts("a", followers=2), facts("b", followers=200), facts("lonely", followers=5))
    s.visit("a", facts("x", followers=10), facts("y", followers=1000))
    s.visit("b", facts("z", followers=10))

    def draw(conn: object, wave: int) -> list[int]:
        # The study hands its connection on without a type.
        return control.draw(conn, run_id=1, wave=wave, credits=200, pages=lambda _: 1, rng=Random(4))  # type: ignore[arg-type]

    drawn = s.db.transact(partial(draw, wave=1))
    names = {row[0]: row[1] for row in s.ask("SELECT id, handle FROM accounts")}
    counts = {name: sum(names[account] == name for account in drawn) for name in ("a", "lonely", "x", "y", "z")}
    assert counts["a"] == counts["lonely"] == 0
    assert counts["x"] > 10 * max(counts["y"], counts["z"])
    assert s.db.transact(partial(control.draws, run_id=1, wave=1)) == drawn
    again = s.db.transact(partial(draw, wave=2))
    assert again == []  # nobody whose list was read was drawn
