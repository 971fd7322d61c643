"""The daemon as a process: its signals, its page in a real browser, its doors."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import processes
import pytest

if TYPE_CHECKING:
    from conftest import Run, Shell, Simulate
    from playwright.sync_api import Browser, Page


until = partial(processes.until, seconds=180.0)


class Running:
    """A daemon in a process of its own."""

    def __init__(self, process: subprocess.Popen[bytes], api: str) -> None:
        self.process = process
        self.api = api
        self.errors: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.url = until(self._address)

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.errors.append(line.decode())

    def _address(self) -> str | None:
        assert self.process.poll() is None, self.errors
        found = re.search(r"http://127\.0\.0\.1:\d+/", "".join(self.errors))
        return found and found.group()

    def get(self, path: str, **headers: str) -> tuple[int, str]:
        """Return status and body of a path."""
        return ask(self.url + path, headers=headers)

    def order(self, **what: Any) -> tuple[int, str]:
        """Give an order as the page does."""
        headers = {"Content-Type": "application/json", "X-Followgraph": "1"}
        return ask(f"{self.url}api/orders", headers=headers, body=json.dumps(what).encode())

    def charged(self) -> int:
        """Return what the simulator truly charged."""
        return int(json.loads(ask(f"{self.api}/_sim/ledger")[1])["charged"])

    def end(self) -> dict[str, Any]:
        """Drain it and return its JSON."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.stdout is not None
        out = self.process.stdout.read()
        assert self.process.wait(timeout=30) == 0, self.errors
        self._reader.join(timeout=5)
        found: dict[str, Any] = json.loads(out)
        return found


