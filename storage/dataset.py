"""A data set fit to publish: tables as CSV and Parquet, what describes them for machines and people, checksums of all.

Data Package 2.0 (https://datapackage.org), RO-Crate 1.2 (https://w3id.org/ro/crate/1.2). Invariant: a folder stands
under its name only when it is whole, and its SHA256SUMS names every other file in it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from storage import export, outputs, summary
from storage.datacard import Description, card, citation, iso
from storage.draft import drafted_folder
from storage.export import Exported, OutputNotWritable
from storage.graphfiles import Kind
from storage.pseudonyms import Mask
from storage.summary import Summary

SUMS = "SHA256SUMS"

_WORDS = {
    "id": "The account: a keyed pseudonym, the same for a person under the same key, or the database's number.",
    "label": "The account's handle, or the beginning of its pseudonym.",
    "role": "seed, expanded (a list of it was read, whole or not) or boundary (none was: whom it follows is unknown).",
    "completeness": "How its list was read: complete, capped, partial; hidden, private, not_found: why there is none.",
    "depth": "Hops from the nearest seed.",
    "followers_reported": "Followers, as the platform reported them last.",
    "following_reported": "Accounts it follows, as the platform reported them last.",
    "followers_observed": "By how many of the accounts whose lists were read it is followed.",
    "following_observed": "How many it was seen to follow; missing, not 0, where no list of it was read.",
    "first_seen": "When it was first seen, UTC.",
    "last_seen": "When it was last seen, UTC.",
    "source": "Who follows.",
    "target": "Who is followed.",
}

_TYPES: dict[Kind, str] = {"text": "string", "count": "integer", "time": "datetime"}


def write(conn: sa.Connection, folder: Path, described: Description, mask: Mask) -> Exported:
    """Write the data set into a folder that is not there yet, or empty. Raises OutputNotWritable."""
    found = summary.read(conn)
    with made(folder) as draft:
        if described.level == "aggregate":
            done = export.write_counts(conn, "csv", draft)
            export.write_counts(conn, "parquet", draft)
        else:
            done = export.write(conn, "csv", draft, mask)
            export.write(conn, "parquet", draft, mask)
        (draft / "README.md").write_text(card(described, found), encoding="utf-8")
        (draft / "CITATION.cff").write_text(citation(described), encoding="utf-8")
        _json(draft / "datapackage.json", _package(described, draft))
        _json(draft / "ro-crate-metadata.json", _crate(described, found, draft))
        write_sums(draft)
    return Exported(folder, done.accounts, done.edges)


@contextmanager
def made(folder: Path) -> Iterator[Path]:
    """Yield a folder, private to its owner, that gets its name when the block ends well."""
    target = folder.resolve()
    if os.path.lexists(target) and (not target.is_dir() or any(target.iterdir())):
        raise OutputNotWritable(folder, "there is something already", hint="Name a folder that is not there yet.")
    try:
        with drafted_folder(target) as draft:
            yield draft
            for path in draft.rglob("*"):
                path.chmod(0o600)
            draft.rename(target)
    except OSError as error:
        hint = "Make its folder writable, or name another place."
        raise OutputNotWritable(folder, error.strerror or str(error), hint=hint) from error


def write_sums(folder: Path) -> None:
    """Write SHA256SUMS of every other file, as sha256sum writes and checks it."""
    lines = [
        f"{outputs.checksum(path)}  {path.relative_to(folder).as_posix()}\n"
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != SUMS
    ]
    (folder / SUMS).write_text("".join(lines), encoding="utf-8")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What became of the files of a folder since its checksums were written."""

    files: int
    changed: Sequence[str]
    missing: Sequence[str]
    added: Sequence[str]

    @property
    def is_whole(self) -> bool:
        """Whether every file is as it was and none was added."""
        return not (self.changed or self.missing or self.added)


_SUM = re.compile(r"([0-9a-f]{64}) [ *](.+)")


def check(folder: Path) -> Checked:
    """Compare a folder with its SHA256SUMS; names that lead out of it count as changed. Raises OSError, ValueError."""
    expected = {}
    for line in (folder / SUMS).read_text(encoding="utf-8").splitlines():
        found = _SUM.fullmatch(line)
        if found is None:
            raise ValueError(f"{SUMS} holds a line that is no checksum")
        expected[found[2]] = found[1]
    changed, missing = [], []
    for name, checksum in expected.items():
        path = folder / name
        if not path.resolve().is_relative_to(folder.resolve()):
            changed.append(name)
        elif not path.is_file():
            missing.append(name)
        elif outputs.checksum(path) != checksum:
            changed.append(name)
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return Checked(files=len(expected), changed=changed, missing=missing, added=sorted(there - set(expected) - {SUMS}))


