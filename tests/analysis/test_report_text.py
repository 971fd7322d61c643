"""Text: numbers as people read them, foreign text tamed."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.report import text


@pytest.mark.parametrize(
    ("part", "whole", "expected"),
    [
        (0, 10, "0 %"),
        (10, 10, "100 %"),
        (1, 3, "33.3 %"),
        (1, 1_000_000, "< 0.1 %"),
        (999_999, 1_000_000, "> 99.9 %"),
        (1, 1_000, "0.1 %"),
        (0, 0, "–"),
    ],
)
def test_shares_never_round_to_nothing_or_everything(part: int, whole: int, expected: str) -> None:
    """A share has one decimal, and only nothing is 0 % and only everything 100 %."""
    assert text.percent(part, whole).replace("\u202f", " ") == expected


@pytest.mark.parametrize(
    ("value", "digits", "expected"),
    [
        (0.43712, 3, "0.437"),
        (0.00012345, 3, "0.000123"),
        (12345.6, 2, "12,346"),
        (0, 3, "0"),
        (None, 3, "–"),
        (-0.5, 2, "−0.50"),
    ],
)
def test_decimals_keep_their_digits(value: float | None, digits: int, expected: str) -> None:
    """A number shows its significant digits and never a power of ten."""
    assert text.decimal(value, digits) == expected


def test_counts_agree_with_their_nouns() -> None:
    """One account, two accounts, thousands apart."""
    assert [text.count(n, "account") for n in (0, 1, 1_234)] == ["0 accounts", "1 account", "1,234 accounts"]
    assert text.count(2, "community", "communities") == "2 communities"
    assert (text.number(1_234_567), text.number(None)) == ("1,234,567", "–")


def test_times_are_said_in_utc() -> None:
    """Days, minutes and periods are those of UTC."""
    assert text.minute(1_793_000_000) == "26 October 2026, 07:33 UTC"
    assert text.iso(1_793_000_000) == "2026-10-26T07:33:20Z"
    assert text.span(1_793_000_000, 1_793_000_060) == "on 26 October 2026"
    assert text.span(1_793_000_000, 1_793_100_000) == "between 26 October 2026 and 27 October 2026"
    assert (text.span(None, None), text.day(None), text.iso(None)) == ("not yet", "–", "")


def test_enumerations_end_in_and() -> None:
    """Words are joined as in a sentence."""
    assert [text.listing(words) for words in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == [
        "none",
        "a",
        "a and b",
        "a, b and c",
    ]


@given(st.text(st.characters(), max_size=300))
def test_foreign_text_loses_what_acts_on_its_surroundings(hostile: str) -> None:
    """Whatever a name holds, no control, override, invisible or unpaired character is shown, nor more than fits."""
    clean = text.shown(hostile)
    assert len(clean) <= text.LONGEST
    assert not {unicodedata.category(c) for c in clean if c not in "\u200c\u200d"} & {
        "Cc",
        "Cf",
        "Cs",
        "Cn",
        "Zl",
        "Zp",
    }
    assert clean == clean.strip()


@pytest.mark.parametrize(
    ("hostile", "clean"),
    [
        ("abc\u202egpj.exe", "abcgpj.exe"),
        ("\u2066\u2069\u061c\ufeff\u200bx", "x"),
        ("a\x1b[31m\x00b\nc\u2028d", "a [31m b c d"),
        ("\ud800half", "half"),
        ("x" + "\u0301" * 40, "x" + "\u0301" * 3),
        ("\u3164\u2800", ""),
        ("👩\u200d🔬 Ayşe", "👩\u200d🔬 Ayşe"),
        ("y" * 200, "y" * 63 + "…"),
        ("z" * 100_000, "z" * 63 + "…"),
    ],
)
def test_known_tricks_are_undone(hostile: str, clean: str) -> None:
    """Overrides, escapes, towers of accents, blank letters and floods are removed; real names stay as they are."""
    assert text.shown(hostile) == clean


def test_labels_fall_back_on_the_id() -> None:
    """An account without a printable handle is called by its id."""
    assert [text.label(handle, 7) for handle in ("ann", None, "\u200b")] == ["@ann", "account 7", "account 7"]
