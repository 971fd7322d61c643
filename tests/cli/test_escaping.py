from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cli.escaping import escaped, shortened


def test_terminal_commands() -> None:
    """Escape sequences, line breaks, bidirectional controls, invisible and undecodable signs become visible text."""
    assert escaped("a\x1b[31mb\r\n\u202ec\u200bd\udcffe\U000e0041") == (
        "a\\x1b[31mb\\x0d\\x0a\\u202ec\\u200bd\\udcffe\\U000e0041"
    )


def test_words_stay() -> None:
    """Letters of any script stay as they are."""
    assert escaped("Zoë·обзор_日本") == "Zoë·обзор_日本"


@given(st.text(st.characters(codec=None)))
def test_nothing_unprintable_is_left(text: str) -> None:
    """Whatever the text, the escaped one fits on a line and can be encoded."""
    shown = escaped(text)
    assert shown.isprintable() or set(shown) <= {sign for sign in shown if sign.isprintable() or sign.isspace()}
    assert len(shown.splitlines()) <= 1
    shown.encode()


def test_shortened() -> None:
    """A long text is cut and says so."""
    assert shortened("a" * 100, 10) == "a" * 9 + "…"
    assert shortened("abc", 10) == "abc"
