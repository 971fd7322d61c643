from __future__ import annotations

from cli import asking, service
from cli.config import Configuration
from cli.settings import Budget, Crawl, Policy, Settings


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
