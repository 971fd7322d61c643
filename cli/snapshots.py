"""`followgraph snapshot` and `followgraph verify`: how a study stood, and whether it still is what it was."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.amounts import amount
from cli.escaping import shortened
from cli.exits import Exit
from cli.exporting import noted
from cli.failure import usage
from cli.session import Bound, Session
from cli.standing import moment

if TYPE_CHECKING:  # SQLAlchemy, which the help page does without
    from storage.dataset import Checked
    from storage.snapshot import Compared

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

_SHOWN = 10

_UNEXPLAINED = {
    "facts": "facts that no later call shows",
    "texts": "texts that no later call shows",
    "lists": "lists that nobody asked for since",
    "calls": "calls under another account, visit or page",
    "vanished": "more accounts gone than receipts count",
}


def snapshot(
    name: str,
    /,
    *,
    session: Bound,
) -> None:
    """Freeze how the study stands: settings, seeds, versions, order of purchases, checksums. The database is only read.

    It goes to snapshots/NAME beside the database, and names the seeds: mind where it goes.

    Parameters
    ----------
    name
        Letters, digits, '.', '-' and '_'.
    """
    from cli.versions import versions  # noqa: PLC0415 - start-up
    from storage import dataset, frozen  # noqa: PLC0415 - start-up
    from storage import snapshot as snapshots  # noqa: PLC0415 - start-up
    from storage.database import Database  # noqa: PLC0415 - start-up

    if not _NAME.fullmatch(name):
        hint = "Give a name of letters, digits, '.', '-' and '_' that begins with a letter or digit."
        raise usage("name", f"{shortened(name)} is no name for a snapshot", hint=hint)
    configuration = session.configure()
    settings = configuration.settings
    begun = session.now()
    database = Database.open(settings.storage.database, now=session.now, mode="read")
    try:
        with database.read() as conn:
            taken, sums = snapshots.take(conn)
    finally:
        database.close()
    folder = database.path.parent / "snapshots" / name
    content: dict[str, Any] = {
        "schema": 1,
        "name": name,
        "taken_at": moment(begun),
        "versions": versions(),
        "settings": settings.model_dump(mode="json", exclude={"api": {"key_file"}, "policy": {"key_file"}}),
        "origins": {key: origin for key, origin in configuration.origins.items() if origin != "default"},
        **taken,
    }
    with dataset.made(folder) as draft:
        text = json.dumps(content, indent=1, sort_keys=True) + "\n"
        (draft / snapshots.FILE).write_text(text, encoding="ascii")
        (draft / frozen.FILE).write_bytes(sums)
        if configuration.file is not None:
            (draft / "config.toml").write_bytes(configuration.file.read_bytes())
        dataset.write_sums(draft)
    seeds = len(taken["seeds"])
    noted(database.path, [folder], session, kind="snapshot", level="raw", accounts=seeds, edges=0, begun=begun)
    line = session.output.line
    line(
        f"{folder} · {amount(taken['purchases']['last'], 'call')} · {amount(seeds, 'seed')}",
        label="wrote",
    )
    line(f"followgraph verify {folder}", label="next", is_command=True)
    session.output.finish({"path": str(folder), "seeds": seeds, "purchases": taken["purchases"]})


def verify(
    path: Path,
    /,
    *,
    session: Bound,
) -> int:
    """Check a snapshot or a data set against its checksums, and a snapshot against the database. Changes nothing.

    Ends with exit code 5 where something is not what it was and nothing explains it. A later call explains the list it
    asked for and what that list says; the receipt of an erasure explains accounts that are gone and lists without them.

    Parameters
    ----------
    path
        The folder: snapshots/NAME, or what `export --dataset` wrote.
    """
    from storage import dataset  # noqa: PLC0415 - start-up
    from storage import snapshot as snapshots  # noqa: PLC0415 - start-up

    try:
        checked = dataset.check(path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        hint = "Name a folder that `followgraph snapshot` or `export --dataset` wrote."
        raise usage("not_verifiable", f"{path} cannot be verified: {reason}", hint=hint) from None
    compared = _compared(path / snapshots.FILE, session) if (path / snapshots.FILE).is_file() else None
    _tell(checked, compared, session)
    is_good = checked.is_whole and (compared is None or compared.is_explained)
    code = Exit.DONE if is_good else Exit.DATABASE
    session.output.finish(
        {
            "path": str(path),
            "files": asdict(checked),
            "database": None if compared is None else {**asdict(compared), "same": compared.is_same},
            "verified": is_good,
            "exit_code": int(code),
        }
    )
    return code


def _compared(file: Path, session: Session) -> Compared:
    from storage import frozen  # noqa: PLC0415 - start-up
    from storage import snapshot as snapshots  # noqa: PLC0415 - start-up
    from storage.database import Database  # noqa: PLC0415 - start-up

    try:
        taken = json.loads(file.read_text(encoding="ascii"))
        rows = file.with_name(frozen.FILE)
        sums = rows.read_bytes() if "rows" in taken else None
        database = Database.open(session.configure().settings.storage.database, now=session.now, mode="read")
        try:
            with database.read() as conn:
                return snapshots.compare(conn, taken, sums)
        finally:
            database.close()
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
        raise usage(
            "not_verifiable", f"{file} is no snapshot", hint="Name a folder of `followgraph snapshot`."
        ) from None


def _tell(checked: Checked, compared: Compared | None, session: Session) -> None:
    line = session.output.line
    if checked.is_whole:
        line(f"{amount(checked.files, 'file')}, each as it was", label="ok")
    for word, names in (("changed", checked.changed), ("missing", checked.missing), ("added", checked.added)):
        for name in names:
            line(f"{name}: {word}", label="FAIL")
    if compared is None:
        return
    if compared.is_same:
        line("the database is what it was", label="ok")
        return
    label = "ok" if compared.is_explained else "FAIL"
    line(f"the books are {'as they were' if compared.books else 'not what they were'}", label=label)
    line(f"the order of purchases is {'as it was' if compared.order else 'not what it was'}", label=label)
    differing = [name for name, same in compared.tables.items() if not same]
    if differing:
        explained = ", as calls or receipts since then explain" if compared.unexplained and label == "ok" else ""
        line(f"other rows in {', '.join(differing)}{explained}", label=label)
    for kind, ids in (compared.unexplained or {}).items():
        if ids:
            more = f" and {len(ids) - _SHOWN:,} more" if len(ids) > _SHOWN else ""
            line(f"{_UNEXPLAINED[kind]}: account {', '.join(map(str, ids[:_SHOWN]))}{more}", label="FAIL")
    if compared.unexplained is None:
        line("the snapshot is older than row sums: nobody can tell which rows differ", label="note")
    line(
        f"since then {amount(compared.calls_since, 'call')}, {amount(compared.receipts_since, 'receipt')} of erasures",
        label="",
    )
