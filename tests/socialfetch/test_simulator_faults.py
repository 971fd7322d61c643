"""Everything the simulated API can do wrong: the table, and what each fault shows the project's own client."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec
import pytest
import virtual_time

from socialfetch import errors
from socialfetch.client import Client, Page
from socialfetch.simulator import failures
from socialfetch.simulator.errors import InvalidRate, UnknownFault, UnknownProfile
from socialfetch.simulator.faults import FAULTS, PROFILES, Decided, Faults, parse, profile
from socialfetch.simulator.network import Network, from_follows
from socialfetch.simulator.service import Service
from socialfetch.simulator.settings import Settings
from socialfetch.simulator.transport import InProcess

FOLLOWS = 45

INSTEAD_OF_A_PAGE: dict[str, tuple[type[errors.SocialFetchError], int | None, str | None]] = {
    "internal_error": (errors.InternalError, 500, "internal_error"),
    "internal_error_charged": (errors.InternalError, 500, "internal_error"),
    "lookup_failed": (errors.LookupFailed, 502, "lookup_failed"),
    "lookup_failed_charged": (errors.LookupFailed, 502, "lookup_failed"),
    "overloaded": (errors.Throttled, 503, "temporarily_unavailable"),
    "overloaded_date": (errors.Throttled, 503, "temporarily_unavailable"),
    "overloaded_bare": (errors.Throttled, 503, "temporarily_unavailable"),
    "throttled": (errors.Throttled, 429, "temporarily_unavailable"),
    "gateway_timeout": (errors.ServerFault, 504, None),
    "bad_request": (errors.BadRequest, 400, "bad_request"),
    "unauthorized": (errors.Unauthorized, 401, "unauthorized"),
    "payment_required": (errors.PaymentRequired, 402, "payment_required"),
    "payment_settlement_failed": (errors.PaymentRequired, 402, "payment_settlement_failed"),
    "forbidden": (errors.ClientFault, 403, "forbidden"),
    "wrong_path": (errors.ClientFault, 404, "not_found"),
    "html_body": (errors.Malformed, 200, None),
    "empty_body": (errors.Malformed, 200, None),
    "hang_up": (errors.Disconnected, None, None),
    "hang_up_uncharged": (errors.Disconnected, None, None),
    "stall": (errors.TimedOut, None, None),
    "stall_uncharged": (errors.TimedOut, None, None),
    "cut_body": (errors.Malformed, None, None),
    "slow": (errors.TimedOut, None, None),
}
"""What the client makes of each fault that brings no page."""


def star() -> Network:
    """Return a network in which `hub` follows `a0` to `a44` in this order, and some others follow too."""
    return from_follows(
        [("hub", f"a{i}") for i in range(FOLLOWS)] + [(f"a{i}", f"a{j}") for i in range(40) for j in (41, 42)]
    )


def service(settings: Settings | None = None, **rates: float) -> Service:
    """Return a service over the star."""
    return Service(
        network=star(), settings=settings or Settings(), faults=Faults(rates), now=lambda: virtual_time.EPOCH
    )


def use(asked: Service, talk: Callable[[Client], Awaitable[Any]], timeout_s: float = 30.0) -> Any:
    """Let a client talk to a service in virtual time."""

    async def talking() -> Any:
        async with Client(InProcess(asked, key="sfk_test", timeout_s=timeout_s)) as client:
            return await talk(client)

    return virtual_time.run(talking())


def visit(asked: Service, handle: str = "hub", most: int = 6) -> list[Page]:
    """Buy a list page by page, at most so many."""

    async def talk(client: Client) -> list[Page]:
        pages = [await client.following(handle)]
        while pages[-1].next_cursor is not None and len(pages) < most:
            pages.append(await client.following(handle, pages[-1].next_cursor))
        return pages

    pages: list[Page] = use(asked, talk)
    return pages


def first(asked: Service, handle: str = "hub") -> Page:
    """Buy the first page."""
    return visit(asked, handle, most=1)[0]


def raw(page: Page) -> Any:
    """Return a page's body as plain values."""
    return msgspec.json.decode(page.body)


