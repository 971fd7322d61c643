"""The rules of the simulated API, asked without sockets."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
import virtual_time

from socialfetch import errors
from socialfetch.client import Client
from socialfetch.simulator.answers import Answer, Delivery
from socialfetch.simulator.errors import InvalidSetting
from socialfetch.simulator.faults import Faults
from socialfetch.simulator.network import Network, Status, from_follows, generate
from socialfetch.simulator.service import Service
from socialfetch.simulator.settings import Settings
from socialfetch.simulator.transport import InProcess

NOW = 1_760_000_000.0
KEY = "sfk_test"


def star(follows: int) -> Network:
    """Return a network in which `hub` follows `a0`, `a1`, … in this order."""
    return from_follows([("hub", f"a{i}") for i in range(follows)])


def service(network: Network | None = None, settings: Settings | None = None, **rates: float) -> Service:
    """Return a service, by default one with a hub of 45 follows, whose clock stands still."""
    return Service(
        network=network or star(45),
        settings=settings or Settings(),
        faults=Faults(rates),
        now=lambda: NOW,
    )


def ask(asked: Service, handle: str, key: str | None = KEY, **query: str) -> Answer:
    """Ask for a page of a list."""
    headers = {} if key is None else {"x-api-key": key}
    return asked.answer(f"/v1/tiktok/profiles/{handle}/following", query, headers)


def read(answer: Answer) -> Any:
    """Return the body of an answer."""
    return msgspec.json.decode(answer.body)


def handles(answer: Answer) -> list[str]:
    """Return the handles a page lists."""
    return [account["handle"] for account in read(answer)["data"]["accounts"]]


def code(answer: Answer) -> tuple[int, str]:
    """Return the status and the error code of a refusal."""
    return answer.status, read(answer)["error"]["code"]


def walk(asked: Service, handle: str) -> list[Answer]:
    """Ask for a list page by page by the provider's own rule."""
    pages = [ask(asked, handle)]
    while (page := read(pages[-1])["data"]["page"])["hasMore"] and page["nextCursor"]:
        pages.append(ask(asked, handle, cursor=page["nextCursor"]))
    return pages


def test_a_list_is_served_whole_in_pages() -> None:
    """45 follows come on pages of 20, 20 and 5, newest first, each with the true total and a price of 1."""
    pages = walk(service(), "hub")
    assert [len(handles(page)) for page in pages] == [20, 20, 5]
    assert [handle for page in pages for handle in handles(page)] == [f"a{i}" for i in range(45)]
    assert [read(page)["data"]["totalAccounts"] for page in pages] == [45] * 3
    assert [read(page)["meta"]["creditsCharged"] for page in pages] == [1] * 3
    assert read(pages[-1])["data"]["page"] == {"nextCursor": None, "hasMore": False}


def test_cursors_are_decreasing_epoch_seconds() -> None:
    """Each cursor is a string of epoch seconds, smaller than the one before."""
    cursors = [read(page)["data"]["page"]["nextCursor"] for page in walk(service(), "hub")[:-1]]
    assert all(isinstance(cursor, str) for cursor in cursors)
    assert 1_500_000_000 < int(cursors[1]) < int(cursors[0]) <= NOW


def test_a_list_that_fills_its_pages_exactly_ends_there() -> None:
    """40 follows come on two pages, not on two and an empty one."""
    assert [len(handles(page)) for page in walk(service(star(40)), "hub")] == [20, 20]


def test_an_account_that_follows_nobody_is_found_and_empty() -> None:
    """An empty list is found, has total 0 and costs 1."""
    asked = service()
    assert read(ask(asked, "a0"))["data"] == {
        "lookupStatus": "found",
        "accounts": [],
        "page": {"nextCursor": None, "hasMore": False},
        "totalAccounts": 0,
    }
    assert asked.ledger.charged == 1


@pytest.mark.parametrize("status", [Status.HIDDEN, Status.PRIVATE, Status.NOT_FOUND])
def test_lists_not_shown_cost_a_credit(status: Status) -> None:
    """Hidden, private and vanished accounts list nothing, have no total and cost 1."""
    network = star(3)
    network.set_status("hub", status)
    asked = service(network)
    data = read(ask(asked, "hub"))["data"]
    assert (data["lookupStatus"], data["accounts"], data["totalAccounts"]) == (status, [], None)
    assert asked.ledger.pages == {"hub|": 1}


def test_a_handle_of_nobody_is_a_paid_not_found() -> None:
    """An account that was never there is not_found, at 1 credit."""
    asked = service()
    page = read(ask(asked, "nobody"))
    assert (page["data"]["lookupStatus"], page["meta"]["creditsCharged"]) == ("not_found", 1)


