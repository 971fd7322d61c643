"""The same crawl in Scrapy, with JOBDIR and breadth first; what it does for every request and nobody needs here is off.

python benchmarks/peers/by_scrapy.py URL SEED PAGES CONCURRENCY FOLDER
"""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import scrapy
from measured import Stretch, report
from scrapy.crawler import CrawlerProcess
from scrapy.http import Response
from sink import Sink

URL, SEED, PAGES, CONCURRENCY, FOLDER = sys.argv[1:6]
sink = Sink(Path(FOLDER) / "scrapy.db")
stretches: list[Stretch] = []


class Store:
    """The pipeline."""

    def process_item(self, item: Any) -> Any:
        """Store a page."""
        sink.store(*item["page"])
        stretches[0].end()
        return item


class Following(scrapy.Spider):
    """Reads lists page by page."""

    name = "following"

    async def start(self) -> AsyncIterator[scrapy.Request]:
        """Begin at the seed."""
        stretches.append(Stretch())
        yield self._request(SEED, None)

    def parse(self, response: Response, handle: str, cursor: str | None) -> Iterator[Any]:
        """Give the page to the pipeline, and ask for the next one and for everybody listed."""
        answer = json.loads(response.body)
        yield {"page": (handle, cursor, answer)}
        following = answer["data"]["page"]["nextCursor"]
        if following is not None:
            yield self._request(handle, following, priority=1)
        for account in answer["data"]["accounts"]:
            yield self._request(account["handle"], None)

    def _request(self, handle: str, cursor: str | None, priority: int = 0) -> scrapy.Request:
        query = "" if cursor is None else f"?cursor={cursor}"
        return scrapy.Request(
            f"{URL}/v1/tiktok/profiles/{handle}/following{query}",
            headers={"x-api-key": "sfk_bench"},
            cb_kwargs={"handle": handle, "cursor": cursor},
            priority=priority,
        )


SETTINGS = {
    "JOBDIR": str(Path(FOLDER) / "job"),
    "SCHEDULER_DISK_QUEUE": "scrapy.squeues.PickleFifoDiskQueue",
    "SCHEDULER_MEMORY_QUEUE": "scrapy.squeues.FifoMemoryQueue",
    "CONCURRENT_REQUESTS": int(CONCURRENCY),
    "CONCURRENT_REQUESTS_PER_DOMAIN": int(CONCURRENCY),
    "DOWNLOAD_DELAY": 0,
    "CLOSESPIDER_PAGECOUNT": int(PAGES),
    "ITEM_PIPELINES": {Store: 1},
    "ROBOTSTXT_OBEY": False,
    "COOKIES_ENABLED": False,
    "REFERER_ENABLED": False,
    "COMPRESSION_ENABLED": False,
    "AUTOTHROTTLE_ENABLED": False,
    "TELNETCONSOLE_ENABLED": False,
    "LOG_LEVEL": "ERROR",
    "LOGSTATS_INTERVAL": 0,
    "EXTENSIONS": {"scrapy.extensions.memusage.MemoryUsage": None},
}


def main() -> None:
    """Crawl."""
    process = CrawlerProcess(SETTINGS)
    process.crawl(Following)
    process.start()
    report(stretches[0], pages=sink.pages, edges=sink.edges)


if __name__ == "__main__":
    main()
