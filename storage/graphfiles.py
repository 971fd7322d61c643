"""Files that programs for graphs open, written as streams: GraphML, GEXF, graphology's JSON.

Ids are strings, every attribute has one type, and missing values are left out. Handles are foreign text: markup is
escaped, and characters that XML 1.0 cannot hold are dropped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TextIO
from xml.sax.saxutils import escape, quoteattr

Kind = Literal["text", "count", "time", "share"]

PLACE_COLUMNS: dict[str, Kind] = {"community": "count", "community_stability": "share"}
"""Words of an account's place, beside its position and colour."""

RANK_COLUMNS: dict[str, Kind] = {"pagerank_imputed": "share", "rank_lo": "count", "rank_hi": "count"}
"""Words of an account's rank."""

GEXF_SIGN, GRAPHOLOGY_SIGN = "<creator>followgraph</creator>", '{"attributes":{"generator":"followgraph"}'
"""What stands near the beginning of the files."""


class Place(NamedTuple):
    """Where a drawing has an account: its community, counted from 1, the middle of the map being (0, 0)."""

    community: int
    stability: float
    x: float
    y: float
    colour: str
    """As `#rrggbb`."""


class Rank(NamedTuple):
    """How high an account stands, as far as a crawl can tell, and between which ranks, where that can be said."""

    pagerank: float
    low: int | None
    high: int | None


@dataclass(frozen=True, slots=True)
class Table:
    """Rows in the order of `columns`, times as text; `rows` is read once."""

    columns: Mapping[str, Kind]
    rows: Iterable[list[Any]]


_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_TYPES: dict[Kind, str] = {"text": "string", "count": "long", "time": "string", "share": "double"}


def graphml(file: TextIO, accounts: Table, follows: Table) -> tuple[int, int]:
    """Write GraphML (http://graphml.graphdrawing.org/specification.html); return how many accounts and follows."""
    words = {"node": list(accounts.columns.items())[1:], "edge": list(follows.columns.items())[2:]}
    openings = {kind: [f'<data key="{kind}_{name}">' for name, _ in columns] for kind, columns in words.items()}

    def element(kind: str, attributes: str, values: list[Any]) -> str:
        present = zip(openings[kind], values, strict=True)
        content = "".join(
            f"{opening}{escape(_NOT_XML.sub('', value)) if isinstance(value, str) else value}</data>"
            for opening, value in present
            if value is not None
        )
        return f"<{kind} {attributes}>{content}</{kind}>\n"

    known = edges = 0
    file.write('<?xml version="1.0" encoding="UTF-8"?>\n<graphml xmlns="http://graphml.graphdrawing.org/xmlns">\n')
    for kind, columns in words.items():
        keys = (
            f'id="{kind}_{name}" for="{kind}" attr.name="{name}" attr.type="{_TYPES[type_]}"' for name, type_ in columns
        )
        file.writelines(f"<key {key}/>\n" for key in keys)
    file.write('<graph edgedefault="directed">\n')
    for known, (key, *values) in enumerate(accounts.rows, start=1):  # noqa: B007 - the last number is the count
        file.write(element("node", f'id="{key}"', values))
    for edges, (source, target, *values) in enumerate(follows.rows, start=1):  # noqa: B007 - as above
        file.write(element("edge", f'source="{source}" target="{target}"', values))
    file.write("</graph>\n</graphml>\n")
    return known, edges


