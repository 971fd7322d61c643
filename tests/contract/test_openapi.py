"""The simulated API keeps the provider's contract: every answer validates against its OpenAPI document."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from jsonschema import Draft202012Validator
from openapi_core import Config, OpenAPI
from openapi_core.testing import MockRequest, MockResponse
from openapi_core.validation.exceptions import ValidationError

from socialfetch.simulator.answers import Answer
from socialfetch.simulator.faults import FAULTS, Faults
from socialfetch.simulator.network import Network, Status, generate
from socialfetch.simulator.service import Service
from socialfetch.simulator.settings import Settings

CONTRACT = Path(__file__).parent / "openapi.json"
KEY = "sfk_test"
ROUTE = "/v1/tiktok/profiles/{handle}/following"


def _is_uri(value: object) -> bool:
    return not isinstance(value, str) or bool(urlsplit(value).scheme and urlsplit(value).netloc)


@dataclass(frozen=True, slots=True)
class Contract:
    """The provider's document, and what holds answers against it."""

    document: Any
    checker: OpenAPI


@pytest.fixture(scope="module", name="contract")
def _contract() -> Contract:
    document = json.loads(CONTRACT.read_text())
    return Contract(document, OpenAPI.from_dict(document, Config(extra_format_validators={"uri": _is_uri})))


@pytest.fixture(scope="module", name="network")
def _network() -> Network:
    return generate(300, rng_seed=1)


def service(network: Network, settings: Settings | None = None, **rates: float) -> Service:
    """Return a service whose clock stands still."""
    return Service(
        network=network, settings=settings or Settings(key=KEY), faults=Faults(rates), now=lambda: 1_760_000_000.0
    )


def get(asked: Service, path: str, key: str | None = KEY, **query: str) -> Answer:
    """Ask for a path."""
    return asked.answer(path, query, {} if key is None else {"x-api-key": key})


def page(asked: Service, handle: str, key: str | None = KEY, **query: str) -> Answer:
    """Ask for a page."""
    return get(asked, ROUTE.format(handle=handle), key, **query)


def validate_documented(contract: Contract, answer: Answer, path: str) -> Any:
    """Return the body of an answer, valid by what the contract says of this route and status.

    Raises ValidationError.
    """
    asked = MockRequest("https://api.socialfetch.dev", "get", path.replace("{handle}", "u0"))
    given = MockResponse(answer.body, answer.status, dict(answer.headers), answer.headers["content-type"])
    contract.checker.validate_response(asked, given)
    return msgspec.json.decode(answer.body)


def validate_envelope(contract: Contract, answer: Answer) -> None:
    """Check that a body is the contract's error, whatever its status. Raises jsonschema's ValidationError."""
    root = {"$ref": "#/components/schemas/Error", "components": contract.document["components"]}
    Draft202012Validator(root).validate(msgspec.json.decode(answer.body))


def test_every_list_keeps_the_contract(contract: Contract, network: Network) -> None:
    """All pages of all accounts of a generated network validate, and all four statuses are among them."""
    asked = service(network)
    statuses = set()
    for index in range(network.accounts):
        cursor: str | None = None
        while True:
            answer = page(asked, f"u{index}", **({} if cursor is None else {"cursor": cursor}))
            data = validate_documented(contract, answer, ROUTE)["data"]
            statuses.add(data["lookupStatus"])
            cursor = data["page"]["nextCursor"]
            assert (cursor is not None) == data["page"]["hasMore"]
            assert (data["totalAccounts"] is not None) == (data["lookupStatus"] == "found")
            if cursor is None:
                break
    assert statuses == set(Status)
    assert asked.ledger.charged == sum(asked.ledger.pages.values()) == asked.ledger.calls


def test_default_accounts_carry_an_iso_time_of_creation(contract: Contract, network: Network) -> None:
    """By default every account has an ISO-8601 time of creation, in the provider's own form."""
    for account in validate_documented(contract, page(service(network), "u0"), ROUTE)["data"]["accounts"]:
        assert datetime.fromisoformat(account["accountCreatedAt"]).tzinfo is not None
        assert account["accountCreatedAt"].endswith(".000Z")


def test_trimmed_and_unknown_accounts_keep_the_contract(contract: Contract, network: Network) -> None:
    """Trimmed pages and the page of a handle that nobody has validate too."""
    asked = service(network)
    validate_documented(contract, page(asked, "u0", trim="true"), ROUTE)
    validate_documented(contract, page(asked, "nobody"), ROUTE)


def test_every_route_of_the_contract_is_served(contract: Contract, network: Network) -> None:
    """Each path of the contract answers 200 with its documented body."""
    asked = service(network)
    for path in contract.document["paths"]:
        validate_documented(contract, get(asked, path.replace("{handle}", "u0")), path)


