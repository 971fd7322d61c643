"""`followgraph simulate`: the API imitated over HTTP on this machine, until it is stopped."""

from __future__ import annotations

from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from cli.amounts import amount
from cli.failure import usage
from cli.session import Bound, Session

if TYPE_CHECKING:  # numpy and aiohttp, which the help page does without
    from socialfetch.simulator.network import Network
    from socialfetch.simulator.service import Service

_SHOWN = Parameter(show_default=True)


def simulate(
    *,
    graph: Path | None = None,
    accounts: int | None = None,
    port: Annotated[int, _SHOWN] = 0,
    key: str | None = None,
    credits: Annotated[int, _SHOWN] = 1_000_000,
    latency: Annotated[float, _SHOWN] = 0.0,
    page_size: Annotated[int, _SHOWN] = 20,
    list_order: Annotated[Literal["random", "hubs-first", "hubs-last"], _SHOWN] = "random",
    rng_seed: Annotated[int, _SHOWN] = 0,
    profile: Annotated[str, _SHOWN] = "faithful",
    fault: tuple[str, ...] = (),
    session: Bound,
) -> Coroutine[Any, Any, None]:
    """Imitate the API over HTTP on this machine: prints its address, then serves until Ctrl-C.

    Beside the API's own paths it serves /_sim/ledger (every credit charged) and /_sim/truth.

    Parameters
    ----------
    graph
        Serve this edge list: lines source<TAB>target, plain or gzip. Account 7 of integers is u7.
    accounts
        Serve a drawn network of this many accounts, u0 and on.
    port
        Listen here; 0 takes a free one.
    key
        Take this key only. Without it every key is good, none at all is not. Never your real one.
    credits
        The balance at the start.
    latency
        Milliseconds before an answer.
    page_size
        Accounts a page.
    list_order
        In which order a list was followed together, newest first.
    rng_seed
        Same seed, same network, same faults.
    profile
        A set of faults: faithful, older_contract, flaky or hostile.
    fault
        NAME=RATE, a misbehaviour and its share from 0 to 1; may be given again.
    """
    from socialfetch.simulator import faults  # noqa: PLC0415 - start-up
    from socialfetch.simulator.service import Service  # noqa: PLC0415 - start-up
    from socialfetch.simulator.settings import Settings  # noqa: PLC0415 - start-up

    session.configure()
    rates = {**faults.profile(profile), **dict(faults.parse(text) for text in fault)}
    settings = Settings(key=key, credits=credits, latency_s=latency / 1000, page_size=page_size, rng_seed=rng_seed)
    if not 0 <= port <= 65_535:
        raise usage("port", f"there is no port {port}", hint="A port is a number up to 65535; 0 takes a free one.")
    network = _network(graph, accounts, rng_seed, list_order)
    service = Service(
        network=network, settings=settings, faults=faults.Faults(rates, rng_seed=rng_seed), now=session.now
    )
    # Drawn before the loop begins, so that Ctrl-C ends the drawing of a large network at once.
    return _serve(service, port, session)


def _network(graph: Path | None, accounts: int | None, rng_seed: int, list_order: str) -> Network:
    from socialfetch.simulator import network  # noqa: PLC0415 - start-up

    order = network.ListOrder(list_order)
    if graph is not None and accounts is None:
        return network.load_edge_list(graph, rng_seed=rng_seed, list_order=order)
    if accounts is not None and graph is None:
        return network.generate(accounts, rng_seed=rng_seed, list_order=order)
    raise usage(
        "no_network",
        "one network is served: an edge list or a drawn one",
        hint="Write: followgraph simulate --graph edges.txt, or followgraph simulate --accounts 2000",
    )


async def _serve(service: Service, port: int, session: Session) -> None:
    import asyncio  # noqa: PLC0415 - start-up
    import signal  # noqa: PLC0415 - start-up

    from socialfetch.simulator.server import serve  # noqa: PLC0415 - start-up

    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    output, network, ledger = session.output, service.network, service.ledger
    size = f"{amount(network.accounts, 'account')} · {amount(network.edges, 'follow')}"
    async with serve(service, port=port) as url:
        if output.as_json:
            output.finish({"url": url, "accounts": network.accounts, "edges": network.edges})
        else:
            output.plain(url)
        output.note(f"{size} · Ctrl-C stops", label="serving")
        output.note(
            f"followgraph crawl --api-url {url} --seed {network.handle(0)} --budget 100", label="next", is_command=True
        )
        await stopped.wait()
    output.note(f"{amount(ledger.calls, 'call')} · {amount(ledger.charged, 'credit')} charged", label="stopped")
