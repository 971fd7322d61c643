"""What the settings ask of a crawl, and what they cannot ask of it together."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cli import asking, service
from cli.config import Configuration
from cli.exits import Exit
from cli.settings import Api, Budget, Crawl, Policy, Settings

if TYPE_CHECKING:
    from conftest import Run


def test_the_settings_become_caps() -> None:
    """Every sub-budget arrives, and a day is the time zone's."""
    found = asking.caps(Budget(per_day=5, per_seed=7, per_depth=(1, 2), retry_reserve=3, time_zone="Europe/Berlin"))
    assert (found.per_day, found.per_seed, found.per_depth, found.retry_reserve) == (5, 7, (1, 2), 3)
    assert found.day(0.0) == "1970-01-01"
    assert found.day_ends(0.0) == 23 * 3600


def test_a_daemon_leaves_out_what_a_crawl_leaves_out() -> None:
    """What the policy says is not to be stored is not stored by a daemon either."""
    settings = Settings(policy=Policy(store_bio=False), crawl=Crawl(strategy="core", explore=0.25))
    crawls = asking.options(settings)
    daemons = service.config(Configuration(settings=settings, origins={}, file=None)).options
    assert crawls.left_out == daemons.left_out == settings.policy.left_out != ()
    assert daemons.strategy == "core"
    assert daemons.explore == 0.25


def test_of_an_address_nothing_is_kept_that_may_be_secret() -> None:
    """A run keeps scheme, host and port of where it asks; of an address with a path the host alone."""
    for url, origin in (("https://api.example:8443", "https://api.example:8443"), ("https://api.example/t0ken", None)):
        kept = asking.options(Settings(api=Api(base_url=url))).as_settings()
        assert (kept["source"], kept["origin"]) == ("api.example", origin)
        assert "t0ken" not in str(kept)


@pytest.mark.parametrize(
    ("flags", "key", "users"),
    [
        (("--strategy", "bfs", "--stop-uncrawled-share", 0.1), "stop.uncrawled_share = 0.1", "flow and community"),
        (("--strategy", "unbiased", "--cost-exponent", 0), "crawl.cost_exponent = 0", "flow, rank, core and community"),
        (
            ("--strategy", "core", "--page-rules", "on", "--cost-exponent", 1),
            "cost_exponent",
            "flow, rank and community",
        ),
        (("--core-size", 50), "crawl.core_size = 50", "only core can look"),
        (("--strategy", "rank", "--page-rules", "on"), "crawl.page_rules = on", "core and discover"),
    ],
)
def test_a_setting_that_the_strategy_has_no_use_for_is_refused(
    run: Run, flags: tuple[object], key: str, users: str
) -> None:
    """Nothing that was asked for is ignored in silence: the key, its value and who could use it are named."""
    found = run("crawl", "--seed", "@a", "--budget", 10, *flags)
    assert found.code == Exit.USAGE
    assert key in found.err
    assert users in found.err
    assert "does nothing with the strategy" in found.err


def test_what_the_file_sets_for_its_own_strategy_is_passed_over_where_another_is_named(
    run: Run, tmp_path: Path
) -> None:
    """A strategy on the command line is for once: the file's settings wait for theirs, and that is said."""
    (tmp_path / "config.toml").write_text("[crawl]\ncost_exponent = 0.5\ncore_size = 1000\n")
    found = run("crawl", "--seed", "@a", "--budget", 10, "--strategy", "bfs")
    assert "crawl.cost_exponent = 0.5 (from config.toml) does nothing with the strategy bfs, so it is" in found.err
    assert "there is no API key" in found.err
    (tmp_path / "config.toml").write_text('[crawl]\nstrategy = "bfs"\ncost_exponent = 0.5\n')
    found = run("crawl", "--seed", "@a", "--budget", 10)
    assert found.code == Exit.USAGE
    assert "(from config.toml) does nothing with the strategy bfs (from config.toml)" in found.err
    assert run("daemon", "--budget", 10).code == Exit.USAGE
    assert "passed over" not in run("crawl", "--seed", "@a", "--budget", 10, "--strategy", "flow").err
