"""Lists that lie, turn or come odd: what they may cost and how their visit ends."""

from __future__ import annotations

from pathlib import Path

import pytest
import rehearsal

from socialfetch.simulator.faults import FAULTS

TARGETS = [f"t{n:02}" for n in range(50)]
FOLLOWS = [("liar", target) for target in TARGETS]
PAGES = 3
"""Pages of the liar's list, were it honest."""

WHOLE = ("complete", None, PAGES, set(TARGETS))

ENDS: dict[str, tuple[str, str | None, int, set[str] | None]] = {
    # fault: completeness, reason, pages bought, who was listed (None: not looked at)
    "unknown_status": ("partial", "unknown_status:restricted", 1, set()),
    "turns_hidden": ("partial", "turned_hidden", 2, set(TARGETS[:20])),
    "more_without_cursor": ("partial", "more_without_cursor", 1, set(TARGETS[:20])),
    "cursor_without_more": WHOLE,
    "repeated_cursor": ("partial", "repeated_cursor", 2, set(TARGETS[:40])),
    "repeated_page": ("partial", "repeated_page", 2, set(TARGETS[:20])),
    "empty_page": ("partial", "empty_page", 2, set(TARGETS[:20])),
    "duplicate_account": WHOLE,
    "self_follow": WHOLE,
    "mixed_case": WHOLE,
    "drifting_total": WHOLE,
    "cached": WHOLE,
    "no_receipt": WHOLE,
    "no_request_id": WHOLE,
    "integer_cursor": WHOLE,
    "unknown_fields": WHOLE,
    "no_ids": WHOLE,
    "created_at_integer": WHOLE,
    "created_at_absent": WHOLE,
    "hostile_text": WHOLE,
    "broken_account": ("complete", None, PAGES, None),
}


@pytest.mark.parametrize("fault", ENDS)
def test_a_list_that_lies_costs_at_most_one_credit_more(tmp_path: Path, fault: str) -> None:
    """The visit ends as whole only if it was, says why if not, and the budget and the ledgers agree."""
    api, path = rehearsal.service(FOLLOWS, faults={fault: 1.0}), tmp_path / "a.db"
    result = rehearsal.go(path, api, seeds=["liar"], budget=50)
    completeness, reason, pages, listed = ENDS[fault]
    assert result.stop_reason == "frontier_empty"
    [visit] = rehearsal.rows(path, "SELECT completeness, reason, pages FROM visits")
    assert visit == (completeness, reason, pages)
    assert pages <= PAGES + 1
    assert api.ledger.charged == rehearsal.state(path).charged == pages
    if listed is not None:
        assert {target for _, target in rehearsal.edges(path)} == listed
    assert rehearsal.findings(path) == []


def test_every_fault_of_a_list_has_its_row_here() -> None:
    """A new fault that changes a page or a list cannot be forgotten."""
    told = {name for name, fault in FAULTS.items() if fault.decided.name in {"PAGE", "LIST"}}
    assert told - set(ENDS) == {"dear", "no_checkout_url"}


def test_an_answer_dearer_than_its_price_stops_the_run(tmp_path: Path) -> None:
    """Two credits for a page are booked as two, the run stops as overcharged, and what was paid is stored."""
    api, path = rehearsal.service(FOLLOWS, faults={"dear": 1.0}), tmp_path / "a.db"
    result = rehearsal.go(path, api, seeds=["liar"], budget=50)
    assert result.stop_reason == "overcharged"
    assert rehearsal.state(path).charged == api.ledger.charged == 2
    assert len(rehearsal.edges(path)) == 20


def test_a_refused_cursor_begins_the_list_again_once(tmp_path: Path) -> None:
    """400 on a later page restarts the list at its first page; the second refusal gives it up."""
    api, path = rehearsal.service(FOLLOWS), tmp_path / "a.db"
    answer = api.answer
    refused = []

    def refusing(route: str, query: dict[str, str], headers: dict[str, str]) -> object:
        if query.get("cursor"):
            refused.append(query["cursor"])
            query = {"cursor": "not-one-of-mine"}
        return answer(route, query, headers)

    # Cursors are refused from here on.
    api.answer = refusing  # type: ignore[method-assign,assignment]
    result = rehearsal.go(path, api, seeds=["liar"], budget=50)
    assert result.stop_reason == "frontier_empty"
    assert len(refused) == 2
    assert rehearsal.rows(path, "SELECT completeness, reason, pages FROM visits ORDER BY id") == [
        ("partial", "cursor_refused", 1),
        ("partial", "cursor_refused", 1),
    ]
    assert rehearsal.rows(path, "SELECT state, reason FROM frontier WHERE account_id = 1") == [(3, "cursor_refused")]
    assert rehearsal.rows(path, "SELECT edges, new_edges FROM visits ORDER BY id") == [(20, 20), (20, 0)]
    assert rehearsal.state(path).accounts["visited"] == 1
    assert api.ledger.charged == 2


@pytest.mark.parametrize(
    "fault",
    ["internal_error", "internal_error_charged", "lookup_failed", "lookup_failed_charged", "overloaded"]
    + ["overloaded_date", "overloaded_bare", "throttled", "gateway_timeout", "html_body", "empty_body", "hang_up"]
    + ["hang_up_uncharged", "stall", "stall_uncharged", "cut_body", "slow"],
)
def test_a_failing_provider_never_costs_more_than_the_budget(tmp_path: Path, fault: str) -> None:
    """With a third of all calls failing, the truth lies between what is charged and what is uncertain beside it."""
    graph = rehearsal.network.generate(300, rng_seed=3)
    api, path = rehearsal.service(graph, faults={fault: 0.33}), tmp_path / "a.db"
    rehearsal.go(path, api, seeds=["u1", "u2", "u3"], budget=80)
    state = rehearsal.state(path)
    assert state.charged <= api.ledger.charged <= state.charged + state.uncertain <= 80
    if FAULTS[fault].credits == 0:
        assert api.ledger.charged == state.charged
    assert rehearsal.findings(path) == []
