"""Raw pages: every paid answer as it came, zstd-compressed, so that what was paid for can be read again for nothing.

After `TRAINING_PAGES` pages a dictionary is trained on them and kept in the database; it is used from then on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

import sqlalchemy as sa
import zstandard

from storage import errors
from storage.schema import archive, dictionaries, ledger
from storage.statement import Insert

TRAINING_PAGES = 200
DICTIONARY_BYTES = 64 * 1024
LEVEL = 3

CHUNK = 500
"""Answers read at once."""

LARGEST_BODY = 2**28
"""Bytes of an answer: a small frame that unpacks to more is a trap, not an answer."""

_INSERT = Insert(archive, ("ledger_id", "dictionary_id", "body"))


class Dictionary(NamedTuple):
    """A trained dictionary as it lies in the database."""

    id: int
    content: bytes


class Archive:
    """Compresses and stores bodies; one per crawl.

    A dictionary is adopted only after the transaction that stored it: no page may need one that was rolled back.
    """

    def __init__(self, dictionary: Dictionary | None) -> None:
        self._dictionary_id: int | None = None
        self._compressor = zstandard.ZstdCompressor(level=LEVEL)
        self._samples: list[bytes] = []
        if dictionary is not None:
            self.adopt(dictionary)

    def add(self, conn: sa.Connection, pages: Sequence[tuple[int, bytes]]) -> None:
        """Store the bodies of answers, each under its ledger row's id."""
        dictionary_id, compressor = self._dictionary_id, self._compressor
        _INSERT.run(conn, [(ledger_id, dictionary_id, compressor.compress(body)) for ledger_id, body in pages])
        if dictionary_id is None:
            self._samples += [body for _, body in pages]

    def take_samples(self) -> list[bytes] | None:
        """Return the pages to train a dictionary on, to one caller, once there are enough; None otherwise."""
        if self._dictionary_id is not None or len(self._samples) < TRAINING_PAGES:
            return None
        samples, self._samples = self._samples, []
        return samples

    def adopt(self, dictionary: Dictionary) -> None:
        """Compress with this dictionary from now on."""
        compressor = zstandard.ZstdCompressor(level=LEVEL, dict_data=zstandard.ZstdCompressionDict(dictionary.content))
        self._compressor = compressor
        self._dictionary_id = dictionary.id
        self._samples = []


def train(conn: sa.Connection, samples: Sequence[bytes], *, now: int) -> Dictionary | None:
    """Train a dictionary and store it; the caller adopts it after the commit. None: the pages are too alike."""
    try:
        content = zstandard.train_dictionary(DICTIONARY_BYTES, [*samples]).as_bytes()
    except zstandard.ZstdError:
        return None
    row_id = conn.execute(
        sa.insert(dictionaries).values(trained_at=now, content=content).returning(dictionaries.c.id)
    ).scalar_one()
    return Dictionary(row_id, content)


def newest_dictionary(conn: sa.Connection) -> Dictionary | None:
    """Return the dictionary to go on with."""
    row = conn.execute(
        sa.select(dictionaries.c.id, dictionaries.c.content).order_by(dictionaries.c.id.desc()).limit(1)
    ).one_or_none()
    return None if row is None else Dictionary(row.id, row.content)


class Bodies:
    """Reads many bodies of one database, each dictionary loaded once."""

    def __init__(self, conn: sa.Connection) -> None:
        self._conn = conn
        self._decompressors: dict[int | None, zstandard.ZstdDecompressor] = {None: zstandard.ZstdDecompressor()}

    def read(self, ledger_id: int, dictionary_id: int | None, body: bytes) -> bytes:
        """Return the answer as it came. Raises ArchiveUnreadable for what is damaged or lacks its dictionary."""
        try:
            # Ours say how long they are; a frame that does not, or lies, was put there by somebody else.
            if not 0 <= zstandard.frame_content_size(body) <= LARGEST_BODY:
                raise errors.ArchiveUnreadable(ledger_id)
            return self._decompressor(dictionary_id).decompress(body)
        except (zstandard.ZstdError, MemoryError, sa.exc.NoResultFound) as error:
            raise errors.ArchiveUnreadable(ledger_id) from error

    def _decompressor(self, dictionary_id: int | None) -> zstandard.ZstdDecompressor:
        found = self._decompressors.get(dictionary_id)
        if found is None:
            content = self._conn.execute(
                sa.select(dictionaries.c.content).where(dictionaries.c.id == dictionary_id)
            ).scalar_one()
            found = zstandard.ZstdDecompressor(dict_data=zstandard.ZstdCompressionDict(content))
            self._decompressors[dictionary_id] = found
        return found


