"""Where the project key of a study lies: named by a flag or setting, remembered by the database, or in the home folder.

It is made when it is first needed, never where it would go along with the database's folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cli.session import Session

if TYPE_CHECKING:  # pydantic and SQLAlchemy, which a help page does without
    from cli.config import Configuration
    from storage.database import Database
    from storage.secret import ProjectKey


def project_key(configuration: Configuration, session: Session, database: Database) -> ProjectKey:
    """Return the key, made now where there was none. Raises KeyUnusable."""
    found = find(configuration, session, database)
    if found is None:
        from storage.errors import KeyUnusable  # noqa: PLC0415 - start-up

        raise KeyUnusable(
            "nobody says where the project key belongs, and there is no home folder",
            hint="Name a file outside the study's folder with policy.key_file (--key).",
        )
    return found


def find(configuration: Configuration, session: Session, database: Database) -> ProjectKey | None:
    """Return the key, made now where there was none; None where there is no place for one. Raises KeyUnusable."""
    from storage import optout, secret  # noqa: PLC0415 - start-up
    from storage.errors import KeyUnusable  # noqa: PLC0415 - start-up

    named = configuration.settings.policy.key_file
    if named is not None:
        path = _expanded(named, session)
        secret.refuse_inside(path, database.beside, _home(session))
        if not path.exists() and configuration.origins["policy.key_file"] == "--key":
            raise KeyUnusable(f"there is no project key at {path}", hint="Check --key: a new one would join nothing.")
    else:
        with database.read() as conn:
            bound = optout.bound_path(conn)
        if bound is not None:
            return secret.read(bound)
        folder = _folder(session)
        if folder is None:
            return None
        path = secret.default_path(folder, database.beside)
        if not path.exists():
            secret.refuse_inside(path, database.beside, _home(session))
    if path.exists():
        return secret.read(path)
    made = secret.create(path)
    session.output.note(f"made {path}: it turns pseudonyms back into people; keep it apart from the data", label="key")
    return made


def _folder(session: Session) -> Path | None:
    named = session.environ.get("XDG_DATA_HOME", "")
    if named.startswith("/"):
        return Path(named) / "followgraph" / "keys"
    home = _home(session)
    return None if home is None else home / ".local" / "share" / "followgraph" / "keys"


def _home(session: Session) -> Path | None:
    named = session.environ.get("HOME", "")
    return Path(named) if named.startswith("/") else None


def _expanded(text: str, session: Session) -> Path:
    home = session.environ.get("HOME", "")
    return Path(home, text.removeprefix("~/")) if text.startswith("~/") and home else Path(text)


def warn_of_another(key: ProjectKey, session: Session, database: Database) -> None:
    """Say so where exports were made with another key before: their pseudonyms will not match."""
    from storage import outputs  # noqa: PLC0415 - start-up

    before = {made.key for made in outputs.recorded(database.beside)} - {None, key.fingerprint}
    if before:
        others = ", ".join(sorted(map(str, before)))
        session.output.note(f"earlier exports have pseudonyms of another key ({others}): no match", label="WARN")
