"""The table that the kill test ends with: Markdown that reads well as it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import median

from books import Tally

_SHOWN_FINDINGS = 40

Cell = Callable[[Tally], str]


def text(columns: Mapping[str, Tally], *, about: str, go_on_s: float, again: str) -> str:
    """Return heading, table and findings. `about` is what was crawled, `again` the command that repeats it."""
    total = Tally()
    for tally in columns.values():
        total.add(tally)
    broken = total.is_broken(go_on_s)
    lines = [
        f"**{total.kills:,} kills, {'promises broken' if broken else 'every promise kept'}** (`{again}`)  ",
        about,
        "",
        *_rows([["", *columns, "all"], *_body(go_on_s, [*columns.values(), total])]),
        "",
    ]
    if total.findings:
        lines += ["What went wrong:", "", *(f"- {finding}" for finding in total.findings[:_SHOWN_FINDINGS])]
        if len(total.findings) > _SHOWN_FINDINGS:
            lines.append(f"- and {len(total.findings) - _SHOWN_FINDINGS:,} more")
        lines.append("")
    if broken:
        lines += [f"Again with the same seed: `{again}`", ""]
    return "\n".join(lines)


def _body(go_on_s: float, tallies: Sequence[Tally]) -> list[list[str]]:
    rows: list[tuple[str, Cell]] = [
        ("processes killed with SIGKILL", lambda it: f"{it.kills:,}"),
        ("crawls, each brought to its end", lambda it: f"{it.crawls:,}"),
        ("credits the simulator truly charged", lambda it: f"{it.charged_truly:,}"),
        (
            "our ledger: charged + still uncertain",
            lambda it: f"{it.credits_charged:,} + {it.credits_uncertain:,}",
        ),
        (
            "calls in our ledger: settled / uncertain / released",
            lambda it: f"{it.calls_settled:,} / {it.calls_uncertain:,} / {it.calls_released:,}",
        ),
        ("stored pages / follows", lambda it: f"{it.pages:,} / {it.follows:,}"),
        ("pages in flight at a kill: mean / most (limit)", _flights),
        ("in flight at kills / listed as uncertain", lambda it: f"{sum(it.flights):,} / {it.listed:,}"),
        ("… of these truly charged, their answers lost", lambda it: f"{it.died_charged:,}"),
        ("**stored pages bought again** (must be 0)", lambda it: f"**{it.bought_again:,}**"),
        ("**committed pages lost** (must be 0)", lambda it: f"**{it.lost:,}**"),
        ("**lost answers not listed** (must be 0)", lambda it: f"**{it.unlisted:,}**"),
        ("**credits above the budget** (must be 0)", lambda it: f"**{it.passed:,}**"),
        ("**follows missing at the end** (must be 0)", lambda it: f"**{it.holes:,}**"),
        ("**other disagreements of the ledgers** (must be 0)", lambda it: f"**{it.disagreements:,}**"),
        (f"**seconds to go on**: median (must be < {go_on_s:g}) / longest", _seconds),
    ]
    return [[label, *(cell(tally) for tally in tallies)] for label, cell in rows]


def _flights(tally: Tally) -> str:
    if not tally.flights:
        return "–"
    return f"{sum(tally.flights) / len(tally.flights):.1f} / {max(tally.flights)} ({max(tally.limits)})"


def _seconds(tally: Tally) -> str:
    return f"**{median(tally.seconds):.2f}** / {max(tally.seconds):.2f}" if tally.seconds else "–"


def _rows(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lay out a Markdown table whose columns stand under one another as plain text too."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    written = [
        f"| {row[0]:<{widths[0]}} | "
        + " | ".join(f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True))
        + " |"
        for row in rows
    ]
    rule = "| " + "-" * widths[0] + " | " + " | ".join("-" * (width - 1) + ":" for width in widths[1:]) + " |"
    return [written[0], rule, *written[1:]]
