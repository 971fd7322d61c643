"""The project key: 32 random bytes in a file of their own, under which people are hashed.

Handles and ids can be listed, so a hash without a key hides nobody. Invariant: the key is in no database, export or
message; a database knows the path of its key and the key's fingerprint.
"""

from __future__ import annotations

import hmac
import os
import stat
from base64 import b32encode
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from storage import errors

KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class ProjectKey:
    """A key and its file. Printing it shows no byte of it."""

    path: Path
    content: bytes = field(repr=False)

    @property
    def fingerprint(self) -> str:
        """Tell two keys apart without telling either."""
        return hmac.digest(self.content, b"fingerprint", "sha256").hex()[:16]

    def tag(self, kind: str, value: str) -> str:
        """Return the hash that keeps a person out; `kind` is handle or id."""
        return hmac.digest(self.content, f"tombstone\0{kind}\0{value}".encode("utf-8", "surrogatepass"), "sha256").hex()

    def pseudonym(self, kind: str, value: str) -> str:
        """Return 128 bits of HMAC-SHA-256 in base32: 26 letters and digits, the same for the same key and person."""
        digest = hmac.digest(self.content, f"pseudonym\0{kind}\0{value}".encode("utf-8", "surrogatepass"), "sha256")
        return b32encode(digest[:16]).decode("ascii").rstrip("=")


def read(path: Path) -> ProjectKey:
    """Read a key file. Raises KeyUnusable for one that is missing, readable by others, or no key."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except OSError as error:
        raise errors.KeyUnusable(f"the project key {path} cannot be read: {error.strerror}") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise errors.KeyUnusable(f"the project key {path} is not a regular file")
        if os.name == "posix" and status.st_mode & 0o077:
            raise errors.KeyUnusable(
                f"the project key {path} can be read by others (mode {status.st_mode & 0o777:03o})",
                hint=f"Run: chmod 600 {path}",
            )
        text = os.read(descriptor, 4 * KEY_BYTES)
    finally:
        os.close(descriptor)
    try:
        content = bytes.fromhex(text.decode("ascii").strip())
    except ValueError:
        content = b""
    if len(content) != KEY_BYTES:
        raise errors.KeyUnusable(f"the project key {path} is not one: it holds 64 hexadecimal digits, alone on a line")
    return ProjectKey(path, content)


def create(path: Path) -> ProjectKey:
    """Make a key, readable by its owner only. Raises KeyUnusable where something stands or nothing can be made."""
    content = os.urandom(KEY_BYTES)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(f"{content.hex()}\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise errors.KeyUnusable(f"the project key {path} cannot be made: {error.strerror}") from None
    return ProjectKey(path, content)


def default_path(folder: Path, database: Path) -> Path:
    """Return where the key of a database lies unless somebody says otherwise: one for each database's own path."""
    place = sha256(os.fsencode(database.resolve())).hexdigest()[:8]
    return folder / f"{database.stem}-{place}.key"


def refuse_inside(path: Path, database: Path, home: Path | None) -> None:
    """Refuse a key where it would go along with its data: who gets the database's folder would have both.

    Raises KeyUnusable.
    """
    folder, key = database.resolve().parent, path.resolve()
    # A study's folder is given away whole, with all that lies below it. The home folder, or one that holds it, is not:
    # there a file in another folder, such as the one where keys are made, is apart from the data.
    is_of_a_study = home is None or not home.resolve().is_relative_to(folder)
    if key.parent == folder or (is_of_a_study and key.is_relative_to(folder)):
        raise errors.KeyUnusable(
            f"the project key {path} would lie in the database's folder: who gets the folder would get both",
            hint="Name a file in a folder of its own with --key or policy.key_file, such as ~/keys/study.key.",
        )
