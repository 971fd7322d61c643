"""`followgraph refresh`: read again what is most likely stale."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from cli.crawling import api_key, buy
from cli.session import Bound


async def refresh(
    *,
    budget: int | None = None,
    strategy: str | None = None,
    concurrency: int | None = None,
    rate: float | None = None,
    deadline: str | None = None,
    max_wait: str | None = None,
    api_url: Annotated[str | None, Parameter(name="--api-url")] = None,
    session: Bound,
) -> int:
    """Read known lists again, the most likely changed and most telling first, and date what came and went.

    Buys no new list. A refresh that was cut off goes on with its own budget. A follow ends only where a whole list no
    longer shows it; hidden, private, missing and failed lists are asked for again after refresh.hidden and the like.

    Parameters
    ----------
    budget
        Credits that it may spend in all, never exceeded.
    strategy
        Weighs accounts as this strategy does; those of `community` by neighbourhood, all others by followers.
    concurrency
        Requests in flight at most.
    rate
        Requests a second at most.
    deadline
        Stop after this time: 90s, 10m, 2h, 1d.
    max_wait
        How long to wait for an API that cannot be reached: 30m.
    api_url
        Ask here instead of api.base_url, for instance the address that `followgraph simulate` printed.
    """
    flags: dict[str, object] = {
        "budget.total": budget,
        "crawl.strategy": strategy,
        "crawl.concurrency": concurrency,
        "crawl.rate": rate,
        "crawl.deadline": deadline,
        "crawl.max_wait": max_wait,
        "api.base_url": api_url,
    }
    configuration = session.configure(flags)
    key = api_key(configuration, session)

    from cli.connection import client  # noqa: PLC0415 - start-up

    connections = configuration.settings.crawl.concurrency
    async with client(configuration.settings.api, key, connections=connections) as api:
        done = await buy(configuration, session, api, [], flags=flags, refresh=True)
    if not done.is_told:
        session.output.line("followgraph diff --from 1d", label="next", is_command=True)
        session.output.finish(done.document)
    return done.exit_code
