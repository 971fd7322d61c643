"""`followgraph demo`: an imitated network, a crawl, a report. No key, no money, nothing leaves this machine."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from cli.failure import usage
from cli.session import Bound

if TYPE_CHECKING:  # numpy and aiohttp, which the help page does without
    from socialfetch.simulator.network import Network

FOLDER = Path("followgraph-demo")
SEEDS = 3
_SHORTEST_LIST = 30
"""Accounts a seed follows at least, so that even the smallest budget sees something."""


async def demo(
    *,
    dir: Annotated[Path, Parameter(show_default=True)] = FOLDER,
    accounts: Annotated[int, Parameter(show_default=True)] = 20_000,
    budget: Annotated[int, Parameter(show_default=True)] = 2_000,
    seed_rng: Annotated[int, Parameter(show_default=True)] = 1,
    session: Bound,
) -> int:
    """Crawl an imitated network and report on it: no key, no money, nothing leaves this machine.

    The same numbers give the same network. A second demo in the same folder goes on with the same database.

    Parameters
    ----------
    dir
        The folder to write into.
    accounts
        Accounts of the network.
    budget
        Credits to spend; they cost nothing here.
    seed_rng
        Draws the network, its seeds and everything random in the crawl.
    """
    from pydantic import SecretStr  # noqa: PLC0415 - start-up

    from cli.connection import client  # noqa: PLC0415 - start-up
    from cli.crawling import buy  # noqa: PLC0415 - start-up
    from cli.key import Key  # noqa: PLC0415 - start-up
    from cli.reporting import written  # noqa: PLC0415 - start-up
    from socialfetch.simulator import network  # noqa: PLC0415 - start-up
    from socialfetch.simulator.faults import Faults  # noqa: PLC0415 - start-up
    from socialfetch.simulator.server import serve  # noqa: PLC0415 - start-up
    from socialfetch.simulator.service import Service  # noqa: PLC0415 - start-up
    from socialfetch.simulator.settings import Settings  # noqa: PLC0415 - start-up

    if accounts < 100:
        raise usage("accounts", f"a network of {accounts:,} shows nothing", hint="Give --accounts 100 or more.")
    if session.flags.get("storage.database") is not None:
        raise usage("db", "demo keeps its database in its own folder", hint="Leave --db out; --dir names the folder.")
    if not 0 <= seed_rng < 2**31:
        raise usage("seed_rng", f"--seed-rng is {seed_rng}", hint=f"Give a whole number from 0 to {2**31 - 1:,}.")
    session.output.note(f"a simulated API, {accounts:,} accounts. No key, no network, 0 real credits.", label="demo")
    graph = network.generate(accounts, rng_seed=seed_rng)
    service = Service(
        network=graph,
        settings=Settings(credits=max(budget, 0), rng_seed=seed_rng, free_calls_per_minute=None),
        faults=Faults(rng_seed=seed_rng),
        now=session.now,
    )
    try:
        dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise usage("folder", f"{dir} cannot be made: {error.strerror}", hint="Name another --dir.") from None
    database = dir / f"demo-{accounts}-{seed_rng}.db"
    async with serve(service) as url:
        configuration = session.configure(
            {
                "storage.database": os.fspath(database),
                "budget.total": budget,
                "crawl.rng_seed": seed_rng,
                "api.base_url": url,
            }
        )
        key = Key(SecretStr("rehearsal"), "the demo")
        async with client(configuration.settings.api, key, connections=configuration.settings.crawl.concurrency) as api:
            done = await buy(configuration, session, api, _seeds(graph, seed_rng), flags={})
    if done.exit_code:
        if not done.is_told:
            session.output.finish(done.document)
        return done.exit_code
    files = written(configuration, session, dir / "report")
    session.output.line(f"open {files['html']}, then: followgraph init my-study", label="next", is_command=True)
    session.output.finish({**done.document, "report": files["html"], "html": files["html"], "json": files["json"]})
    return done.exit_code


def _seeds(graph: Network, seed_rng: int) -> list[str]:
    """Choose accounts whose lists can be read and are of some length."""
    candidates = [
        index
        for index in range(graph.accounts)
        if graph.status(index) == "found" and graph.following_counts[index] >= _SHORTEST_LIST
    ] or list(range(SEEDS))
    chosen = Random(seed_rng).sample(candidates, SEEDS)  # noqa: S311 - a rehearsal that repeats
    return [graph.handle(index) for index in chosen]