def test_documented_refusals_keep_the_contract(contract: Contract, network: Network) -> None:
    """Refusals of handle, cursor, key and empty purse validate, on every route that has them."""
    asked = service(network)
    refusals = [
        page(asked, ""),
        page(asked, "x" * 129),
        page(asked, "u0", cursor=""),
        page(asked, "u0", cursor="123"),
        page(asked, "u0", key="wrong"),
        page(asked, "u0", key=None),
        page(service(network, Settings(credits=0)), "u0"),
        page(service(network, Settings(credits=0), no_checkout_url=1.0), "u0"),
    ]
    for answer in refusals:
        validate_documented(contract, answer, ROUTE)
    assert {answer.status for answer in refusals} == {400, 401, 402}
    busy = service(network, Settings(free_calls_per_minute=1))
    for path in ("/v1/balance", "/v1/whoami"):
        answers = [get(busy, path), get(busy, path), get(busy, path, key=None)]
        assert [answer.status for answer in answers] == [200, 429, 401]
        for answer in answers:
            validate_documented(contract, answer, path)


@pytest.mark.parametrize(
    "fault",
    [
        *("internal_error", "internal_error_charged", "lookup_failed", "lookup_failed_charged", "overloaded"),
        *("overloaded_date", "overloaded_bare", "bad_request", "unauthorized", "payment_required"),
        "payment_settlement_failed",
    ],
)
def test_documented_failures_keep_the_contract(contract: Contract, network: Network, fault: str) -> None:
    """Each failure with a documented status has the documented body."""
    body = validate_documented(contract, page(service(network, **{fault: 1.0}), "u0"), ROUTE)
    assert body["error"]["requestId"]


@pytest.mark.parametrize("fault", ["throttled", "forbidden", "wrong_path"])
def test_undocumented_failures_keep_the_envelope(contract: Contract, network: Network, fault: str) -> None:
    """A failure with a status not in the contract still has the contract's error envelope."""
    answer = page(service(network, **{fault: 1.0}), "u0")
    assert str(answer.status) not in contract.document["paths"][ROUTE]["get"]["responses"]
    validate_envelope(contract, answer)


def test_both_balances_keep_the_contract(contract: Contract, network: Network) -> None:
    """The full balance, the one of an account with automatic top-up and the old one all validate."""
    for rates in ({}, {"refill_on": 1.0}, {"old_balance": 1.0}, {"balance_lags": 1.0}):
        validate_documented(contract, get(service(network, **rates), "/v1/balance"), "/v1/balance")


KEEPING = {
    *("cached", "dear", "no_checkout_url", "drifting_total", "unknown_fields", "no_ids", "created_at_absent"),
    *("hostile_text", "turns_hidden", "more_without_cursor", "cursor_without_more", "repeated_cursor"),
    *("repeated_page", "empty_page", "duplicate_account", "self_follow", "mixed_case", "renamed", "taken_over"),
    *("cut_body", "slow"),
}
BREAKING = {"no_receipt", "no_request_id", "integer_cursor", "created_at_integer", "broken_account", "unknown_status"}


@pytest.mark.parametrize("fault", sorted(KEEPING | BREAKING))
def test_odd_pages_keep_or_break_the_contract(contract: Contract, network: Network, fault: str) -> None:
    """Only the faults meant to break the contract do; that they are caught shows that validation bites."""
    asked = service(network, **{fault: 1.0})
    found = [index for index in range(network.accounts) if network.status(index) is Status.FOUND]
    handle = network.handle(max(found, key=lambda index: network.following_counts[index]))
    first = page(asked, handle)
    cursor = msgspec.json.decode(first.body)["data"]["page"]["nextCursor"]
    answers = [first] if cursor is None else [first, page(asked, handle, cursor=str(cursor))]
    if fault in BREAKING:
        with pytest.raises(ValidationError):
            validate_documented(contract, first, ROUTE)
    else:
        for answer in answers:
            validate_documented(contract, answer, ROUTE)


def test_every_fault_with_a_page_was_looked_at() -> None:
    """The two sets above name every fault whose call brings a page."""
    pages = {name for name, fault in FAULTS.items() if fault.decided.value in {"page", "list", "account"}}
    assert pages | {"cut_body", "slow"} == KEEPING | BREAKING


def test_formats_are_held_against_the_contract_too(contract: Contract, network: Network) -> None:
    """A time and an address that are mere texts are caught."""
    listing = page(service(network), "u0")
    body = msgspec.json.decode(listing.body)
    body["data"]["accounts"][0]["accountCreatedAt"] = "yesterday"
    refusal = page(service(network, Settings(credits=0)), "u0")
    error = msgspec.json.decode(refusal.body)
    error["error"]["checkoutUrl"] = "no address"
    for answer, wrong in ((listing, body), (refusal, error)):
        validate_documented(contract, answer, ROUTE)
        with pytest.raises(ValidationError):
            validate_documented(contract, msgspec.structs.replace(answer, body=msgspec.json.encode(wrong)), ROUTE)
