"""Input that wants to do harm: bombs, depths, giants, lies. Each ends in a clear error, in little memory and time."""

from __future__ import annotations

import gzip
import json
import socket
import sqlite3
import tracemalloc
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path

import hostile_server
import pytest
import rehearsal
import zstandard
from people import name, now, town

from cli import escaping
from crawler.replay import replay
from socialfetch import errors as api_errors
from socialfetch.client import Client, HttpTransport, Page, read_page
from socialfetch.scrubbing import scrubbed
from socialfetch.simulator import edge_list
from socialfetch.simulator.errors import UnreadableGraph
from storage import archive, errors, export
from storage.database import Database

MB = 1_000_000
DEEP = "[" * 200_000 + "]" * 200_000


@contextmanager
def little_memory(most: int) -> Iterator[None]:
    """Fail where the block allocates more than so many bytes at a time."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < most
    finally:
        tracemalloc.stop()


def asked(behave: hostile_server.Behaviour, *, max_body_bytes: int = 8_388_608) -> Page:
    """Buy one page from a server that behaves so."""
    import asyncio

    server = hostile_server.Hostile(behave)

    async def ask() -> Page:
        transport = HttpTransport(
            base_url=server.url,
            key="k",
            user_agent="test",
            connections=1,
            timeout_s=30.0,
            connect_timeout_s=5.0,
            max_body_bytes=max_body_bytes,
        )
        async with Client(transport) as client:
            return await client.following("ada")

    try:
        return asyncio.run(ask())
    finally:
        server.close()


def head(*more: str) -> bytes:
    return "\r\n".join(["HTTP/1.1 200 OK", "Content-Type: application/json", *more, "", ""]).encode()


# --- answers of the API --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_a_compressed_bomb_is_dropped_at_the_limit(coding: str) -> None:
    """A gigabyte in a megabyte: reading stops soon after the limit, not at the end."""
    packer = zlib.compressobj(9, wbits=31 if coding == "gzip" else 15)
    bomb = b"".join(packer.compress(bytes(MB)) for _ in range(1000)) + packer.flush()
    assert len(bomb) < 2 * MB

    def behave(conn: socket.socket, _: bytes) -> None:
        conn.sendall(head(f"Content-Encoding: {coding}", f"Content-Length: {len(bomb)}") + bomb)

    with little_memory(60 * MB), pytest.raises(api_errors.Malformed, match="larger than"):
        asked(behave)


def test_a_giant_answer_is_dropped_at_the_limit() -> None:
    """A hundred megabytes of truth are no page."""

    def behave(conn: socket.socket, _: bytes) -> None:
        conn.sendall(head(f"Content-Length: {100 * MB}"))
        for _ in range(100):
            conn.sendall(bytes(MB))

    with little_memory(60 * MB), pytest.raises(api_errors.Malformed, match="larger than"):
        asked(behave)


def test_an_endless_head_is_refused() -> None:
    """Headers without end are not collected."""

    def behave(conn: socket.socket, _: bytes) -> None:
        conn.sendall(b"HTTP/1.1 200 OK\r\n")
        for number in range(10_000):
            conn.sendall(f"X-{number}: {'x' * 4000}\r\n".encode())

    with little_memory(60 * MB), pytest.raises(api_errors.SocialFetchError):
        asked(behave)


PAGE = '{"data":{"lookupStatus":"found","accounts":[%s],"page":{"hasMore":false}},"meta":{"creditsCharged":1}}'
GOOD = '{"handle":"ada","metrics":{"followers":1,"following":1}}'


def test_deep_json_in_one_account_is_no_page() -> None:
    """Nested too deep to be passed over: the whole answer is unreadable, and whether it was charged is unknown."""
    # An f-string would need every brace of the JSON twice.
    deep = '{"handle":"eve","metrics":{"followers":1,"following":1},"details":{"a":%s}}' % DEEP  # noqa: UP031
    with pytest.raises(api_errors.Malformed) as refused:
        read_page((PAGE % f"{GOOD},{deep}").encode())
    assert refused.value.charged is api_errors.Charged.UNKNOWN


@pytest.mark.parametrize("body", [DEEP, '{"data":' + DEEP + "}", PAGE % DEEP, '{"a":' * 100_000])
def test_deep_json_is_no_page(body: str) -> None:
    """Nested beyond all measure: an unreadable answer, not a crash."""
    try:
        page = read_page(body.encode())
    except api_errors.Malformed:
        return
    assert page.accounts == []


@pytest.mark.parametrize("status", ["200 OK", "429 Too Many", "500 Oops"])
def test_an_answer_that_is_no_text(status: str) -> None:
    """Bytes that are no UTF-8, in a page or in an error: told like any other broken answer."""
    body = b'{"\xe9rreur": {"code": "\xff"}}'

    def behave(conn: socket.socket, _: bytes) -> None:
        conn.sendall(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)

    with pytest.raises(api_errors.SocialFetchError):
        asked(behave)


@pytest.mark.parametrize("number", ["1e999", "-1", "9" * 400, "NaN", "true", '"7"', "0.5"])
def test_numbers_that_are_none(number: str) -> None:
    """A count that is no count costs the account, never the page."""
    bad = '{"handle":"eve","metrics":{"followers":' + number + ',"following":1}}'
    try:
        page = read_page((PAGE % f"{GOOD},{bad}").encode())
    except api_errors.Malformed:
        return
    assert "ada" in [account.handle for account in page.accounts]


def test_scrubbing_what_is_no_page() -> None:
    """What cannot be read cannot be cleaned: it is refused, not passed on."""
    for body in (b"", b"[]", b"null", b"{}", DEEP.encode(), b"\xff"):
        with pytest.raises(api_errors.Malformed):
            scrubbed(body, lambda *_: 1)


# --- files ---------------------------------------------------------------------------------------------------------


def test_an_edge_list_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gzip file that unpacks to more than the limit is refused by name."""
    monkeypatch.setattr(edge_list, "LARGEST", 5 * MB)
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(bytes(50 * MB)))
    with little_memory(30 * MB), pytest.raises(UnreadableGraph, match="unpacks to more"):
        edge_list.read(path)


