"""No input makes a parser fail in a way that its callers do not know: the corpus, and what hypothesis makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"


@pytest.mark.parametrize("name", TARGETS)
def test_the_corpus(name: str) -> None:
    """Inputs that once mattered: each is read, or refused as its callers expect."""
    inputs = sorted((CORPUS / name).glob("*"))
    assert inputs
    for path in inputs:
        TARGETS[name](path.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_neighbours_of_the_corpus(name: str, data: st.DataObject) -> None:
    """A piece of an input, some bytes, a piece of another: nothing but what callers expect is raised."""
    inputs = [path.read_bytes() for path in sorted((CORPUS / name).glob("*"))]
    first, second = (data.draw(st.sampled_from(inputs)) for _ in range(2))
    start, end = (data.draw(st.integers(0, len(each))) for each in (first, second))
    TARGETS[name](first[:start] + data.draw(st.binary(max_size=20)) + second[end:])
