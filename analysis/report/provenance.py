"""What makes a report citable: its content as a checksum, its references, its method as a file, its other files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np

from analysis.graph import FollowGraph
from analysis.report import prose, references, text
from analysis.report.caveats import caveats
from analysis.report.findings import Findings
from analysis.report.method import method
from analysis.report.references import Reference
from storage.export import replacing

_MARKDOWN = re.compile(r"([\\`*_\[\]<>#|]|&(?=#?\w+;))")


@dataclass(frozen=True, slots=True)
class File:
    """A file of the report, by its name in the folder, with its SHA-256 in hex."""

    name: str
    bytes: int
    sha256: str

    @classmethod
    def of(cls, path: Path, folder: Path) -> File:
        """Return what a written file is."""
        content = path.read_bytes()
        return cls(path.relative_to(folder).as_posix(), len(content), sha256(content).hexdigest())


def content_of(graph: FollowGraph) -> str:
    """Return the SHA-256 of a graph: of its account ids (int64) and both ends of its follows (uint32), little-endian.

    Equal graphs have equal ones, whatever their accounts are called.
    """
    found = sha256(np.ascontiguousarray(graph.accounts.id, dtype="<i8").data)
    for ends in (graph.src, graph.dst):
        found.update(np.ascontiguousarray(ends, dtype="<u4").data)
    return found.hexdigest()


def seeds_hash(findings: Findings) -> str:
    """Return the SHA-256 of the seeds: handles without @ (ids where there is none), sorted, each with a line end."""
    names = sorted(handle if handle is not None else f"id:{key}" for key, handle in findings.seeds)
    return sha256("".join(f"{name}\n" for name in names).encode(errors="replace")).hexdigest()


def citation(findings: Findings, versions: dict[str, str], generated_at: int) -> str:
    """Return how to cite the report, as plain text; who made it is for its reader to put in."""
    seen = findings.coverage
    when = f" Lists read {text.span(seen.first_page_at, seen.last_page_at)}." if seen.first_page_at is not None else ""
    return (
        f"[Authors] ({text.iso(generated_at)[:4]}): {prose.title(findings)}. followgraph report made on "
        f"{text.day(generated_at)} with followgraph {versions['followgraph']}.{when} Content SHA-256 "
        f"{findings.content[:16]}."
    ) + (f" doi:{findings.doi}" if findings.doi else "")


def references_of(findings: Findings, versions: dict[str, str], generated_at: int) -> list[Reference]:
    """Return the papers that the method and the caveats cite."""
    warnings = [sentence.striptags() for _, sentence in caveats(findings)]
    return references.cited([*method(findings, versions, generated_at), *warnings])


def bibliography(findings: Findings, versions: dict[str, str], generated_at: int) -> str:
    """Return the BibTeX file: every paper cited and the software."""
    return references.bibliography(references_of(findings, versions, generated_at), versions)


def methods(findings: Findings, versions: dict[str, str], generated_at: int) -> str:
    """Return the method as Markdown: the page's own paragraphs, and the papers that they cite."""
    paragraphs = method(findings, versions, generated_at)
    papers = [f"- {_escaped(one.line)}" for one in references.cited(paragraphs)]
    parts = ["# Method", *map(_escaped, paragraphs), "## References", "\n".join(papers) or "None."]
    parts += ["## How to cite this report", _escaped(citation(findings, versions, generated_at))]
    return "\n\n".join(parts) + "\n"


def written_text(path: Path, content: str) -> Path:
    """Write a text file. Raises OutputNotWritable."""
    with replacing(path) as temporary:
        temporary.write_text(content, encoding="utf-8", errors="replace", newline="\n")
    return path


def _escaped(plain: str) -> str:
    """Return plain text as Markdown that shows it as it stands: settings and handles are no markup."""
    return _MARKDOWN.sub(r"\\\1", plain)