def listed(page: Page) -> list[str]:
    """Return the handles of a page."""
    return [account.handle for account in page.accounts]


@pytest.mark.parametrize("name", INSTEAD_OF_A_PAGE)
def test_a_fault_instead_of_a_page(name: str) -> None:
    """The client raises the typed error, the ledger says whether it was paid for, as the table announces it."""
    asked = service(**{name: 1.0})
    expected, status, provider_code = INSTEAD_OF_A_PAGE[name]
    with pytest.raises(errors.SocialFetchError) as caught:
        use(asked, lambda client: client.following("hub"))
    assert (type(caught.value), caught.value.status, caught.value.provider_code) == (expected, status, provider_code)
    assert asked.ledger.charged == FAULTS[name].credits
    assert asked.ledger.pages == ({"hub|": 1} if FAULTS[name].credits else {})
    if caught.value.charged is not errors.Charged.UNKNOWN:
        assert (caught.value.charged is errors.Charged.YES) == (FAULTS[name].credits > 0)


def retry_after(name: str) -> str | None:
    """Return the Retry-After of the error that a fault makes."""
    with pytest.raises(errors.Throttled) as caught:
        use(service(**{name: 1.0}), lambda client: client.following("hub"))
    return caught.value.retry_after


def test_retry_after_comes_in_three_ways() -> None:
    """Overload asks to wait in seconds, until an HTTP date in the near future, or does not say."""
    assert retry_after("overloaded") == retry_after("throttled") == "2"
    assert retry_after("overloaded_bare") is None
    date = retry_after("overloaded_date")
    assert date is not None
    wait = parsedate_to_datetime(date) - datetime.fromtimestamp(virtual_time.EPOCH, UTC)
    assert 2 <= wait.total_seconds() <= 4


def test_a_slow_body_comes_whole_in_the_end() -> None:
    """A client that waits longer than a minute gets the page that trickles in."""
    page = use(service(slow=1.0), lambda client: client.following("hub"), timeout_s=90.0)
    assert len(page.accounts) == 20


def test_dear() -> None:
    """The receipt and the ledger say 2 credits for one page."""
    asked = service(dear=1.0)
    assert first(asked).credits_charged == 2
    assert asked.ledger.charged == 2
    assert asked.ledger.pages == {"hub|": 1}


def test_cached() -> None:
    """A cached answer says so, carries an Age of at least a second and costs the same."""
    asked = service(cached=1.0)
    page = first(asked)
    assert (page.cached, page.credits_charged) == (True, 1)
    answer = asked.answer("/v1/tiktok/profiles/hub/following", {}, {"x-api-key": "k"})
    assert 1 <= int(answer.headers["age"]) <= 3600


def test_no_receipt() -> None:
    """The page comes without meta, but is charged."""
    asked = service(no_receipt=1.0)
    page = first(asked)
    assert raw(page)["meta"] is None
    assert len(page.accounts) == 20
    assert asked.ledger.charged == 1


def test_no_request_id() -> None:
    """Neither a page nor an error carries a requestId; without the fault both do."""
    for rate, has_id in ((1.0, False), (0.0, True)):
        assert (first(service(no_request_id=rate)).request_id is not None) is has_id
        with pytest.raises(errors.LookupFailed) as caught:
            first(service(no_request_id=rate, lookup_failed=1.0))
        assert (caught.value.request_id is not None) is has_id


def test_no_checkout_url() -> None:
    """The refusal at zero balance comes without a checkoutUrl."""
    asked = service(Settings(credits=0), no_checkout_url=1.0)
    answer = asked.answer("/v1/tiktok/profiles/hub/following", {}, {"x-api-key": "k"})
    assert answer.status == 402
    assert msgspec.json.decode(answer.body)["error"].keys() == {"code", "message", "requestId"}


def test_integer_cursor() -> None:
    """The cursor is a number in the body; sent back as it came, it brings the next page."""
    pages = visit(service(integer_cursor=1.0))
    assert isinstance(raw(pages[0])["data"]["page"]["nextCursor"], int)
    assert [len(page.accounts) for page in pages] == [20, 20, 5]