def _package(described: Description, folder: Path) -> dict[str, Any]:
    resources = []
    for path in sorted(folder.glob("*.csv")) + sorted(folder.glob("*.parquet")):
        resource: dict[str, Any] = {
            "name": f"{path.stem}-{path.suffix[1:]}",
            "path": path.name,
            "format": path.suffix[1:],
            "mediatype": "text/csv" if path.suffix == ".csv" else "application/vnd.apache.parquet",
            "bytes": path.stat().st_size,
            "hash": f"sha256:{outputs.checksum(path)}",
        }
        if path.suffix == ".csv":
            resource |= {"type": "table", "encoding": "utf-8", "schema": _schema(path.stem)}
        resources.append(resource)
    package: dict[str, Any] = {
        "$schema": "https://datapackage.org/profiles/2.0/datapackage.json",
        "name": _slug(described.title),
        "title": described.title,
        "description": "See README.md.",
        "created": iso(described.at),
        "version": described.day,
        "contributors": [{"title": author, "roles": ["creator"]} for author in described.authors],
        "resources": resources,
    }
    if described.license is not None:
        package["licenses"] = [{"name": described.license, "title": described.license}]
    if not described.authors:
        del package["contributors"]
    return package


def _schema(table: str) -> dict[str, Any]:
    if table == "counts":
        fields: list[dict[str, Any]] = [
            {"name": "table", "type": "string", "description": "What is counted."},
            {"name": "cell", "type": "string", "description": "The value that these accounts share."},
            {"name": "accounts", "type": "integer", "description": "How many; missing where fewer than ten, or where "
             "it would give such a number away."},
        ]  # fmt: skip
        return {"fields": fields, "primaryKey": ["table", "cell"]}
    columns = export.ACCOUNT_COLUMNS if table == "accounts" else export.FOLLOW_COLUMNS
    fields = [{"name": name, "type": _TYPES[kind], "description": _WORDS[name]} for name, kind in columns.items()]
    if table == "accounts":
        return {"fields": fields, "primaryKey": ["id"]}
    refers = {"resource": "accounts-csv", "fields": ["id"]}
    keys = [{"fields": [end], "reference": refers} for end in ("source", "target")]
    return {"fields": fields, "primaryKey": ["source", "target"], "foreignKeys": keys}


def _crate(described: Description, found: Summary, folder: Path) -> dict[str, Any]:
    files = sorted(path for path in folder.iterdir() if path.name != "ro-crate-metadata.json")
    people = [{"@id": f"#author-{number}", "@type": "Person", "name": author}
              for number, author in enumerate(described.authors, start=1)]  # fmt: skip
    software = {"@id": "#followgraph", "@type": "SoftwareApplication", "name": "followgraph",
                "version": described.versions.get("followgraph", "")}  # fmt: skip
    runs = [
        {
            "@id": f"#run-{run.id}",
            "@type": "CreateAction",
            "name": f"Crawl {run.id}, strategy {', '.join(run.strategies)}",
            "startTime": iso(run.started_at),
            **({} if run.ended_at is None else {"endTime": iso(run.ended_at)}),
            "description": f"budget {run.budget}, charged {run.charged}, stopped by {run.stop_reason}, "
            f"seed of randomness {run.rng_seed}",
            "instrument": {"@id": "#followgraph"},
            "result": {"@id": "./"},
        }
        for run in found.runs
    ]
    license = described.license or "No licence was given: ask before use."
    root: dict[str, Any] = {
        "@id": "./",
        "@type": "Dataset",
        "name": described.title,
        "description": f"A follow graph of {found.accounts['known']:,} accounts ({described.level}). See README.md.",
        "datePublished": described.day,
        "license": license,
        "hasPart": [{"@id": path.name} for path in files],
    }
    if people:
        root["author"] = [{"@id": person["@id"]} for person in people]
    if runs:
        root["mentions"] = [{"@id": run["@id"]} for run in runs]
    return {
        "@context": "https://w3id.org/ro/crate/1.2/context",
        "@graph": [
            {
                "@id": "ro-crate-metadata.json",
                "@type": "CreativeWork",
                "conformsTo": {"@id": "https://w3id.org/ro/crate/1.2"},
                "about": {"@id": "./"},
            },
            root,
            *(
                {
                    "@id": path.name,
                    "@type": "File",
                    "name": path.name,
                    "contentSize": str(path.stat().st_size),
                    "sha256": outputs.checksum(path),
                    "encodingFormat": _FORMATS.get(path.suffix, "text/plain"),
                }
                for path in files
            ),
            software,
            *people,
            *runs,
        ],
    }


_FORMATS = {".csv": "text/csv", ".parquet": "application/vnd.apache.parquet", ".json": "application/json",
            ".md": "text/markdown", ".cff": "application/yaml"}  # fmt: skip


def _json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=True) + "\n", encoding="ascii")


def _slug(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or "follow-graph"
