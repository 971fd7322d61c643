"""The graph as two folders of Parquet files, `accounts/` and `follows/`: a data set that many readers share.

Each file has as many rows as the others but the last, in the order of the whole: a hub's follows are spread as evenly
as everybody's. Invariant: a folder stands under its name only when it is whole.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import pyarrow.parquet as pq
import sqlalchemy as sa

from storage.draft import drafted_folder
from storage.export import (
    ACCOUNT_COLUMNS,
    BARE,
    CURRENT,
    FOLLOW_COLUMNS,
    Exported,
    OutputNotWritable,
    Row,
    exported_accounts,
    exported_follows,
    parquet_batches,
    parquet_schema,
    replacing,
)
from storage.graphfiles import Kind
from storage.pseudonyms import Mask
from storage.schema import accounts, follows

NAMES = ("accounts", "follows")
"""The folders of a data set."""


def write(conn: sa.Connection, folder: Path, parts: int, mask: Mask = BARE) -> Exported:
    """Write the graph into `folder` in at most `parts` files a table, part-00000.parquet and so on.

    Rows stream: memory holds a batch, whatever the size (and what the mask keeps). Ids are texts, as pseudonyms are.
    Folders of those names are replaced. Raises OutputNotWritable.
    """
    known = int(conn.execute(sa.select(sa.func.count()).select_from(accounts)).scalar_one())
    current = int(conn.execute(sa.select(sa.func.count()).select_from(follows).where(CURRENT)).scalar_one())
    with _replacing_folder(folder / NAMES[0]) as first, _replacing_folder(folder / NAMES[1]) as second:
        done = (
            _fill(first, ACCOUNT_COLUMNS, exported_accounts(conn, mask), known, parts),
            _fill(second, FOLLOW_COLUMNS, exported_follows(conn, mask), current, parts),
        )
    return Exported(folder, *done)


def files(folder: Path) -> list[Path]:
    """Return everything that stands in the two folders of a data set, files of others included."""
    return [each for name in NAMES for each in sorted((folder / name).glob("**/*")) if each.is_file()]


def _fill(folder: Path, columns: dict[str, Kind], rows: Iterator[Row], total: int, parts: int) -> int:
    size = max(1, -(-total // parts))
    count = 0
    for number in range(max(1, -(-total // size))):  # a table without rows is a file without rows
        with (
            replacing(folder / f"part-{number:05d}.parquet") as temporary,
            pq.ParquetWriter(temporary, parquet_schema(columns), compression="zstd") as writer,
        ):
            for batch in parquet_batches(columns, islice(rows, size)):
                writer.write_batch(batch)
                count += len(batch)
    return count


@contextmanager
def _replacing_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder, readable by its owner only, that takes the place of `path` when the block ends well."""
    target = path.resolve()
    try:
        if target.exists() and not target.is_dir():
            raise OutputNotWritable(path, "there is something else than a folder", hint="Name another with --output.")
        with drafted_folder(target) as draft:
            yield draft
            old = draft.with_suffix(".old")
            if target.exists():
                target.replace(old)
            draft.replace(target)
            shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        hint = "Make the folder writable, or name another place with --output; what stood there before is untouched."
        raise OutputNotWritable(path, error.strerror or str(error), hint=hint) from error
