from __future__ import annotations

import io
import os

import pytest

from cli.stream import Stream


def test_text_goes_through() -> None:
    """What is written arrives, and the stream knows what it is."""
    inner = io.StringIO()
    stream = Stream(inner)
    assert stream.write("a") == 1
    stream.flush()
    assert inner.getvalue() == "a"
    assert stream.writable()
    assert not stream.isatty()
    assert stream.encoding == "utf-8"
    assert stream.error is None


def test_a_closed_stream() -> None:
    """A standard stream that the caller closed takes everything and keeps nothing."""
    stream = Stream(None)
    assert stream.write("abc") == 3
    stream.flush()
    assert not stream.isatty()
    with pytest.raises(OSError, match="closed"):
        stream.fileno()


def test_a_reader_that_went_away() -> None:
    """After the reader is gone nothing raises, everything is dropped, and the first error is kept."""
    reading, writing = os.pipe()
    os.close(reading)
    with io.TextIOWrapper(os.fdopen(writing, "wb"), encoding="utf-8") as inner:
        stream = Stream(inner)
        stream.write("a")
        stream.flush()
        first = stream.error
        assert isinstance(first, BrokenPipeError)
        for _ in range(3):
            assert stream.write("b" * 100_000) == 100_000
            stream.flush()
        assert stream.error is first


def test_writing_past_the_buffer() -> None:
    """A failure in the middle of writing is taken as calmly as one at the end."""
    reading, writing = os.pipe()
    os.close(reading)
    with io.TextIOWrapper(os.fdopen(writing, "wb", buffering=0), encoding="utf-8", write_through=True) as inner:
        stream = Stream(inner)
        stream.write("a" * 100_000)
        assert isinstance(stream.error, BrokenPipeError)


def test_signs_that_an_encoding_lacks() -> None:
    """Signs that the encoding cannot write, undecodable ones included, are written as escapes."""
    raw = io.BytesIO()
    inner = io.TextIOWrapper(raw, encoding="ascii")
    stream = Stream(inner)
    stream.write("ä\udcff")
    stream.flush()
    assert raw.getvalue() == b"\\xe4\\udcff"