class Rewriter:
    """Stores answers anew, each compressed as it was or with a dictionary that takes another's place."""

    def __init__(self, conn: sa.Connection) -> None:
        self._conn = conn
        self._compressors: dict[int | None, zstandard.ZstdCompressor] = {None: zstandard.ZstdCompressor(level=LEVEL)}

    def train(self, samples: Iterable[bytes]) -> int | None:
        """Train a dictionary and return its id; None where these pages are too few or too alike for one."""
        try:
            content = zstandard.train_dictionary(DICTIONARY_BYTES, [*samples]).as_bytes()
        except (zstandard.ZstdError, ValueError):
            return None
        newest = self._conn.execute(sa.select(sa.func.max(dictionaries.c.trained_at))).scalar_one()
        return int(
            self._conn.execute(
                sa.insert(dictionaries).values(trained_at=newest, content=content).returning(dictionaries.c.id)
            ).scalar_one()
        )

    def store(self, ledger_id: int, dictionary_id: int | None, body: bytes) -> None:
        """Put this body in the place of the one that is stored."""
        compressor = self._compressors.get(dictionary_id)
        if compressor is None:
            content = self._conn.execute(
                sa.select(dictionaries.c.content).where(dictionaries.c.id == dictionary_id)
            ).scalar_one()
            dictionary = zstandard.ZstdCompressionDict(content)
            compressor = self._compressors[dictionary_id] = zstandard.ZstdCompressor(level=LEVEL, dict_data=dictionary)
        self._conn.execute(
            sa.update(archive)
            .where(archive.c.ledger_id == ledger_id)
            .values(dictionary_id=dictionary_id, body=compressor.compress(body))
        )


def rewrite(conn: sa.Connection, change: Callable[[bytes], bytes]) -> None:
    """Change every answer, and compress all of them with a dictionary made of the changed ones."""
    bodies, rewriter = Bodies(conn), Rewriter(conn)
    before = [row.id for row in conn.execute(sa.select(dictionaries.c.id))]
    changed = (change(bodies.read(row.ledger_id, row.dictionary_id, row.body)) for row in answers(conn))
    successor = rewriter.train(islice(changed, TRAINING_PAGES)) if before else None
    for row in answers(conn):
        rewriter.store(row.ledger_id, successor, change(bodies.read(row.ledger_id, row.dictionary_id, row.body)))
    conn.execute(sa.delete(dictionaries).where(dictionaries.c.id.in_(before)))


def answers(conn: sa.Connection) -> Iterator[Any]:
    """Yield (ledger_id, dictionary_id, body, visit_id) of every archived answer, by ledger row."""
    after = 0
    while True:
        rows = conn.execute(
            sa.select(archive.c.ledger_id, archive.c.dictionary_id, archive.c.body, ledger.c.visit_id)
            .join(ledger, ledger.c.id == archive.c.ledger_id)
            .where(archive.c.ledger_id > after)
            .order_by(archive.c.ledger_id)
            .limit(CHUNK)
        ).all()
        yield from rows
        if len(rows) < CHUNK:
            return
        after = rows[-1].ledger_id


def read(conn: sa.Connection, ledger_id: int) -> bytes | None:
    """Return the body of a paid answer, None where it was not archived. Raises ArchiveUnreadable."""
    row = conn.execute(
        sa.select(archive.c.dictionary_id, archive.c.body).where(archive.c.ledger_id == ledger_id)
    ).one_or_none()
    return None if row is None else Bodies(conn).read(ledger_id, row.dictionary_id, row.body)
