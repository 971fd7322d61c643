from __future__ import annotations

from study import facts

from crawler.filter import Filter
from crawler.pagewise import measure


def test_filters_refuse_by_listed_facts() -> None:
    """Counts within limits, values among those named; an unknown fact is not among them."""
    someone = facts("some.one", followers=50, following=10, region="DE", language="de", verified=True)
    assert Filter().wants(someone)
    assert Filter(min_followers=50, max_following=10).wants(someone)
    assert not Filter(max_followers=49).wants(someone)
    assert not Filter(min_followers=1).wants(someone._replace(followers=None))
    assert Filter(regions=("at", "de")).wants(someone)
    assert not Filter(regions=("at",)).wants(someone)
    assert not Filter(languages=("de",)).wants(someone._replace(language=None))
    assert not Filter(verified=False).wants(someone)
    assert Filter(handle="[a-z.]+").wants(someone)
    assert not Filter(handle="one").wants(someone)


def test_a_filter_comes_back_from_its_settings() -> None:
    """What a run keeps of it says the same again."""
    wanted = Filter(min_followers=3, regions=("DE", "AT"), handle="a.*")
    assert Filter.of_settings(wanted.as_settings()) == wanted
    assert Filter.of_settings({}).is_open


def test_lists_are_measured_before_they_are_left_half_read() -> None:
    """Page-wise rules need many comparisons that lean nowhere, and follower counts that fit what was seen."""
    fitting = [(k, k * 100) for k in range(10, 110)]
    assert measure(400, 5, fitting).allows_pages
    assert not measure(50, 0, fitting).allows_pages
    assert not measure(400, 300, fitting).allows_pages
    assert not measure(40_000, 2000, fitting).allows_pages
    noisy = [(k, k * (1 if k % 2 else 1000)) for k in range(10, 110)]
    assert not measure(400, 5, noisy).allows_pages
