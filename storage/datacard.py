"""What a data set says to people: the card that stands before its numbers, and how to cite it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from storage.outputs import Level
from storage.pseudonyms import NOTICE
from storage.summary import Summary


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What the tables do not say. `policy` holds sentences by what they are about, `versions` software by name.

    `at` is when the data set is made, in Unix seconds.
    """

    title: str
    authors: Sequence[str]
    license: str | None
    level: Level
    policy: Mapping[str, str]
    versions: Mapping[str, str]
    at: int

    @property
    def day(self) -> str:
        """The day it is made, which is its version."""
        return iso(self.at)[:10]


_CARD = """\
# {title}
{notice}
## What this is

A directed graph of who follows whom on TikTok, as far as it was crawled: {known:,} accounts and {edges:,} follows, made
on {made} from {charged:,} bought pages of following lists (source: {sources}). Level of this copy: {level}.

## Why it was made

Legal basis: {basis}. Approval: {approval}.

## How it was sampled

Not at random. Accounts were reached by following links from the seeds; which list was bought next was decided by the
strategy ({strategies}). Much-followed accounts are favoured; other seeds would have shown another part of the graph.

## What is missing

{visited:,} accounts were visited; {boundary:,} are known by name only, and whom they follow is unknown, not nobody.
Hidden: {hidden:,}. Private: {private:,}. Vanished: {not_found:,}. Failed: {failed:,}. Lists cut or broken off say so in
the column `completeness`. People who opted out or were forgotten are not in it, nor are their follows.

## Biases

Accounts with many followers and public lists are over-represented. Those who vanished, hide or opted out are missing,
and not at random. Reported counts are the platform's own.

## Permitted use

Research on the aggregate. Do not try to recognise anybody, do not join it with other data to that end, do not judge or
contact individuals with it, and do not pass it on without these words. {license}

## Duty to delete

People may ask to be taken out. Whoever holds a copy takes them out of it when told, and deletes old versions.

{policy}

## Files

`accounts` and `follows` (or `counts`) as CSV and Parquet, the same rows; `datapackage.json` describes their columns.
`SHA256SUMS` proves that a copy is whole: `sha256sum -c SHA256SUMS`.

Software: {software}.
"""


def card(described: Description, found: Summary) -> str:
    """Return the data-set card, in Markdown."""
    quoted = "\n".join(f"> {line}".rstrip() for line in NOTICE.strip().splitlines())
    return _CARD.format(
        title=described.title,
        notice=f"\n{quoted}\n" if described.level == "pseudonymous" else "",
        made=iso(described.at),
        edges=found.edges,
        charged=found.charged,
        sources=", ".join(dict.fromkeys(source for run in found.runs for source in run.sources)) or "not stated",
        strategies=", ".join(dict.fromkeys(name for run in found.runs for name in run.strategies)) or "none yet",
        level=described.level,
        basis=described.policy.get("Legal basis", "not stated"),
        approval=described.policy.get("Approval", "not stated"),
        license=f"Licence: {described.license}." if described.license else "No licence: ask its authors.",
        policy="\n".join(f"- {word}: {text}" for word, text in described.policy.items()),
        software=", ".join(f"{package} {version}" for package, version in described.versions.items()),
        **found.accounts,
    )


def citation(described: Description) -> str:
    """Return CITATION.cff, version 1.2.0."""
    # JSON's strings are YAML's, so nothing in a title can become YAML of its own.
    lines = [
        "cff-version: 1.2.0",
        'message: "If you use this data set, please cite it as below."',
        "type: dataset",
        f"title: {json.dumps(described.title)}",
        "authors:",
        *(f"  - name: {json.dumps(author)}" for author in described.authors or ["Authors not stated"]),
        f"date-released: {described.day}",
        f'version: "{described.day}"',
    ]
    if described.license is not None and re.fullmatch(r"[A-Za-z0-9.+-]+", described.license):
        lines.append(f"license: {described.license}")
    return "\n".join(lines) + "\n"


def iso(at: int) -> str:
    """Return Unix seconds as ISO 8601 in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