def test_a_list_hidden_between_two_pages_answers_hidden() -> None:
    """A cursor given out stays good when the list turns hidden: the answer says so."""
    asked = service()
    cursor = read(ask(asked, "hub"))["data"]["page"]["nextCursor"]
    asked.network.set_status("hub", Status.HIDDEN)
    assert read(ask(asked, "hub", cursor=cursor))["data"]["lookupStatus"] == "hidden"


def test_listed_accounts_carry_true_degrees_and_flags() -> None:
    """Metrics are the graph's degrees, at the time of asking; a flagged private account is shown as such."""
    network = from_follows([("a", "b"), ("c", "b"), ("b", "a")])
    network.set_status("b", Status.PRIVATE, flagged=True)
    asked = service(network)
    (account,) = read(ask(asked, "a"))["data"]["accounts"]
    assert (account["metrics"]["followers"], account["metrics"]["following"]) == (2, 1)
    assert account["privateAccount"] is True
    network.add_follow("b", "c")
    network.remove_follow("c", "b")
    (account,) = read(ask(asked, "a"))["data"]["accounts"]
    assert (account["metrics"]["followers"], account["metrics"]["following"]) == (1, 2)


def test_follows_change_between_two_visits() -> None:
    """A second visit shows a follow added in front and leaves out one removed."""
    asked = service(star(3))
    assert handles(ask(asked, "hub")) == ["a0", "a1", "a2"]
    asked.network.remove_follow("hub", "a1")
    asked.network.add_follow("a0", "a1")
    assert handles(ask(asked, "hub")) == ["a0", "a2"]
    assert handles(ask(asked, "a0")) == ["a1"]


@pytest.mark.parametrize("written", ["hub", "HUB", "%40hub", "%20Hub%20"])
def test_handles_are_taken_in_any_spelling(written: str) -> None:
    """Case, @ and blanks do not matter, and the ledger knows one name."""
    asked = service(star(1))
    assert handles(ask(asked, written)) == ["a0"]
    assert asked.ledger.pages == {"hub|": 1}


@pytest.mark.parametrize("written", ["", "%20", "%40", "x" * 129, "%00", "\udce9"])
def test_empty_and_overlong_handles_are_refused(written: str) -> None:
    """A handle that is empty, longer than 128 characters or no text is a 400 and costs nothing."""
    asked = service()
    assert code(ask(asked, written)) == (400, "bad_request")
    assert asked.ledger.charged == 0


def test_the_longest_handle_is_taken() -> None:
    """128 characters are allowed."""
    assert ask(service(), "x" * 128).status == 200


@pytest.mark.parametrize("cursor", ["", "1", "abc", "-5", "1742744536", "99999999999", "١٢٣"])
def test_empty_and_foreign_cursors_are_refused(cursor: str) -> None:
    """A cursor that this list did not give out is a 400 and costs nothing."""
    asked = service()
    assert code(ask(asked, "hub", cursor=cursor)) == (400, "bad_request")
    assert asked.ledger.charged == 0


def test_a_cursor_of_another_list_is_refused() -> None:
    """A cursor is good for the list it came from only."""
    network = from_follows([(hub, f"a{i}") for hub in ("one", "two") for i in range(30)])
    asked = service(network)
    cursor = read(ask(asked, "one"))["data"]["page"]["nextCursor"]
    assert code(ask(asked, "two", cursor=cursor)) == (400, "bad_request")
    assert code(ask(asked, "nobody", cursor=cursor)) == (400, "bad_request")


def test_trim_leaves_out_the_stable_ids() -> None:
    """With trim=true accounts have neither id, at the same price; a trim that is no boolean is a 400."""
    asked = service(star(4))
    whole, trimmed = (read(ask(asked, "hub", trim=trim)) for trim in ("false", "true"))
    assert all("platformUserId" in account for account in whole["data"]["accounts"])
    assert any("secUid" in account for account in whole["data"]["accounts"])
    assert not any({"platformUserId", "secUid"} & account.keys() for account in trimmed["data"]["accounts"])
    assert trimmed["meta"]["creditsCharged"] == 1
    assert code(ask(asked, "hub", trim="yes")) == (400, "bad_request")