@pytest.fixture
def crawled(tmp_path: Path) -> Path:
    path = tmp_path / "a.db"
    rehearsal.go(path, rehearsal.service(town(60)), seeds=[name(1)], budget=8)
    return path


def changed(path: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(path)) as conn, conn:
        conn.execute(statement, values)


def replayed(path: Path) -> None:
    source, new = Database.open(path, now=now, mode="read"), Database.open(path.with_name("b.db"), now=now)
    try:
        replay(source, new)
    finally:
        source.close()
        new.close()


@pytest.mark.parametrize(
    "frame",
    [
        zstandard.ZstdCompressor(level=19).compress(bytes(400 * MB)),
        zstandard.ZstdCompressor(write_content_size=False).compress(bytes(MB)),
        b"\x28\xb5\x2f\xfd" + b"\xff" * 40,
        b"",
        b"not zstd",
    ],
    ids=["a bomb", "a frame that hides its length", "a frame that lies", "nothing", "anything"],
)
def test_an_archive_that_was_tampered_with(crawled: Path, frame: bytes) -> None:
    """A frame that is not ours is not unpacked; a replay of it ends with the row's number."""
    changed(crawled, "UPDATE archive SET body = ?, dictionary_id = NULL WHERE ledger_id = 3", frame)
    with little_memory(150 * MB), pytest.raises(errors.ArchiveUnreadable, match="ledger row 3"):
        replayed(crawled)
    database = Database.open(crawled, now=now, mode="read")
    with database.read() as conn, pytest.raises(errors.ArchiveUnreadable):
        archive.read(conn, 3)
    database.close()


