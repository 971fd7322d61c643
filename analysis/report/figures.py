"""The figures: drawn by matplotlib, returned as SVG that stands in a page, text as text and colours from its style.

Nothing that strangers wrote is drawn. Equal findings give equal bytes.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Circle, PathPatch
from matplotlib.path import Path
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from analysis.graph import Ints
from analysis.report.atlas import Atlas, Squares
from analysis.report.estimates import Floats
from analysis.report.findings import NUMBERED, Findings, scattered, suspicious
from analysis.report.groups import PORTRAYED
from analysis.report.text import count, percent
from analysis.structure import Distribution

WIDTH = 340
"""Width of a panel in CSS pixels: it fits the narrowest screens, and wider ones lay panels side by side."""

LEAST_SQUARES = 20
"""Fewer would show chance."""

SHARES_VISITED = (0.0, 0.1, 0.3)
"""A square has room for 30 accounts or more: one visited of a whole square is no more than a thirtieth."""

SHADES = (0.4, 0.7, 1.0)
"""Of the shares visited above each of SHARES_VISITED."""

_CORNERS = np.array([(0, 0), (1, 0), (1, 1), (0, 1), (0, 0)])
_AROUND = np.array([Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY])

LETTER = (9.0, 13.0)
"""Width and height of a letter or digit of a label in pixels, with the room around it."""

LINKS_DRAWN = 60
NUMBERED_COMMUNITIES = 12

INK, MUTED, LINE = "#010101", "#020202", "#030303"
KNOWN, VISITED, COMPLETE, ACCENT = "#040404", "#050505", "#060606", "#070707"
_VARIABLES = dict(
    zip(
        (INK, MUTED, LINE, KNOWN, VISITED, COMPLETE, ACCENT),
        ("ink", "muted", "line", "known", "visited", "complete", "accent"),
        strict=True,
    )
)
"""matplotlib wants a colour; the page has variables that differ by day and by night. These stand in for them."""

_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "followgraph",
    "path.simplify": False,
    "text.parse_math": False,
    "font.size": 12,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.labelsize": 11,
    "ytick.labelsize": 11,
    "axes.grid": True,
    "grid.color": LINE,
    "grid.linewidth": 0.5,
    "axes.axisbelow": True,
}


def coverage(findings: Findings) -> list[Markup]:
    """Draw how many of the known accounts were visited, and how many of the announced follows were read."""
    seen = findings.coverage
    panels = []
    if seen.known:
        bars = [
            ("known", seen.known, KNOWN),
            ("visited: a list was read", seen.visited, VISITED),
            ("visited completely: the whole list was read", seen.standings["complete"], COMPLETE),
        ]
        panels.append(_bars("coverage-accounts", "Accounts", bars))
    if seen.announced.reported:
        bars = [
            ("announced by the profiles of visited accounts", seen.announced.reported, KNOWN),
            ("read from the lists of the same accounts", seen.announced.read, VISITED),
        ]
        panels.append(_bars("coverage-follows", "Follows", bars))
    return panels


def followers(findings: Findings) -> list[Markup]:
    """Draw reported against observed followers, one dot an account, the first of the top list numbered and those whose
    counts do not fit lettered: a label that would cover another is left out."""
    accounts, observed = findings.graph.accounts, findings.observed
    drawn = scattered(findings)
    if len(drawn) < 2:
        return []
    # Dots that would cover each other are drawn once: half a pixel is less than anybody sees.
    dots = np.unique(np.round(np.log10(np.stack((accounts.followers[drawn], observed[drawn]))), 2), axis=1)
    numbered = [
        (row.rank, row.followers_reported, row.followers_observed)
        for row in findings.central[:NUMBERED]
        if row.followers_reported and row.followers_observed
    ]

    lettered = [row for row in suspicious(findings) if row.followers_observed]

    def draw(figure: Figure) -> None:
        axes = _axes(figure, 300)
        _logarithmic(axes, "followers reported by the platform", "followed by so many visited accounts")
        x, y = (np.stack((10**row, 10**row, np.full(len(row), np.nan)), axis=1).ravel() for row in dots)
        axes.plot(x, y, color=VISITED, linewidth=3, solid_capstyle="round", alpha=0.45)
        for _, reported, seen in numbered:
            axes.plot([reported], [seen], color=ACCENT, marker="o", markersize=4, linestyle="none")
        for row in lettered:
            at = row.followers_reported, row.followers_observed
            axes.plot(*at, color=INK, marker="D", markersize=6, markerfacecolor="none", linestyle="none")
        labels = [(str(rank), reported, seen) for rank, reported, seen in numbered]
        labels += [(row.letter, row.followers_reported, row.followers_observed) for row in lettered]
        _label(axes, labels)

    title = "Reported and observed followers"
    description = (
        f"Scatter plot on logarithmic axes of {count(len(drawn), 'account')}: followers reported by the platform "
        f"against visited accounts that follow them. Marked are the first {len(numbered)} of the top list, by their "
        "numbers"
        + (
            f", and {count(len(lettered), 'account')} whose reported followers do not fit, by letters"
            if lettered
            else ""
        )
        + ", where there is room for them."
    )
    return [_panel("followers", title, description, 300, draw)]


def _label(axes: Axes, labels: Sequence[tuple[str, float, float]]) -> None:
    """Write each label (text, x, y) beside its place, unless it would cover an earlier one wherever it stood."""
    axes.autoscale_view()
    taken: list[tuple[float, float, float]] = []
    for word, *at in labels:
        x, y = axes.transData.transform(at).tolist()
        wide = LETTER[0] * len(word)
        for right, up in ((5.0, 1.0), (-5 - wide, 1.0)):
            left, low = x + right, y + up
            if all(
                left >= other + width or other >= left + wide or abs(low - under) >= LETTER[1]
                for other, width, under in taken
            ):
                taken.append((left, wide, low))
                axes.annotate(word, (at[0], at[1]), (right, up), textcoords="offset points", fontsize=11)
                break


def degrees(findings: Findings) -> list[Markup]:
    """Draw the two degree distributions as complementary cumulative distributions on logarithmic axes."""
    panels = []
    for name, title, axis, one, distribution in (
        (
            "degrees-followers",
            "Followers observed",
            "followed by at least so many visited",
            "account",
            findings.followers,
        ),
        ("degrees-following", "Accounts followed", "follows at least so many", "visited account", findings.following),
    ):
        if int((distribution.value > 0).sum()) >= 2:
            panels.append(_cumulative(name, title, axis, one, distribution))
    return panels


def saturation(findings: Findings) -> list[Markup]:
    """Draw what each further tenth of the credits brought: new accounts a credit, and how much of the top stayed."""
    curve = findings.estimates.saturation
    if len(curve.credits) < 2:
        return []
    spent = curve.credits.astype(np.float64)
    panels = []
    for name, title, axis, x, y, top in (
        ("saturation-novelty", "New accounts", "new accounts a credit", spent, curve.novelty, None),
        (
            "saturation-overlap",
            "The first accounts",
            "% that were first before",
            spent[1:],
            100 * curve.overlap[1:],
            105,
        ),
    ):

        def draw(figure: Figure, x: Floats = x, y: Floats = y, axis: str = axis, top: float | None = top) -> None:
            axes = _axes(figure, 220)
            axes.plot(x, y, color=VISITED, linewidth=1.8, marker="o", markersize=4)
            axes.set(xlabel="credits spent", ylabel=axis, xlim=(0, spent[-1] * 1.04))
            axes.set_ylim(0, float(y.max()) * 1.08 or 1.0 if top is None else top)
            for side in (axes.xaxis, axes.yaxis):
                side.set_major_locator(MaxNLocator(5, integer=True))
                side.set_major_formatter(FuncFormatter(lambda tick, _: f"{tick:,.10g}"))
            axes.tick_params(length=0)

        description = (
            f"Line: {axis} against credits spent, {len(x)} points, from {y[0]:,.1f} at {x[0]:,.0f} credits to "
            f"{y[-1]:,.1f} at {x[-1]:,.0f}."
        )
        panels.append(_panel(name, title, description, 220, draw))
    return panels


def community_graph(findings: Findings, drawn: Atlas) -> list[Markup]:
    """Draw the communities as circles, area by accounts, and the follows between them; the largest carry a number."""
    centre, radius = drawn.layout.centre, drawn.layout.radius
    drawn_links = drawn.links[:LINKS_DRAWN]
    most = drawn_links[0][2] if drawn_links else 1
    bounds = np.hypot(*centre[: drawn.shown].T) + radius[: drawn.shown]

    def draw(figure: Figure) -> None:
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        reach = float(bounds.max()) * 1.02
        axes.set(xlim=(-reach, reach), ylim=(-reach, reach))
        for number in range(drawn.shown):
            trusted = findings.communities[number].trust != "unstable"
            # What is filled is too pale to be seen on the page: the outline is not, and says what is unstable.
            face, edge, dashes = (to_rgba(VISITED, 0.45), VISITED, "-") if trusted else ("none", MUTED, (0, (3, 2)))
            axes.add_patch(
                Circle(centre[number], radius[number], facecolor=face, edgecolor=edge, linewidth=1.2, linestyle=dashes)
            )
        for one, other, follows in drawn_links:
            ends = np.stack((centre[one], centre[other]))
            axes.plot(*ends.T, color=MUTED, linewidth=0.4 + 3.6 * (follows / most) ** 0.5, alpha=0.8)
        for number in range(min(NUMBERED_COMMUNITIES, drawn.shown)):
            axes.text(
                centre[number, 0],
                centre[number, 1],
                str(number + 1),
                ha="center",
                va="center",
                fontsize=11,
                fontweight="bold",
            )

    description = (
        f"{count(drawn.shown, 'community', 'communities')} as circles, area by accounts, the largest in the middle; "
        f"lines are the {count(len(drawn_links), 'strongest link')} between them. "
        + "; ".join(
            f"community {row.number}: {count(row.accounts, 'account')}"
            for row in findings.communities[:NUMBERED_COMMUNITIES]
        )
        + "."
    )
    return [_panel("community-graph", "The communities and the follows between them", description, WIDTH, draw)]


def squares(drawn: Atlas) -> list[Markup]:
    """Draw where in the communities lists were read: squares, the fuller their colour the larger the share visited."""
    found = drawn.squares
    if len(found.accounts) < LEAST_SQUARES:
        return []
    level = shade_of(found)
    # Squares of one shade in a row are drawn as one.
    steps = np.stack((np.diff(found.row), np.diff(found.column) - 1, np.diff(level)))
    starts = np.concatenate(([0], np.flatnonzero(steps.any(axis=0)) + 1))
    long = np.diff(np.append(starts, len(level)))
    height, across = WIDTH + 30, WIDTH / (len(SHARES_VISITED) + 1)
    bounds = np.hypot(*drawn.layout.centre.T) + drawn.layout.radius

    def draw(figure: Figure) -> None:
        axes = figure.add_axes((0, 1 - WIDTH / height, 1, WIDTH / height))
        axes.set_axis_off()
        reach = float(bounds.max()) * 1.02
        axes.set(xlim=(-reach, reach), ylim=(-reach, reach))
        for step in range(len(SHARES_VISITED) + 1):
            these = level[starts] == step
            at, size = starts[these], np.stack((long[these], np.ones(these.sum())), axis=1)
            corner = np.stack((found.column[at], found.row[at]), axis=1)
            corners = (corner[:, None] + size[:, None] * _CORNERS) * found.side
            path = Path(corners.reshape(-1, 2), np.tile(_AROUND, len(at)))
            axes.add_patch(PathPatch(path, linewidth=0, **_shade(step)))
        for number in range(drawn.shown):
            circle = Circle(drawn.layout.centre[number], drawn.layout.radius[number])
            circle.set(facecolor="none", edgecolor=MUTED, linewidth=0.8)
            axes.add_patch(circle)
        for number in range(min(NUMBERED_COMMUNITIES, drawn.shown)):
            x, y = drawn.layout.centre[number].tolist()
            axes.text(x, y, str(number + 1), ha="center", va="center", fontsize=11, fontweight="bold")
        legend = figure.add_axes((0, 0, 1, 30 / height))
        legend.set_axis_off()
        legend.set(xlim=(0, WIDTH), ylim=(30, 0))
        for step, word in enumerate(shade_words()):
            legend.broken_barh([(across * step, 12)], (10, 12), **_shade(step))
            legend.text(across * step + 16, 20, word, color=MUTED, fontsize=11)

    description = (
        f"{count(len(level), 'square')} over the communities, the fuller the colour the larger the share of their "
        "accounts that were visited: "
        + "; ".join(f"{word}: {count(int((level == step).sum()), 'square')}" for step, word in enumerate(shade_words()))
        + "."
    )
    return [_panel("squares", "Where lists were read", description, height, draw)]


def shade_words() -> list[str]:
    """Return what the shades stand for: shares of the accounts of a square that were visited."""
    shares = [f"{100 * share:g}" for share in SHARES_VISITED[1:]]
    return ["none", *(f"to {share}\u202f%" for share in shares), "more"]


def shade_of(squares: Squares) -> Ints:
    """Return the shade of each square, counted from 0."""
    found: Ints = np.searchsorted(SHARES_VISITED, squares.visited / squares.accounts)
    return found


def _shade(step: int) -> dict[str, Any]:
    return {"facecolor": LINE, "alpha": 0.5} if step == 0 else {"facecolor": VISITED, "alpha": SHADES[step - 1]}


def stability(findings: Findings) -> list[Markup]:
    """Draw how well each of the largest communities is found again by each run: the fuller the colour, the better."""
    groups = findings.groups
    if groups is None or not findings.communities or groups.consensus.is_trivial:
        return []
    found = groups.consensus
    overlap, mean = found.overlap.T[:PORTRAYED], found.stability[:PORTRAYED]
    rows, runs = overlap.shape
    left, right, top, tall = 34, 44, 34, 20
    height = top + tall * rows + 34
    wide = (WIDTH - left - right) / runs

    def draw(figure: Figure) -> None:
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.set(xlim=(0, WIDTH), ylim=(height, 0))
        axes.text(left - 6, 20, "No.", ha="right", color=MUTED, fontsize=11)
        axes.text(WIDTH, 20, "mean", ha="right", color=MUTED, fontsize=11)
        axes.text(left, height - 12, f"seeded runs 1 to {runs}", color=MUTED, fontsize=11)
        for row in range(rows):
            y = top + tall * row
            axes.text(left - 6, y + 14, str(row + 1), ha="right")
            axes.text(WIDTH, y + 14, f"{mean[row]:.2f}", ha="right")
            for run in range(runs):
                x = left + wide * run
                axes.broken_barh([(x, wide - 1)], (y, tall - 2), facecolor=VISITED, alpha=float(overlap[row, run]) ** 2)
                axes.broken_barh([(x, wide - 1)], (y, tall - 2), facecolor="none", edgecolor=LINE, linewidth=0.5)

    description = (
        f"Heat map: {count(rows, 'community', 'communities')} by {count(runs, 'seeded run')}, the fuller the colour "
        "the better the run found the community again. Mean overlap: "
        + "; ".join(f"community {row + 1}: {value:.2f}" for row, value in enumerate(mean.tolist()))
        + "."
    )
    return [_panel("stability", "Communities found again by each run", description, height, draw)]


def _cumulative(name: str, title: str, axis: str, one: str, distribution: Distribution) -> Markup:
    positive = distribution.value > 0
    value, share = distribution.value[positive], distribution.at_least[positive] / distribution.accounts
    # Half of them have more than the least that there is, or a step says how few have.
    at = max(int(np.searchsorted(-share, -0.5, side="right")) - 1, 1)
    most = "half" if share[at] >= 0.5 else percent(share[at])

    def draw(figure: Figure) -> None:
        axes = _axes(figure, 240)
        _logarithmic(axes, axis, f"share of {distribution.accounts:,} {one}s")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda tick, _: f"{100 * tick:.10g} %"))
        axes.step(value, share, where="pre", color=VISITED, linewidth=1.8)

    description = (
        f"Share of {count(distribution.accounts, one)} with at least so many, on logarithmic axes: "
        f"{percent(share[0])} have at least {value[0]:,}, {most} have at least {value[at]:,}, the most is "
        f"{value[-1]:,}."
    )
    return _panel(name, title, description, 240, draw)


def _bars(name: str, title: str, bars: Sequence[tuple[str, int, str]]) -> Markup:
    longest = max(value for _, value, _ in bars)
    height = 22 + 42 * len(bars)

    def draw(figure: Figure) -> None:
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.set(xlim=(0, WIDTH), ylim=(height, 0))
        axes.text(0, 12, title, fontweight="bold")
        for row, (label, value, colour) in enumerate(bars):
            top = 24 + 42 * row
            axes.text(0, top + 12, label, color=MUTED)
            axes.text(WIDTH, top + 12, f"{value:,}", horizontalalignment="right")
            axes.broken_barh([(0, WIDTH)], (top + 18, 12), facecolor=LINE, alpha=0.4)
            axes.broken_barh([(0, WIDTH * value / longest)], (top + 18, 12), facecolor=colour)

    description = "; ".join(f"{value:,} ({percent(value, longest)}) {label}" for label, value, _ in bars)
    return _panel(name, title, f"Bars. {description}.", height, draw)


def _axes(figure: Figure, height: int) -> Axes:
    """Return axes that fill a panel but for their labels."""
    left, bottom, right, top = 54, 44, 12, 10
    return figure.add_axes(
        (left / WIDTH, bottom / height, 1 - (left + right) / WIDTH, 1 - (bottom + top) / height),
    )


def _logarithmic(axes: Axes, across: str, upward: str) -> None:
    axes.set(xscale="log", yscale="log", xlabel=across, ylabel=upward)
    for axis, most in ((axes.xaxis, 5), (axes.yaxis, 8)):  # across, numbers of seven digits would touch
        axis.set_major_locator(LogLocator(numticks=most))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda tick, _: f"{tick:,.10g}"))
    axes.tick_params(length=0)


def _panel(name: str, title: str, description: str, height: int, draw: Callable[[Figure], None]) -> Markup:
    """Draw one panel and make it fit to stand in a page beside others."""
    with style.context(["default", _STYLE]):
        figure = Figure(figsize=(WIDTH / 72, height / 72), dpi=72)
        FigureCanvasSVG(figure)
        draw(figure)
        drawn = io.StringIO()
        # Without these, matplotlib writes its version and the time of drawing.
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(drawn, format="svg", transparent=True, metadata=nothing)
    svg = drawn.getvalue()
    body = svg[svg.index("</defs>") + len("</defs>") :]  # what stands before styles the whole page
    body = re.sub(r"<!--.*?-->", "", body, flags=re.DOTALL)
    body = re.sub(r' id="(?![mp][0-9a-f]{10}")[^"]*"| transform="rotate\(-0 [^"]*"', "", body)
    body = re.sub(r'(?<= id=")|(?<=href="#)|(?<=url\(#)', f"{name}-", body)
    body = body.replace("xlink:href", "href")
    body = re.sub(r" font-family: [^;\"]*;?", "", body)
    body = re.sub(r"\n\s*", "\n", body)
    for colour, variable in _VARIABLES.items():
        body = body.replace(colour, f"var(--{variable})")
    # What matplotlib writes another way than this expects would be black by night too.
    own = re.findall(r"(?:fill|stroke): (?!none|var\()[^;\"]*|<text(?![^>]* fill: )[^>]*>", body)
    assert not own, f"{name} has colours that are not the page's: {own[:3]}"  # noqa: S101 - as said
    head = Markup(
        '<svg viewBox="0 0 {} {}" role="img" aria-labelledby="{}-title {}-description">'
        '<title id="{}-title">{}</title><desc id="{}-description">{}</desc>'
    ).format(WIDTH, height, name, name, name, title, name, description)
    return head + Markup(body)  # noqa: S704 - our own drawing, without foreign text