def test_drifting_total() -> None:
    """The total differs from page to page, by no more than 4, and the list itself is whole."""
    pages = visit(service(Settings(page_size=5), drifting_total=1.0), most=20)
    totals = [page.total_accounts for page in pages]
    assert len(set(totals)) > 1
    assert all(total is not None and abs(total - FOLLOWS) <= 4 for total in totals)
    assert sum(len(page.accounts) for page in pages) == FOLLOWS


def test_unknown_fields() -> None:
    """Envelope and accounts carry fields that the contract does not know, and the page is read all the same."""
    page = first(service(unknown_fields=1.0))
    assert raw(page).keys() == {"experiments", "data", "meta"}
    assert all("badges" in account for account in raw(page)["data"]["accounts"])
    assert (len(page.accounts), page.unreadable_accounts) == (20, 0)


def test_no_ids() -> None:
    """No account carries a stable id."""
    assert all(a.platform_user_id is None and a.sec_uid is None for a in first(service(no_ids=1.0)).accounts)
    assert all(a.platform_user_id for a in first(service()).accounts)


def test_created_at_integer() -> None:
    """The time of creation is the same moment as by default, in integer epoch seconds."""
    for new, old in zip(first(service()).accounts, first(service(created_at_integer=1.0)).accounts, strict=True):
        assert isinstance(new.account_created_at, str)
        assert datetime.fromisoformat(new.account_created_at).timestamp() == old.account_created_at


def test_created_at_absent() -> None:
    """The time of creation is left out."""
    page = first(service(created_at_absent=1.0))
    assert not any("accountCreatedAt" in account for account in raw(page)["data"]["accounts"])


def test_hostile_text() -> None:
    """Names and bios hold markup, control characters and a formula."""
    account = first(service(hostile_text=1.0)).accounts[0]
    assert "<script>" in (account.display_name or "")
    assert "\x1b" in (account.display_name or "")
    assert (account.bio or "").startswith("=")


def test_broken_account() -> None:
    """The first listed account violates the contract; the others can be read."""
    page = first(service(broken_account=1.0))
    assert (len(page.accounts), page.unreadable_accounts) == (19, 1)


def test_unknown_status() -> None:
    """The status is a word not in the contract, nothing is listed, a credit is charged."""
    asked = service(unknown_status=1.0)
    page = first(asked)
    assert (page.status, page.accounts, page.total_accounts) == ("restricted", [], None)
    assert asked.ledger.charged == 1


def test_turns_hidden() -> None:
    """The first page is found, the second says hidden."""
    pages = visit(service(turns_hidden=1.0))
    assert [(page.status, len(page.accounts)) for page in pages] == [("found", 20), ("hidden", 0)]


def test_more_without_cursor() -> None:
    """A page with more to come has no cursor to get it; a page that ends the list is honest."""
    page = first(service(more_without_cursor=1.0))
    assert (page.has_more, page.next_cursor) == (True, None)
    assert raw(page)["data"]["page"]["nextCursor"] is None
    assert not first(service(more_without_cursor=1.0), "a0").has_more


def test_cursor_without_more() -> None:
    """The last page has a cursor although there is no more; an empty list has none."""
    last = visit(service(cursor_without_more=1.0))[-1]
    assert (last.has_more, last.next_cursor) == (False, None)
    assert raw(last)["data"]["page"]["nextCursor"].isdecimal()
    assert raw(first(service(cursor_without_more=1.0), "a44"))["data"]["page"]["nextCursor"] is None


def test_repeated_cursor() -> None:
    """From the second page on each page gives back the cursor it was asked with, for ever."""
    pages = visit(service(repeated_cursor=1.0), most=5)
    assert len({page.next_cursor for page in pages}) == 1
    assert listed(pages[1]) == listed(pages[2])
    assert pages[-1].has_more


def test_repeated_page() -> None:
    """Later pages list the first page's accounts again, under cursors that go on."""
    pages = visit(service(repeated_page=1.0))
    assert len(pages) == 3
    assert listed(pages[0]) == listed(pages[1]) == listed(pages[2])
    assert pages[0].next_cursor != pages[1].next_cursor


