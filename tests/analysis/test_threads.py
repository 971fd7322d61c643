"""A report is the same on any number of processors."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.analysis.sample import edges, partial, write

ROOT = Path(__file__).parents[2]

PROGRAM = """
import sys
from pathlib import Path
from analysis.report.build import build

build(sys.argv[1], Path(sys.argv[2]), now=lambda: 1_793_100_000.0)
"""


def test_a_report_is_the_same_on_one_thread_and_on_two(tmp_path: Path) -> None:
    """The same database gives the same bytes of report.json and of the tables, whatever the engines may use."""
    database = write(tmp_path / "crawl.db", partial(edges("wiki-vote"), pages=2_000))
    for threads in ("1", "2"):
        subprocess.run(
            [sys.executable, "-c", PROGRAM, database, tmp_path / threads],
            cwd=ROOT,
            env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": threads, "PYTHONHASHSEED": threads},
            check=True,
        )
    one, two = (
        {path.relative_to(tmp_path / threads): path.read_bytes() for path in (tmp_path / threads).rglob("*.[jc]s*")}
        for threads in ("1", "2")
    )
    assert len(one) > 3
    assert one == two
