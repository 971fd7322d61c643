"""Settings of the whole suite."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from shutil import which
from typing import TYPE_CHECKING

import postgres_server
import pytest
from hypothesis import settings
from postgres_server import Postgres

if TYPE_CHECKING:
    from playwright.sync_api import Browser

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # A shell's background job ignores Ctrl-C, and so would every process that a test starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("quick", max_examples=25)
settings.register_profile("thorough", max_examples=600)
settings.load_profile("quick")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Give a PostgreSQL server, started by the first test that asks for it."""
    with postgres_server.postgres() as found:
        yield found


@pytest.fixture
def browser() -> Iterator[Browser]:
    """Give headless Chromium. One for each test: while it runs, no other event loop may in its thread."""
    from playwright.sync_api import sync_playwright

    chromium = which("chromium") or which("chromium-browser")
    if chromium is None:
        pytest.skip("there is no chromium on this machine")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()
