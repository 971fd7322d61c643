"""Forgets people after a crawl and searches every file for what is left of them, byte by byte.

    PYTHONPATH=.:tests/support python benchmarks/forgetting.py --credits 5000 --people 5
    PYTHONPATH=.:tests/support python benchmarks/forgetting.py --graph ../shared/data/soc-slashdot0902/edges.tsv.gz

Prints a line for each person: what went, how long it took in CPU seconds (the crawl beside it), traces found before
and after. Ends with 1 where a trace is left, a check fails, or the replay says otherwise.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
from pathlib import Path

import rehearsal
import structlog
from people import holding, name, now, renamed, replayed_edges, town, traces

from crawler import forgetting
from storage import secret
from storage.database import Database
from storage.persons import Wanted


def main() -> int:
    """Crawl, forget, search."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--credits", type=int, default=5000)
    parser.add_argument("--accounts", type=int, default=6000, help="of a drawn network")
    parser.add_argument("--graph", type=Path, help="an edge list to crawl instead")
    parser.add_argument("--people", type=int, default=5)
    asked = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    faulty = False
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "study", "a.db")
        path.parent.mkdir()
        key = secret.create(Path(folder, "keys", "a.key"))
        api = rehearsal.service(town(asked.accounts) if asked.graph is None else renamed(asked.graph))
        begun = time.process_time()
        rehearsal.go(path, api, seeds=[name(1), name(2), name(3)], budget=asked.credits)
        assert rehearsal.state(path).charged == asked.credits
        print(f"crawl: {rehearsal.state(path).charged:,} credits, {time.process_time() - begun:.1f} CPU s, "
              f"{path.stat().st_size / 1e6:.1f} MB")  # fmt: skip
        people = rehearsal.rows(
            path,
            "SELECT a.handle FROM accounts a JOIN follows f ON f.dst = a.id GROUP BY a.id ORDER BY count(*) DESC"
            f" LIMIT {asked.people}",
        )
        for (handle,) in people:
            needles = traces(api, handle)
            before = rehearsal.edges(path)
            held = holding(path.parent, needles)
            begun = time.process_time()
            database = Database.open(path, now=now)
            database.claim()
            done = forgetting.forget(database, [Wanted(handle=handle)], key=key, reason="forgotten", now=now)
            database.close()
            spent = time.process_time() - begun
            left = holding(path.parent, needles)
            after = rehearsal.edges(path)
            sound = not rehearsal.findings(path)
            whole = after == {pair for pair in before if handle not in pair} == replayed_edges(path)
            faulty |= bool(left) or not sound or not whole
            print(f"{done.erased.follows:,} follows, {done.erased.answers_deleted:,} answers deleted, "
                  f"{done.erased.answers_rewritten:,} rewritten, {spent:.1f} CPU s, "
                  f"traces {len(held):,} → {len(left)}, "
                  f"checks {'hold' if sound else 'FAIL'}, replay {'equal' if whole else 'DIFFERS'}")  # fmt: skip
    return int(faulty)


if __name__ == "__main__":
    sys.exit(main())