def test_empty_page() -> None:
    """Later pages are empty while more is promised, under cursors that go on to an honest end."""
    pages = visit(service(empty_page=1.0))
    assert [len(page.accounts) for page in pages] == [20, 0, 0, 0]
    assert [page.has_more for page in pages] == [True, True, True, False]
    assert len({page.next_cursor for page in pages}) == 4


def test_duplicate_account() -> None:
    """The last account of a page is listed again as the first of the next."""
    pages = visit(service(duplicate_account=1.0))
    assert [len(page.accounts) for page in pages] == [20, 21, 6]
    assert listed(pages[1])[0] == listed(pages[0])[-1]
    assert listed(pages[2])[0] == listed(pages[1])[-1]


def test_self_follow() -> None:
    """The list names its own account once, first."""
    handles = [handle for page in visit(service(self_follow=1.0)) for handle in listed(page)]
    assert handles[0] == "hub"
    assert handles.count("hub") == 1
    assert len(handles) == FOLLOWS + 1


def test_mixed_case() -> None:
    """Some lists show an account in upper case that others show in lower case, and both spellings can be visited."""
    asked = service(mixed_case=0.5)
    spellings = {handle for i in range(40) for handle in listed(first(asked, f"a{i}"))}
    assert spellings == {"a41", "a42", "A41", "A42"}
    assert first(asked, "A0").total_accounts == 2


def seen_ids(asked: Service) -> set[tuple[str, str | int | None]]:
    """Return the handles and ids under which the lists of the star's points show accounts."""
    return {(a.handle, a.platform_user_id) for i in range(40) for a in first(asked, f"a{i}").accounts}


def test_renamed() -> None:
    """Half of the lists show the same id under a new handle, and both handles bring the account's list."""
    asked = service(renamed=1.0)
    honest = dict(seen_ids(service()))
    assert seen_ids(asked) == {
        (handle + suffix, honest[handle]) for handle in ("a41", "a42") for suffix in ("", ".new")
    }
    assert first(asked, "a1.new").accounts == first(asked, "a1").accounts
    assert first(service(), "a1.new").status == "not_found"
    assert "a1.new|" in asked.ledger.pages


def test_taken_over() -> None:
    """Half of the lists show another id, that of one and the same other person, under the handle."""
    ids = seen_ids(service(taken_over=1.0))
    assert {handle for handle, _ in ids} == {"a41", "a42"}
    assert len({platform_id for _, platform_id in ids}) == 4
    assert set(seen_ids(service())) < ids


def balance(asked: Service) -> Any:
    """Ask for the balance."""
    return use(asked, lambda client: client.balance())


def test_old_balance() -> None:
    """The balance has the one field of the old contract."""
    answer = service(old_balance=1.0).answer("/v1/balance", {}, {"x-api-key": "k"})
    assert msgspec.json.decode(answer.body)["data"] == {"balance": 1_000_000}


def test_balance_lags() -> None:
    """A charge shows in the balance half a minute late."""
    asked = Service(
        network=star(), settings=Settings(credits=10), faults=Faults({"balance_lags": 1.0}), now=virtual_time.now
    )

    async def talk(client: Client) -> list[int]:
        seen = []
        await client.following("hub")
        await asyncio.sleep(20)
        await client.following("hub")
        for wait_s in (0, 10, 20):
            await asyncio.sleep(wait_s)
            seen.append((await client.balance()).balance)
        return seen

    assert use(asked, talk) == [10, 9, 8]
    assert asked.ledger.charged == 2


def test_refill_on() -> None:
    """The balance tells of an automatic top-up, and an empty one is filled instead of refused."""
    asked = service(Settings(credits=1), refill_on=1.0)
    assert balance(asked).refill_state == "healthy"
    assert balance(service()).refill_state is None
    assert len(visit(asked)) == 3
    assert asked.balance > 0


def test_every_fault_has_a_test() -> None:
    """The tests of this file show the effect of every fault in the table, and no other."""
    named_tests = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    assert FAULTS.keys() == set(INSTEAD_OF_A_PAGE) | (named_tests & FAULTS.keys())
    assert not set(INSTEAD_OF_A_PAGE) & named_tests


