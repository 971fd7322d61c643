"""How fast a study moves from a file to a PostgreSQL server and back.

    PYTHONPATH=.:tests/support python benchmarks/copying.py 1000000 10000000

Draws a network of so many follows, as a crawl of all its accounts leaves it, and copies it with the command, each way,
to a server of this machine that flushes every commit. Prints rows a second, CPU seconds of the command and of the
server beside the wall's, and the most memory that the command took. Both copies are compared row by row, as always.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from postgres_server import Postgres, postgres
from processes import environment

ROOT = Path(__file__).parents[1]


def server_cpu_s(server: Postgres) -> float:
    """Return the CPU seconds that a server started here has used, those of its ended connections included."""
    assert server.process is not None
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def copied(server: Postgres, source: Path | str, target: Path | str, cwd: Path) -> dict[str, Any]:
    """Copy with the command and return what it said and what it took."""
    before_cpu, before = server_cpu_s(server), time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-m", "cli.main", "--db", str(source), "--json", "copy", "--to", str(target)],
        cwd=cwd,
        env=environment(),
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        said = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    wall = time.monotonic() - before
    time.sleep(2)  # its connections end
    return json.loads(said) | {
        "wall": wall,
        "cpu": used.ru_utime + used.ru_stime,
        "server": server_cpu_s(server) - before_cpu,
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
            make = [sys.executable, str(ROOT / "benchmarks" / "analysis.py"), "--make", "rmat", str(follows), str(path)]
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