def ask(url: str, *, headers: dict[str, str] | None = None, body: bytes | None = None) -> tuple[int, str]:
    """Make one request."""
    request = urllib.request.Request(url, data=body, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


Start = Callable[..., Running]


@pytest.fixture
def start(run: Run, shell: Shell, simulate: Simulate) -> Iterator[Start]:
    """Start a simulator and a daemon on it; whatever still runs at the end is killed."""
    started: list[Running] = []

    def go(*arguments: str, sim: tuple[str, ...] = (), environ: dict[str, str] | None = None) -> Running:
        api = simulate("--accounts", "3000", "--latency", "20", *sim)
        assert run("seed", "u1", "u2", "u3").code == 0
        asked = ["daemon", "--json", "--api-url", api, "--listen", "127.0.0.1:0", *arguments]
        process = shell(*asked, environ=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        started.append(Running(process, api))
        return started[-1]

    yield go
    for each in started:
        if each.process.poll() is None:
            each.process.kill()
            each.process.wait()
        for stream in (each.process.stdout, each.process.stderr):
            assert stream is not None
            each._reader.join(timeout=5)
            stream.close()


def test_a_life(start: Start, run: Run, tmp_path: Path) -> None:
    """It crawls, says how it is, takes a changed config.toml on SIGHUP, refuses a bad one, and drains on SIGTERM."""
    (tmp_path / "config.toml").write_text("[budget]\nper_day = 100000\n[crawl]\nrate = 50.0\n")
    daemon = start()
    until(lambda: daemon.charged() > 20)
    assert daemon.get("healthz") == (200, '{"status": "alive"}')
    assert until(lambda: daemon.get("readyz")[0] == 200)
    metrics = daemon.get("metrics")[1]
    assert 'followgraph_state{state="crawling"} 1.0' in metrics
    assert "handle" not in metrics
    assert daemon.order(act="set", key="budget.per_day", value=90000)[0] == 200
    until(lambda: json.loads(daemon.get("api/state")[1])["live"]["per_day"] == 90000)
    (tmp_path / "config.toml").write_text("[budget]\nper_day = 100000\n[crawl]\nrate = 5.0\n")
    daemon.process.send_signal(signal.SIGHUP)
    until(lambda: any('"setting.changed"' in line and "crawl.rate" in line for line in daemon.errors))
    until(lambda: any('"setting.kept"' in line and "budget.per_day" in line for line in daemon.errors))
    for refused, key in (
        ('[daemon]\ntoken_file = "nowhere"\n', "token"),
        ('[alerts]\ncommand = "tell \'me"\n', "command"),
        ('[crawl]\nstrategy = "bfs"\ncost_exponent = 0.5\n', "cost_exponent"),
    ):
        (tmp_path / "config.toml").write_text(f"[budget]\nper_day = 7\n{refused}")
        daemon.process.send_signal(signal.SIGHUP)
        until(lambda key=key: any('"configuration.refused"' in line and key in line for line in daemon.errors))
    (tmp_path / "config.toml").write_text("[crawl]\nrate = -1\n")
    daemon.process.send_signal(signal.SIGHUP)
    until(lambda: any('"configuration.refused"' in line and "crawl.rate" in line for line in daemon.errors))
    state = json.loads(daemon.get("api/state")[1])
    assert (state["live"]["rate"], state["live"]["per_day"]) == (5.0, 90000), "what the page changed stays"
    assert state["by_day"][state["today"]] > 20
    assert state["queues"]["strategy"] + state["queues"]["ahead"] == state["frontier"]["queued"]
    assert {"flow", "rank", "bfs"} <= set(state["live"]["strategies"])
    (tmp_path / "config.toml").unlink()
    told = run("status")
    assert re.search(r"budget +[\d,]+ spent in all · no total", told.out), told.out
    assert re.search(r"today +[\d,]+ of 90,000", told.out), told.out
    document = daemon.end()
    assert document["stop_reason"] == "interrupted"
    assert document["credits"]["reserved"] == 0
    assert document["credits"]["charged"] == daemon.charged()
    shown = run("budget", "show", "--json").document["daemon"]
    assert (shown["per_day"], shown["today"], shown["total"]) == (90000, daemon.charged(), None)


def test_a_budget_used_up_pauses_and_a_raise_goes_on(start: Start, run: Run) -> None:
    """The process lives on, healthy and not ready; `budget add` from a shell lets it buy again."""
    daemon = start("--budget", "30")
    until(lambda: "paused_budget" in daemon.get("readyz")[1])
    assert daemon.charged() == 30
    assert daemon.get("healthz")[0] == 200
    assert daemon.get("readyz")[0] == 503
    assert run("budget", "add", "10", "--note", "grant 7b").code == 0
    until(lambda: daemon.charged() == 40)
    today = datetime.now(UTC).date()
    for words, problem in (
        ("soon", "'soon' is no day"),
        (str(today - timedelta(days=2)), "is over"),
    ):
        refused = run("budget", "add", "10", "--until", words)
        assert refused.code == 2
        assert problem in refused.err
    later = str(today + timedelta(days=2))
    told = run("budget", "add", "10", "--until", later)
    assert f"10 credits more for the daemon's total, to be spent until {later}" in told.out
    until(lambda: daemon.charged() == 50)
    assert run("budget", "show", "--json").document["changes"][-1]["until"] == later
    assert daemon.end()["totals"]["charged"] == 50


def test_a_day_is_shown_as_it_is_counted(start: Start, run: Run, simulate: Simulate) -> None:
    """What a crawl took that day counts against the daemon's day, and `status`, `budget show` and the page say so."""
    api = simulate("--accounts", "3000", "--port", "0")
    assert run("crawl", "--seed", "u1", "--budget", "7", "--api-url", api).code == 0
    daemon = start("--budget-per-day", "30")
    until(lambda: json.loads(daemon.get("api/state")[1])["live"]["state"] == "day_done")
    assert daemon.charged() == 23
    for shown in (run("status", "--json"), run("budget", "show", "--json")):
        money = shown.document["daemon"]
        assert (money["per_day"], money["today"], money["today_elsewhere"], money["used"]) == (30, 30, 7, 23)
    assert re.search(r"today +30 of 30, 7 of them by other runs", run("status").out)
    assert json.loads(daemon.get("api/state")[1])["elsewhere"] == 7
    daemon.end()


def test_who_may_ask(start: Start) -> None:
    """Another name, a foreign origin, a form, or no header: refused. Every answer forbids scripts of others."""
    daemon = start("--budget-per-day", "1000")
    assert daemon.get("api/state", Host="evil.example")[0] == 421
    assert daemon.get("api/state", Host="127.0.0.1.evil.example:80")[0] == 421
    for headers in (
        {"Content-Type": "application/json"},
        {"Content-Type": "text/plain", "X-Followgraph": "1"},
        {"Content-Type": "application/json", "X-Followgraph": "1", "Origin": "https://evil.example"},
    ):
        assert ask(f"{daemon.url}api/orders", headers=headers, body=b'{"act": "drain"}')[0] == 403
    assert daemon.order(act="explode")[0] == 400
    assert daemon.order(act="set", key="crawl.rate", value=-1)[0] == 400
    assert daemon.order(act="budget", credits=1.5)[0] == 400
    assert daemon.order(act="budget", credits=5, until="2036-12-01")[0] == 400
    assert "no total" in daemon.order(act="budget", credits=5)[1]
    assert daemon.order(act="set", key="crawl.rate", value=True)[0] == 400
    own = {"Content-Type": "application/json", "X-Followgraph": "1"}
    odd = own | {"Content-Type": "application/json; charset=nonsense"}
    for headers, body in ((own, b'{"a":' + b"[" * 30_000), (own, b"["), (odd, b'{"act": "pause"}')):
        assert ask(f"{daemon.url}api/orders", headers=headers, body=body)[0] == 400
    assert daemon.order(act="requeue", handle="@nobody at all")[0] == 400
    with urllib.request.urlopen(daemon.url) as answer:
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert "Set-Cookie" not in answer.headers
    assert daemon.process.poll() is None


def test_a_token(start: Start, tmp_path: Path, run: Run) -> None:
    """With a token everything but the empty page and health asks for it; beyond this machine there must be one."""
    token = tmp_path / "page.token"
    token.write_text("a token of some length\n")
    token.chmod(0o600)
    (tmp_path / "config.toml").write_text('[daemon]\ntoken_file = "page.token"\n')
    daemon = start("--budget-per-day", "1000")
    for path in ("api/state", "api/events", "metrics"):
        assert daemon.get(path)[0] == 401
        assert daemon.get(path, Authorization="Bearer wrong")[0] == 401
    assert daemon.get("")[0] == daemon.get("healthz")[0] == 200
    assert daemon.get("api/state", Authorization="Bearer a token of some length")[0] == 200
    assert daemon.order(act="drain")[0] == 401
    daemon.end()
    (tmp_path / "config.toml").write_text("")
    refused = run("daemon", "--budget-per-day", "5", "--listen", "0.0.0.0:0", "--json")
    assert (refused.code, refused.document["error"]["code"]) == (2, "no_token")
    token.chmod(0o644)
    (tmp_path / "config.toml").write_text('[daemon]\ntoken_file = "page.token"\n')
    assert run("daemon", "--budget-per-day", "5").code == 2
    assert run("daemon", "--json").document["error"]["code"] == "no_budget"


def test_notices_reach_a_webhook_and_a_command(start: Start, tmp_path: Path) -> None:
    """Half, four fifths and all of the budget are told once each, though the webhook fails first."""
    got: list[dict[str, Any]] = []

    class Hook(BaseHTTPRequestHandler):
        refused = 0

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if Hook.refused < 2:
                Hook.refused += 1
                self.send_response(503)
            else:
                got.append(json.loads(body))
                self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    script = tmp_path / "tell.sh"
    script.write_text(f"#!/bin/sh\ncat >> {tmp_path}/told.jsonl; echo >> {tmp_path}/told.jsonl\n")
    script.chmod(0o700)
    (tmp_path / "config.toml").write_text(
        f'[alerts]\nwebhook = "http://127.0.0.1:{server.server_port}/hook"\ncommand = "{script}"\n'
        "[crawl]\nrate = 15.0\n"
    )
    daemon = start("--budget", "60")
    until(lambda: daemon.charged() == 60)
    until(lambda: {"budget_50", "budget_80", "budget_100"} <= {each["event"] for each in got})
    until(lambda: (tmp_path / "told.jsonl").read_text().count("budget_") >= 3)  # else it is told once more at the end
    daemon.end()
    server.shutdown()
    server.server_close()
    assert len({(each["event"], each["subject"]) for each in got}) == len(got)
    assert got[-1]["event"] == "stopped"
    assert "budget 50" in next(each["text"] for each in got if each["event"] == "budget_50")
    told = [json.loads(line) for line in (tmp_path / "told.jsonl").read_text().splitlines() if line]
    assert {each["event"] for each in told} == {each["event"] for each in got}


def test_systemd_is_told(start: Start, tmp_path: Path) -> None:
    """Under systemd it says that it is ready, lives, and stops."""
    place = str(tmp_path / "n")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as door:
        door.bind(place)
        door.settimeout(30)
        daemon = start("--budget-per-day", "100", environ={"NOTIFY_SOCKET": place})
        heard = [door.recv(4096).decode() for _ in range(2)]
        assert "READY=1" in heard
        assert any(line.startswith("WATCHDOG=1\nSTATUS=") for line in heard)
        daemon.end()
        while "STOPPING=1" not in heard:
            heard.append(door.recv(4096).decode())


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of headless Chromium; errors on its console fail the test."""
    opened = browser.new_page(viewport={"width": 1280, "height": 900})
    wrong: list[str] = []
    opened.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    yield opened
    opened.close()
    expected = ("401", "ERR_")  # a token that is missing, a daemon that ended
    assert [line for line in wrong if not any(word in line for word in expected)] == []


def number(page: Page, selector: str) -> int:
    """Return a figure of the page."""
    text = page.inner_text(selector).replace(",", "")
    return int(text) if text.isdigit() else -1


def answer(page: Page, button: str) -> None:
    """Press a button and say yes."""
    page.click(button)
    page.click("#ask-yes")


def test_the_page_shows_and_steers(start: Start, page: Page) -> None:
    """Live numbers move; pause stops the requests at the simulator and resume lets them go on; settings change."""
    many = ("--budget-per-day", "50000", "--budget", "400000000")
    daemon = start(*many, "--rate", "20", sim=("--fault", "hostile_text=1"))
    page.goto(daemon.url)
    page.wait_for_selector("#board:not([hidden])", timeout=180_000)
    until(lambda: page.inner_text("#state") == "crawling")
    before = number(page, "#today-left")
    until(lambda: 0 < number(page, "#today-left") < before)
    assert page.inner_text("#total-left") == "400M"  # what a tile has no room for is rounded
    assert page.inner_text("#orders") == "Nothing was asked yet."
    read = "[...document.querySelectorAll('#budget dd')].map((each) => each.innerText)"
    total, _, _, today = page.evaluate(read)
    assert total == today != "0"
    # Foreign text is text: no script ran, nothing was interpreted.
    page.wait_for_selector("#visits tr", timeout=180_000)
    until(lambda: "<script>alert(1)</script>" in page.inner_text("#visits"))
    assert page.locator("#visits script, #visits b").count() == 0
    assert "\u202e" not in page.inner_text("#visits")
    assert "n" * 20 in page.inner_text("#visits")  # of ten thousand
    assert "n" * 200 not in page.inner_text("#visits")
    answer(page, "#pause")
    until(lambda: page.inner_text("#state") == "paused")
    here = daemon.charged()
    time.sleep(2)
    assert daemon.charged() == here
    page.click("#resume")
    page.click("#ask button[value=no]")
    time.sleep(1.5)
    assert daemon.charged() == here
    answer(page, "#resume")
    until(lambda: daemon.charged() > here)
    page.fill("#s-rate", "7")
    answer(page, "form[data-key='crawl.rate'] button")
    until(lambda: json.loads(daemon.get("api/state")[1])["live"]["rate"] == 7)
    until(lambda: "crawl.rate = 7" in page.inner_text("#orders"))
    page.set_viewport_size({"width": 320, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    page.emulate_media(color_scheme="dark")
    dark = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    page.emulate_media(color_scheme="light")
    assert dark != page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement !== document.body")
    daemon.end()
    until(lambda: page.get_attribute("#connection", "data-is") == "stale")


def test_the_page_asks_for_its_token(start: Start, page: Page, tmp_path: Path) -> None:
    """A wrong token is refused and told, the right one opens the page, and it is not kept in a cookie or address."""
    (tmp_path / "page.token").write_text("correct-horse-battery")
    (tmp_path / "page.token").chmod(0o600)
    (tmp_path / "config.toml").write_text('[daemon]\ntoken_file = "page.token"\n')
    daemon = start("--budget-per-day", "100")
    page.goto(daemon.url)
    page.wait_for_selector("#door:not([hidden])")
    page.fill("#token", "wrong")
    page.press("#token", "Enter")
    until(lambda: "wrong" in page.inner_text("#door-answer"))
    assert page.is_hidden("#board")
    page.fill("#token", "correct-horse-battery")
    page.press("#token", "Enter")
    page.wait_for_selector("#board:not([hidden])", timeout=180_000)
    assert page.context.cookies() == []
    assert "correct" not in page.url
    daemon.end()


def test_the_policy_is_kept(start: Start, tmp_path: Path) -> None:
    """A daemon that starts after the last day deletes everybody first, logs it, and is not ready to buy anything."""
    (tmp_path / "config.toml").write_text('[policy]\nretain_until = "2025-06-16"\n')
    daemon = start("--budget-per-day", "1000")
    until(lambda: "last_day_over" in daemon.get("readyz")[1])
    assert daemon.get("readyz")[0] == 503
    assert 'followgraph_state{state="last_day_over"} 1.0' in daemon.get("metrics")[1]
    until(lambda: any('"people.purged"' in line and '"accounts": 3' in line for line in daemon.errors))
    assert daemon.charged() == 0
    document = daemon.end()
    assert document["accounts"]["known"] == 0
