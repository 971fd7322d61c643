"""followgraph's own command, with everything on; measured from the preflight to the stop reason.

    python benchmarks/peers/ours.py URL SEED PAGES CONCURRENCY FOLDER STRATEGY ARCHIVE [PROFILE]

PROFILE is a name for cProfile's figures: NAME.loop and NAME.writer, a file for each thread.
"""

from __future__ import annotations

import atexit
import contextlib
import cProfile
import io
import json
import os
import sys
import time
from pathlib import Path

from measured import Stretch, report

sys.path.insert(0, str(Path(__file__).parents[2]))

from cli.main import main as followgraph
from crawler.engine import Crawl, Result
from storage.writer import ThreadWriter

stretches: list[Stretch] = []


def profile_into(name: str) -> None:
    """Profile the writer's thread and the event loop's, each by its own."""
    of_loop, of_writer = (cProfile.Profile(time.thread_time) for _ in range(2))  # a busy machine changes nothing
    run_writer, run_crawl = ThreadWriter._run, Crawl.run

    def writing(self: ThreadWriter) -> None:
        of_writer.runcall(run_writer, self)

    async def crawling(self: Crawl) -> Result:
        of_loop.enable()
        try:
            return await run_crawl(self)
        finally:
            of_loop.disable()

    # Measured from within, so that start-up does not count.
    ThreadWriter._run, Crawl.run = writing, crawling  # type: ignore[method-assign]

    def dump() -> None:
        of_loop.dump_stats(f"{name}.loop")
        of_writer.dump_stats(f"{name}.writer")

    atexit.register(dump)


def main() -> None:
    """Crawl."""
    url, seed, pages, concurrency, folder, strategy, archive, *profile = sys.argv[1:]
    if profile:
        profile_into(profile[0])
    run = Crawl.run

    async def measured(self: Crawl) -> Result:
        stretch = Stretch()
        try:
            return await run(self)
        finally:
            stretch.end()
            stretches.append(stretch)

    # Measured from within, so that start-up does not count.
    Crawl.run = measured  # type: ignore[method-assign]
    os.environ |= {"SOCIALFETCH_API_KEY": "sfk_bench", "FOLLOWGRAPH_STORAGE__ARCHIVE": archive}
    command = ["--db", str(Path(folder) / "followgraph.db"), "--json", "crawl", "--seed", seed, "--budget", pages]
    command += ["--strategy", strategy, "--concurrency", concurrency, "--api-url", url, "--rng-seed", "1"]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        code = followgraph(command)
    document = json.loads(printed.getvalue())
    assert code == 0, document
    report(stretches[0], pages=document["pages"], edges=document["edges"], accounts=document["accounts"]["known"])


if __name__ == "__main__":
    main()
