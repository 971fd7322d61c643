"""The same crawl in crawlee, with its request queue in SQL.

python benchmarks/peers/by_crawlee.py URL SEED PAGES CONCURRENCY FOLDER
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from pathlib import Path

from crawlee import ConcurrencySettings, Request
from crawlee.configuration import Configuration
from crawlee.crawlers import HttpCrawler, HttpCrawlingContext
from crawlee.http_clients import ImpitHttpClient
from crawlee.storage_clients import SqlStorageClient
from measured import Stretch, report
from sink import Sink

URL, SEED, PAGES, CONCURRENCY, FOLDER = sys.argv[1:6]


def request(handle: str, cursor: str | None) -> str:
    """Return an address."""
    query = "" if cursor is None else f"?cursor={cursor}"
    return f"{URL}/v1/tiktok/profiles/{handle}/following{query}"


async def crawl() -> None:
    """Crawl breadth first."""
    sink = Sink(Path(FOLDER) / "crawlee.db")
    queue = f"sqlite+aiosqlite:///{Path(FOLDER) / 'queue.db'}"
    many = int(CONCURRENCY)
    crawler = HttpCrawler(
        configuration=Configuration(purge_on_start=False),
        storage_client=SqlStorageClient(connection_string=queue),
        http_client=ImpitHttpClient(headers={"x-api-key": "sfk_bench"}),
        concurrency_settings=ConcurrencySettings(min_concurrency=many, desired_concurrency=many, max_concurrency=many),
        max_requests_per_crawl=int(PAGES),
        use_session_pool=False,
        retry_on_blocked=False,
        configure_logging=False,
    )
    logging.disable(logging.WARNING)
    stretch = Stretch()

    @crawler.router.default_handler
    async def read(context: HttpCrawlingContext) -> None:
        answer = json.loads(await context.http_response.read())
        asked = context.request.url.partition("/profiles/")[2]
        handle, _, rest = asked.partition("/")
        sink.store(handle, rest.partition("cursor=")[2] or None, answer)
        following = answer["data"]["page"]["nextCursor"]
        if following is not None:
            await context.add_requests([Request.from_url(request(handle, following))], forefront=True)
        await context.add_requests([request(account["handle"], None) for account in answer["data"]["accounts"]])
        stretch.end()

    await crawler.run([request(SEED, None)])
    report(stretch, pages=sink.pages, edges=sink.edges)


if __name__ == "__main__":
    asyncio.run(crawl())