def test_keys_are_checked_before_anything_else() -> None:
    """Without a key the paid route asks for payment, free routes answer 401; a wrong key is a 401 everywhere."""
    asked = service(settings=Settings(key=KEY))
    for key in (None, ""):
        assert code(ask(asked, "hub", key=key)) == (402, "payment_required")
    assert code(ask(asked, "", key="wrong")) == (401, "unauthorized")
    for path in ("/v1/balance", "/v1/whoami"):
        assert code(asked.answer(path, {}, {})) == (401, "unauthorized")
        assert code(asked.answer(path, {}, {"x-api-key": "wrong"})) == (401, "unauthorized")
        assert asked.answer(path, {}, {"x-api-key": KEY}).status == 200
    assert asked.ledger.charged == 0


def test_any_key_is_taken_unless_one_is_set() -> None:
    """Without a key in the settings every key is right."""
    assert ask(service(), "hub", key="whatever").status == 200


@pytest.mark.parametrize("path", ["/", "/v1/tiktok/profiles/hub", "/v1/tiktok/profiles/a/b/following", "/v2/balance"])
def test_unknown_paths_are_not_found(path: str) -> None:
    """A path that is no route is a 404 with the error envelope."""
    assert code(service().answer(path, {}, {"x-api-key": KEY})) == (404, "not_found")


def test_an_empty_balance_refuses_with_a_way_to_pay() -> None:
    """Once the credits are spent the paid route is a 402 with a checkout URL and the free routes still answer."""
    asked = service(settings=Settings(credits=2))
    assert [ask(asked, "hub").status for _ in range(2)] == [200, 200]
    refused = ask(asked, "hub")
    assert code(refused) == (402, "insufficient_credits")
    assert read(refused)["error"]["checkoutUrl"].startswith("https://")
    assert (asked.ledger.charged, asked.balance) == (2, 0)
    assert walk_free(asked, "/v1/balance")["data"]["balance"] == 0
    asked.top_up(1)
    assert ask(asked, "hub").status == 200


def walk_free(asked: Service, path: str) -> Any:
    """Ask a free route."""
    return read(asked.answer(path, {}, {"x-api-key": KEY}))


def test_the_balance_is_what_the_ledger_says() -> None:
    """The balance falls by what was charged, has the new contract's fields and costs nothing."""
    asked = service(settings=Settings(credits=10))
    ask(asked, "hub")
    told = walk_free(asked, "/v1/balance")
    assert told["data"]["balance"] == told["data"]["payg"] == 9
    assert told["data"]["billingAlert"] == "none"
    assert "refillState" not in told["data"]
    assert told["meta"]["creditsCharged"] == 0
    assert asked.ledger.charged == 1


def test_whoami_names_the_customer() -> None:
    """The free route says whose key it is."""
    assert walk_free(service(), "/v1/whoami")["data"]["user"]["id"] == "usr_simulated"


def test_free_routes_refuse_when_asked_too_often() -> None:
    """Above the limit a free route is a 429 with Retry-After, each route for itself, until a minute has passed."""
    clock = [NOW]
    asked = Service(
        network=star(1),
        settings=Settings(free_calls_per_minute=2),
        faults=Faults(),
        now=lambda: clock[0],
    )
    headers = {"x-api-key": KEY}
    statuses = []
    for _ in range(3):
        statuses.append(asked.answer("/v1/balance", {}, headers).status)
        clock[0] += 10
    assert statuses == [200, 200, 429]
    refused = asked.answer("/v1/balance", {}, headers)
    assert code(refused) == (429, "temporarily_unavailable")
    assert refused.headers["retry-after"] == "31"
    assert asked.answer("/v1/whoami", {}, headers).status == 200
    clock[0] += 31
    assert asked.answer("/v1/balance", {}, headers).status == 200


def test_free_routes_can_be_unlimited() -> None:
    """Without a limit a free route answers as often as it is asked."""
    asked = service(settings=Settings(free_calls_per_minute=None))
    assert {asked.answer("/v1/balance", {}, {"x-api-key": KEY}).status for _ in range(500)} == {200}


def test_the_ledger_is_complete() -> None:
    """Calls, credits and each page's charges are counted, refused calls without a charge."""
    asked = service()
    first = ask(asked, "hub")
    cursor = read(first)["data"]["page"]["nextCursor"]
    for _ in range(2):
        ask(asked, "hub", cursor=cursor)
    ask(asked, "nobody")
    ask(asked, "hub", cursor="1")
    assert read_ledger(asked) == {
        "charged": 4,
        "calls": 5,
        "pages": {"hub|": 1, f"hub|{cursor}": 2, "nobody|": 1},
    }


def read_ledger(asked: Service) -> Any:
    """Return the ledger as plain values."""
    return msgspec.to_builtins(asked.ledger)