def test_the_table_explains_itself() -> None:
    """Every fault has a sentence, a price from 0 to 2 and its own name; failures stand in the order they strike in."""
    assert all(FAULTS[name].name == name and FAULTS[name].effect for name in FAULTS)
    assert {fault.credits for fault in FAULTS.values()} == {0, 1, 2}
    assert len({fault.effect for fault in FAULTS.values()}) == len(FAULTS)
    assert tuple(FAULTS)[: len(failures.NAMES)] == failures.NAMES


def test_a_rate_is_a_share() -> None:
    """A fault strikes about as often as its rate says, the same things every time, others with another seed."""
    faults, again, other = (Faults({"dear": 0.2}, rng_seed=seed) for seed in (1, 1, 2))
    struck = [i for i in range(5_000) if faults.strikes("dear", f"u{i}", "")]
    assert 900 < len(struck) < 1_100
    assert struck == [i for i in range(5_000) if again.strikes("dear", f"u{i}", "")]
    assert struck != [i for i in range(5_000) if other.strikes("dear", f"u{i}", "")]


def test_a_retried_call_usually_goes_through() -> None:
    """A fault decided for the call is decided anew for each attempt, one decided for the page is not."""
    asked = service(lookup_failed=0.5, dear=0.5)

    def outcomes(handle: str) -> list[int | None]:
        found: list[int | None] = []
        for _ in range(12):
            try:
                found.append(first(asked, handle).credits_charged)
            except errors.LookupFailed:
                found.append(None)
        return found

    by_account = [outcomes(f"a{i}") for i in range(20)]
    assert all(None in one and set(one) - {None} for one in by_account)
    prices = [set(one) - {None} for one in by_account]
    assert all(len(price) == 1 for price in prices)
    assert {1} in prices
    assert {2} in prices


def test_a_list_lies_on_all_its_pages_or_on_none() -> None:
    """A fault decided for the list is the same for every attempt at it."""
    asked = service(turns_hidden=0.5)
    assert len({visit(asked)[1].status for _ in range(5)}) == 1


@pytest.mark.parametrize("given", ["", "x", "1.01", "-0.1", "nan", "inf"])
def test_rates_out_of_range_are_refused(given: str) -> None:
    """A rate that is no number from 0 to 1 raises a typed error naming fault and rate, typed or handed over."""
    with pytest.raises(InvalidRate) as caught:
        parse(f"dear={given}")
    assert (caught.value.name, caught.value.given) == ("dear", given)
    if given not in {"", "x"}:
        with pytest.raises(InvalidRate):
            Faults({"dear": float(given)})


def test_unknown_names_come_with_a_suggestion() -> None:
    """A misspelt fault or profile raises a typed error that names the nearest known one."""
    with pytest.raises(UnknownFault, match="'lookup_fialed'") as fault:
        parse("lookup_fialed=0.1")
    assert fault.value.hint == "Did you mean lookup_failed?"
    with pytest.raises(UnknownFault):
        Faults({"lookup_fialed": 0.1})
    with pytest.raises(UnknownProfile) as unknown:
        profile("hostil")
    assert unknown.value.hint == "Did you mean hostile?"
    with pytest.raises(UnknownProfile) as far:
        profile("zzzzz")
    assert "faithful" in far.value.hint


def test_a_fault_is_typed_as_name_and_rate() -> None:
    """NAME=RATE is read as a person types it."""
    assert parse("stall=0.25") == ("stall", 0.25)
    assert parse("stall=1") == ("stall", 1.0)


def test_profiles_are_made_of_known_faults() -> None:
    """Every profile can be switched on, the faithful one is empty, the hostile one leaves out what ends a run."""
    for name in PROFILES:
        Faults(profile(name))
    assert profile("faithful") == {}
    left_out = FAULTS.keys() - profile("hostile").keys()
    assert left_out == {
        "unauthorized",
        "payment_required",
        "payment_settlement_failed",
        "forbidden",
        "wrong_path",
        "dear",
    }
    assert {FAULTS[name].decided for name in profile("hostile")} == set(Decided)