def gexf(file: TextIO, accounts: Table, follows: Table) -> tuple[int, int]:
    """Write GEXF 1.3 (https://gexf.net/schema.html); return how many accounts and follows.

    The last two values of an account's row are its Rank and its Place, or None. Attributes have the columns' names for
    their ids and titles: none of them is a word of GEXF's own. A colour has no alpha, with which Gephi Lite would
    ignore it.
    """
    node = {**dict(list(accounts.columns.items())[2:]), **PLACE_COLUMNS, **RANK_COLUMNS}
    edge = dict(list(follows.columns.items())[2:])

    def attributes(columns: Mapping[str, Kind], values: list[Any]) -> str:
        content = "".join(
            f'<attvalue for="{name}" value={_quoted(value)}/>'
            for name, value in zip(columns, values, strict=True)
            if value is not None
        )
        return f"<attvalues>{content}</attvalues>" if content else ""

    known = edges = 0
    file.write(
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<gexf xmlns="http://gexf.net/1.3" xmlns:viz="http://gexf.net/1.3/viz" version="1.3">\n'
        f'<meta>{GEXF_SIGN}</meta>\n<graph defaultedgetype="directed" mode="static">\n'
    )
    for kind, columns in (("node", node), ("edge", edge)):
        file.write(f'<attributes class="{kind}">\n')
        declared = (f'id="{name}" title="{name}" type="{_TYPES[type_]}"' for name, type_ in columns.items())
        file.writelines(f"<attribute {each}/>\n" for each in declared)
        file.write("</attributes>\n")
    file.write("<nodes>\n")
    for known, (key, label, *values, rank, place) in enumerate(accounts.rows, start=1):  # noqa: B007 - as above
        named = "" if label is None else f" label={_quoted(label)}"
        where = [None] * len(PLACE_COLUMNS) if place is None else [place.community, place.stability]
        ranked = [None] * len(RANK_COLUMNS) if rank is None else rank
        drawn = "" if place is None else _drawn(place)
        file.write(f'<node id="{key}"{named}>{attributes(node, [*values, *where, *ranked])}{drawn}</node>\n')
    file.write("</nodes>\n<edges>\n")
    for edges, (source, target, *values) in enumerate(follows.rows, start=1):
        content = attributes(edge, values)
        file.write(f'<edge id="{edges}" source="{source}" target="{target}">{content}</edge>\n')
    file.write("</edges>\n</graph>\n</gexf>\n")
    return known, edges


def _quoted(value: object) -> str:
    return quoteattr(_NOT_XML.sub("", value)) if isinstance(value, str) else f'"{value}"'


def _drawn(place: Place) -> str:
    red, green, blue = bytes.fromhex(place.colour[1:])
    return f'<viz:color r="{red}" g="{green}" b="{blue}"/><viz:position x="{place.x}" y="{place.y}" z="0.0"/>'


def graphology(file: TextIO, accounts: Table, follows: Table) -> tuple[int, int]:
    """Write graphology's JSON (https://graphology.github.io/serialization.html), one node or edge a line.

    The last two values of an account's row are its Rank and its Place, or None. Returns how many accounts and follows.
    """
    names, edge_names = list(accounts.columns)[1:], list(follows.columns)[2:]

    def written(element: dict[str, Any], attributes: dict[str, Any], count: int) -> None:
        element["attributes"] = {name: value for name, value in attributes.items() if value is not None}
        file.write(("," if count > 1 else "") + "\n" + json.dumps(element, separators=(",", ":")))

    known = edges = 0
    file.write(GRAPHOLOGY_SIGN)
    file.write(',"options":{"type":"directed","multi":false,"allowSelfLoops":true},\n"nodes":[')
    for known, (key, *values, rank, place) in enumerate(accounts.rows, start=1):
        attributes = dict(zip(names, values, strict=True))
        if place is not None:
            attributes |= dict(zip(PLACE_COLUMNS, place[:2], strict=True))
            attributes |= {"x": place.x, "y": place.y, "color": place.colour}
        if rank is not None:
            attributes |= dict(zip(RANK_COLUMNS, rank, strict=True))
        written({"key": key}, attributes, known)
    file.write('\n],\n"edges":[')
    for edges, (source, target, *values) in enumerate(follows.rows, start=1):
        written({"source": source, "target": target}, dict(zip(edge_names, values, strict=True)), edges)
    file.write("\n]}\n")
    return known, edges
