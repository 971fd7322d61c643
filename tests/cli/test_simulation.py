from __future__ import annotations

import gzip
import json
import socket
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError

import pytest

if TYPE_CHECKING:
    from conftest import Run, Simulate


def get(url: str, key: str | None = None) -> Any:
    headers = {} if key is None else {"x-api-key": key}
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as answer:
        return json.load(answer)


def test_simulate_a_graph(simulate: Simulate, tmp_path: Path) -> None:
    """An edge list, packed or not, is served with its true numbers, and every credit is in the ledger."""
    (tmp_path / "edges.txt.gz").write_bytes(gzip.compress(b"1\t2\n1\t3\n2\t2\n"))
    url = simulate("--graph", "edges.txt.gz")
    assert url.startswith("http://127.0.0.1:")
    assert get(f"{url}/_sim/truth") == {"accounts": 3, "edges": 2}
    page = get(f"{url}/v1/tiktok/profiles/u1/following", "any")
    assert {each["handle"] for each in page["data"]["accounts"]} == {"u2", "u3"}
    assert get(f"{url}/_sim/ledger") == {"charged": 1, "calls": 1, "pages": {"u1|": 1}}


def test_simulate_a_drawn_network(simulate: Simulate) -> None:
    """A drawn network is served under --json too, whose one object says where; a key that is asked for is required."""
    found = json.loads(simulate("--accounts", "50", "--key", "sfk_test", "--credits", "5", "--json"))
    assert found["schema"] == 1
    assert found["accounts"] == 50
    assert get(f"{found['url']}/v1/balance", "sfk_test")["data"]["balance"] == 5
    with pytest.raises(HTTPError) as caught:
        get(f"{found['url']}/v1/balance", "wrong")
    assert caught.value.code == 401
    caught.value.close()


def test_faults(simulate: Simulate) -> None:
    """Faults given one by one go on top of the profile's."""
    url = simulate("--accounts", "20", "--profile", "flaky", "--fault", "forbidden=1", "--fault", "cached=0")
    with pytest.raises(HTTPError) as caught:
        get(f"{url}/v1/tiktok/profiles/u0/following", "any")
    assert caught.value.code == 403
    caught.value.close()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "one network is served"),
        (["--graph", "x", "--accounts", "5"], "one network is served"),
        (["--graph", "nope.txt"], "nope.txt"),
        (["--graph", "bad.txt"], "line 2"),
        (["--accounts", "0"], "--accounts is 0"),
        (["--accounts", "10000001"], "to 10,000,000"),
        (["--accounts", "5", "--fault", "internl_error=0.1"], "Did you mean internal_error?"),
        (["--accounts", "5", "--fault", "internal_error=2"], "from 0 to 1"),
        (["--accounts", "5", "--fault", "internal_error"], "the rate of 'internal_error' is missing"),
        (["--accounts", "5", "--profile", "flacky"], "Did you mean flaky?"),
        (["--accounts", "5", "--port", "70000"], "no port 70000"),
        (["--accounts", "5", "--page-size", "0"], "--page-size is 0"),
        (["--accounts", "5", "--latency", "-1"], "--latency is -1\n"),
        (["--accounts", "5", "unwanted"], 'takes no "unwanted"'),
        (["--accounts", "5", "--list-order", "sorted"], "Choose from"),
    ],
)
def test_wrong_wishes(run: Run, tmp_path: Path, arguments: list[str], told: str) -> None:
    """A simulator that cannot be made as asked ends with exit code 2 and says what to do."""
    (tmp_path / "bad.txt").write_text("1\t2\n1 2 3\n")
    ran = run("simulate", *arguments)
    assert ran.code == 2, ran.err
    assert told in ran.err
    assert ran.out == ""


def test_port_taken(run: Run) -> None:
    """A port that somebody else listens on is named, with the way out."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ran = run("simulate", "--accounts", "5", "--port", port)
    assert ran.code == 2
    assert str(port) in ran.err
    assert "Take another port" in ran.err