@pytest.mark.parametrize(
    ("act", "details"),
    [
        *(("remembered", text) for text in ("[" * 100_000, "[]", "null", "not json", '{"handle": {"a": 1}}')),
        ("remembered", '{"key": 1, "value": []}'),
        ("seeded", '{"handle": null, "at": 1}'),
        ("seeded", '{"handle": "anna"}'),
        ("seeded", '{"handle": "anna", "at": 1000000000000000000000000000000}'),
        ("began", '{"run": 1, "process": 1, "strategy": "flow", "settings": {"filter": {"colour": "red"}}}'),
        ("began", '{"run": 1, "process": 1, "strategy": "flow", "settings": {"filter": {"handle": "("}}}'),
        ("began", '{"run": 1, "process": 1, "strategy": "flow", "settings": {"filter": 7, "lot_seed": "x"}}'),
        ("began", '{"run": 1, "process": 1, "strategy": ["flow"], "settings": {}}'),
    ],
)
def test_a_journal_that_was_tampered_with(crawled: Path, act: str, details: str) -> None:
    """A note that is not what we write stops a replay with its number; whoever is only looking is not disturbed."""
    changed(crawled, "UPDATE journal SET details = ? WHERE act = ?", details, act)
    with pytest.raises(errors.ArchiveIncomplete, match=r"^(note|ledger row) \d+ "):
        replayed(crawled)
    assert rehearsal.state(crawled).accounts["known"] > 0


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER evil AFTER INSERT ON accounts BEGIN DELETE FROM ledger; END",
        "CREATE VIEW evil AS SELECT * FROM accounts",
    ],
)
@pytest.mark.parametrize("mode", ["read", "write", "create"])
def test_a_database_with_a_life_of_its_own(crawled: Path, statement: str, mode: str) -> None:
    """Triggers and views run inside our statements: a file that brings some is refused, unread."""
    changed(crawled, statement)
    with pytest.raises(errors.NotADatabase, match="triggers or views"):
        # The mode is a literal there, a parameter here.
        Database.open(crawled, now=now, mode=mode)  # type: ignore[arg-type]


def test_settings_of_a_run_that_are_none(crawled: Path) -> None:
    """What a run was asked to do is for people; where it cannot be read, the rest still can."""
    for text in ("[" * 100_000, "[]", "x", '{"source": [1]}'):
        changed(crawled, "UPDATE runs SET settings = ?", text)
        assert set(rehearsal.state(crawled).runs[0].sources) <= {"127.0.0.1", "[1]"}
    for note in (
        {"run": 10**30},
        {"run": []},
        {"run": 1, "process": {}},
        {"run": 1, "settings": []},
        {"settings": {"x": {}}},
    ):
        details = json.dumps({"run": 1, "process": 1, "strategy": [], "settings": {}} | note)
        changed(crawled, "INSERT INTO journal (ledger_id, act, details) VALUES (1, 'began', ?)", details)
        assert rehearsal.state(crawled).runs[0].began.strategy == "flow"
    for value in ("NaN", "1e999", "[" * 400 + "]" * 400):
        details = f'{{"run": 1, "process": 1, "strategy": "flow", "settings": {{"x": {value}}}}}'
        changed(crawled, "INSERT INTO journal (ledger_id, act, details) VALUES (1, 'began', ?)", details)
        assert json.dumps(asdict(rehearsal.state(crawled).runs[0]), allow_nan=False, indent=1)


# --- text of strangers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sign", "=+-@\t\r\n＝＋－＠")
def test_no_cell_is_a_formula(sign: str) -> None:
    """A spreadsheet reads every cell of an export as text."""
    assert str(export.cell(f"{sign}HYPERLINK(1)")).startswith("'")


@pytest.mark.parametrize(
    "text",
    ["\x1b[31mred", "\x1b]0;title\x07", "a\x9b2Jb", "\u202egnp.exe", "\u2066x\u2069", "a\u200bb", "\ud800", "\x00"],
)
def test_no_terminal_obeys_a_handle(text: str) -> None:
    """Escape sequences, 8-bit controls, bidirectional marks and invisible signs are written out, not sent."""
    shown = escaping.escaped(text)
    assert shown.isprintable()
    assert not set("\x1b\x9b\x07\x00\u202e\u2066\u2069\u200b\ud800") & set(shown)


def test_json_output_is_ascii_whatever_a_handle_holds() -> None:
    """--json writes escapes: no terminal takes anything in it for a command."""
    assert json.dumps({"handle": "\x1b[31m\u202e"}).isascii()
