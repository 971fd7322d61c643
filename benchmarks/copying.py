"""How fast a study moves from a file to a PostgreSQL server and back.

    PYTHONPATH=.:tests/support python benchmarks/copying.py 1000000 10000000

Draws a network of so many follows, as a crawl of all its accounts leaves it, and copies it with the command, each way,
to a server of this machine that flushes every commit. Prints rows a second, CPU seconds of the command and of the
server beside the wall's, and the most memory that the command took. Both copies are compared row by row, as always.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from meters import cpu_s, usage
from postgres_server import Postgres, postgres
from processes import environment

ROOT = Path(__file__).parents[1]


def copied(server: Postgres, source: Path | str, target: Path | str, cwd: Path) -> dict[str, Any]:
    """Copy with the command and return what it said and what it took."""
    assert server.process is not None
    before_cpu, before = cpu_s(server.process.pid), time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-m", "cli.main", "--db", str(source), "--json", "copy", "--to", str(target)],
        cwd=cwd,
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        said = process.stdout.read()
        used = usage(process)
    assert process.returncode == 0
    wall = time.monotonic() - before
    time.sleep(2)  # its connections end
    return json.loads(said) | {
        "wall": wall,
        "cpu": used.ru_utime + used.ru_stime,
        "server": cpu_s(server.process.pid) - before_cpu,
        "mb": used.ru_maxrss / 1024,
    }


def main() -> None:
    """Measure each size, there and back."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("follows", type=int, nargs="+")
    options = parser.parse_args()
    print("| follows | rows | way | wall s | CPU s | server's CPU s | rows/s | rows/CPU s | memory MB |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    with postgres() as server, tempfile.TemporaryDirectory(prefix="followgraph-copying-") as folder:
        server.stop()
        server.is_careful = True
        server.start()
        for follows in options.follows:
            path, back = Path(folder, f"{follows}.db"), Path(folder, f"{follows}-back.db")
            make = [
                sys.executable,
                str(ROOT / "benchmarks" / "analysing.py"),
                "--make",
                "rmat",
                str(follows),
                str(path),
            ]
            subprocess.run(make, check=True)
            place = server.url(server.fresh())
            for way, source, target in (("to the server", path, place), ("back", place, back)):
                done = copied(server, source, target, Path(folder))
                rows = done["rows"]
                print(
                    f"| {follows:,} | {rows:,} | {way} | {done['wall']:.0f} | {done['cpu']:.0f} | {done['server']:.0f}"
                    f" | {rows / done['wall']:,.0f} | {rows / done['cpu']:,.0f} | {done['mb']:.0f} |",
                    flush=True,
                )
            path.unlink()
            back.unlink()


if __name__ == "__main__":
    main()