def test_page_sizes_can_vary() -> None:
    """With jitter the pages differ in size within the bounds, a page asked again is the same, the list stays whole."""
    asked = service(star(400), Settings(page_size=20, page_jitter=10))
    pages = walk(asked, "hub")
    sizes = [len(handles(page)) for page in pages[:-1]]
    assert len(set(sizes)) > 3
    assert min(sizes) >= 10
    assert max(sizes) <= 30
    assert [handle for page in pages for handle in handles(page)] == [f"a{i}" for i in range(400)]
    assert [handles(page) for page in walk(asked, "hub")] == [handles(page) for page in pages]


def test_latency_is_fixed_or_log_normal() -> None:
    """A fixed latency is the same for every call; a spread one has the given median and differs call by call."""
    fixed = service(settings=Settings(latency_s=0.3))
    assert {ask(fixed, f"u{i}").delay_s for i in range(5)} == {0.3}
    spread = service(settings=Settings(latency_s=0.3, latency_spread=0.5))
    drawn = sorted(ask(spread, f"u{i}").delay_s for i in range(999))
    assert 0.27 < drawn[499] < 0.33
    assert drawn[0] < 0.15
    assert drawn[-1] > 0.8


def test_answers_do_not_depend_on_the_order_of_asking() -> None:
    """Two orders of asking for the same pages bring byte-identical answers to each page, faults included."""
    rates = {"lookup_failed": 0.3, "hang_up": 0.1, "cached": 0.3, "drifting_total": 0.5, "renamed": 0.2}

    def answers(order: list[int]) -> dict[int, list[Answer]]:
        asked = service(generate(60, rng_seed=1), Settings(latency_s=1, latency_spread=1), **rates)
        brought: dict[int, list[Answer]] = {}
        for number in order:
            brought.setdefault(number, []).append(ask(asked, f"u{number}"))
        return brought

    forward = [*range(60), *range(60)]
    one, other = answers(forward), answers(forward[::-1])
    assert one == other
    assert len({answer.status for group in one.values() for answer in group}) > 1


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"credits": -1}, "0 or more"),
        ({"page_size": 0}, "1 or more"),
        ({"page_jitter": 20}, "less than page_size (20)"),
        ({"latency_s": float("nan")}, "seconds"),
        ({"latency_spread": float("nan")}, "0 or more"),
        ({"key": ""}, "text"),
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, Any], expected: str) -> None:
    """A setting out of its range raises a typed error that says what is expected."""
    with pytest.raises(InvalidSetting) as caught:
        Settings(**wrong)
    assert caught.value.name in wrong
    assert expected in caught.value.hint


def in_process(asked: Service, timeout_s: float = 30.0) -> Client:
    """Return a client without sockets."""
    return Client(InProcess(asked, key=KEY, timeout_s=timeout_s))


def test_the_client_reads_the_service_in_process() -> None:
    """The project's own client buys a whole list through the transport without sockets."""

    async def crawl() -> list[str]:
        found, cursor = [], None
        async with in_process(service()) as client:
            while True:
                page = await client.following("hub", cursor)
                found += [account.handle for account in page.accounts]
                cursor = page.next_cursor
                if cursor is None:
                    return found

    assert asyncio.run(crawl()) == [f"a{i}" for i in range(45)]


def test_latency_passes_in_virtual_time() -> None:
    """In process the latency is waited for by asyncio alone, so a virtual clock shows exactly that time."""

    async def measure() -> float:
        loop = asyncio.get_running_loop()
        async with in_process(service(settings=Settings(latency_s=2.5))) as client:
            await client.following("hub")
            await client.balance()
        return loop.time()

    assert virtual_time.run(measure()) == pytest.approx(5.0)


def test_a_client_that_gives_up_has_paid() -> None:
    """A call whose answer takes longer than the client waits is charged all the same."""
    asked = service(settings=Settings(latency_s=40.0))

    async def give_up() -> float:
        async with in_process(asked) as client:
            with pytest.raises(errors.TimedOut):
                await client.following("hub")
        return asyncio.get_running_loop().time()

    assert virtual_time.run(give_up()) == pytest.approx(30.0)
    assert asked.ledger.charged == 1


def test_answers_are_delivered_whole_without_faults() -> None:
    """Without faults nothing is cut, slow or kept back, and the same arguments give the same bytes."""
    network = generate(200, rng_seed=2)
    one, other = (service(network) for _ in range(2))
    for number in range(200):
        answer = ask(one, f"u{number}")
        assert answer.delivery is Delivery.WHOLE
        assert answer == ask(other, f"u{number}")
