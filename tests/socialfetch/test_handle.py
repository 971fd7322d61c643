"""Handles as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socialfetch.handle import InvalidHandle, normalise, parse


@pytest.mark.parametrize(
    ("text", "handle"),
    [
        ("ada", "ada"),
        ("@Ada.Lovelace_1", "ada.lovelace_1"),
        ("  @ada  ", "ada"),
        ("https://www.tiktok.com/@Ada?lang=en", "ada"),
        ("http://m.tiktok.com/@ada/video/1", "ada"),
        ("tiktok.com/@ada", "ada"),
        ("https://www.tiktok.com/%40ada", "ada"),
    ],
)
def test_handles_and_profile_addresses_are_understood(text: str, handle: str) -> None:
    """@x, x and profile addresses mean the same account."""
    assert parse(text) == handle


@pytest.mark.parametrize(
    "text",
    ["", "@", "a b", "..", "a/b", "https://example.com/@ada", "https://www.tiktok.com/", "x" * 129, "a\nb", "@@a", "a'"]
    + ["https://tiktok.com.evil.example/@ada", "ftp://tiktok.com/@ada", "../../etc/passwd", "[x]/y"],
)
def test_what_is_no_handle_is_refused(text: str) -> None:
    """A wrong handle would be a paid not_found, so it never gets that far."""
    with pytest.raises(InvalidHandle) as caught:
        parse(text)
    assert caught.value.given == text


@given(st.text())
def test_a_parsed_handle_is_normal(text: str) -> None:
    """Whatever parse returns is its own normal form and parses to itself."""
    try:
        handle = parse(text)
    except InvalidHandle:
        return
    assert normalise(handle) == handle == parse(handle)
