"""The map: what it shows is what the graph holds, and a real browser draws it without asking anybody."""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from analysis import communities
from analysis.report import atlas, figures
from analysis.report.build import ReportFiles, build
from tests.analysis.sample import Sample, Visit, edges, partial, write

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

NOW = 1_793_500_000.7

EVIL = "</script><script>alert(1)</script>"
LEFT, RIGHT = [EVIL, "ben", "cat", "dan", "eve"], ["amy", "bob", "cia", "dora", "\u202eevil"]
TWO = Sample(
    seeds=(EVIL, "amy"),
    visits={
        **{one: Visit(tuple(other for other in LEFT if other != one)) for one in LEFT[1:]},
        **{one: Visit(tuple(other for other in RIGHT if other != one)) for one in RIGHT},
        EVIL: Visit(("ben", "cat", "dan", "eve", "amy")),
        "bare": Visit(()),
    },
)
FOLLOWS = sum(len(visit.listed) for visit in TWO.visits.values())


def made(tmp_path: Path, sample: Sample = TWO) -> tuple[ReportFiles, dict[str, Any]]:
    """Build a report; return its files and what its map was given."""
    tmp_path.mkdir(exist_ok=True)
    files = build(write(tmp_path / "sample.db", sample), tmp_path / "report", now=lambda: NOW)
    html = files.html.read_text(encoding="utf-8")
    data = html.partition('<script type="application/json" id="map-data">')[2].partition("</script>")[0]
    return files, json.loads(data) if data else {}


def rows(files: ReportFiles, name: str) -> list[dict[str, str]]:
    [path] = [path for path in files.tables if path.stem == name]
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_everything_shown_is_a_table(tmp_path: Path) -> None:
    """Accounts, follows and links of the map are those of its three tables and of the lists, hostile names included."""
    files, shown = made(tmp_path)
    accounts, edges = shown["accounts"], shown["accounts"]["edges"]
    assert len(accounts["label"]) == 10
    assert f"@{EVIL}" in accounts["label"]
    assert "@evil" in accounts["label"]
    assert [row["label"] for row in rows(files, "map_accounts")] == [
        label.removeprefix("@") for label in accounts["label"]
    ]
    pairs = {(edges[at], edges[at + 1]) for at in range(0, len(edges), 2)}
    assert len(pairs) == FOLLOWS
    assert {
        (int(row["source_number"]) - 1, int(row["target_number"]) - 1) for row in rows(files, "map_follows")
    } == pairs
    names = {f"@{name}": name for name in TWO.ids()} | {"@evil": "\u202eevil"}
    assert {(names[accounts["label"][one]], names[accounts["label"][other]]) for one, other in pairs} == {
        (source, target) for source, visit in TWO.visits.items() for target in visit.listed
    }
    assert shown["communities"]["edges"] == [[0, 1, 1]]
    assert rows(files, "map_links") == [{"community": "1", "other": "2", "follows": "1"}]
    told = json.loads(files.json.read_text(encoding="ascii"))["map"]
    assert told == {
        "communities": 2, "links": 1, "links_left_out": 0,
        "accounts": 10, "most_accounts": 20_000, "follows": FOLLOWS, "follows_left_out": 0, "most_follows": 100_000,
    }  # fmt: skip


def test_the_caps_keep_the_seeds_and_the_first_and_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over the caps the map has the seeds, the first by rank and the follows among them, and says what it left out."""
    monkeypatch.setattr(atlas, "MOST_ACCOUNTS", 6)
    monkeypatch.setattr(atlas, "MOST_FOLLOWS", 4)
    files, shown = made(tmp_path)
    assert len(shown["accounts"]["edges"]) == 2 * 4
    assert len(shown["accounts"]["label"]) <= 6
    ends = set(shown["accounts"]["edges"])
    assert ends == set(range(len(shown["accounts"]["label"])))  # nobody without a visible follow
    text = files.html.read_text(encoding="utf-8")
    assert f"or {len(ends)} of 11 accounts: the seeds and the first by imputed PageRank, 6 at most" in text
    assert "more are left out, those of the lowest rank first" in text
    told = json.loads(files.json.read_text(encoding="ascii"))["map"]
    assert (told["accounts"], told["most_accounts"], told["follows"], told["most_follows"]) == (len(ends), 6, 4, 4)
    assert f"({told['follows_left_out']} more are left out" in text


def shake(monkeypatch: pytest.MonkeyPatch, which: slice) -> None:
    """Let runs not agree on these communities."""
    settled = communities.consensus

    def shaken(*given: Any, **more: Any) -> communities.Consensus:
        found = settled(*given, **more)
        found.stability[which] = 0.5
        return found

    monkeypatch.setattr(communities, "consensus", shaken)


def test_unstable_communities_name_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is in a community that runs do not agree on is told nowhere: not by the map, the page, or any file."""
    shake(monkeypatch, slice(1))
    files, shown = made(tmp_path)
    labels = shown["accounts"]["label"]
    assert sum(label.startswith("not named (") for label in labels) == 5
    assert sum(community == -1 for community in shown["accounts"]["community"]) == 5
    assert shown["communities"]["trust"] == ["unstable", "stable"]
    html = files.html.read_text(encoding="utf-8")
    assert "rings: unstable</li>" in html
    assert "var(--community-2)" in html
    assert 'style="--swatch: var(--community-1)"' not in html
    figure = html.partition('id="map"')[2].partition("<svg")[2].partition("</svg>")[0]
    outlines = re.findall(r'style="([^"]*stroke-width: 1\.2[^"]*)"', figure)
    assert [("dasharray" in style, "--muted" in style, "--visited" in style) for style in outlines] == [
        (True, True, False),
        (False, False, True),
    ]
    told = [row["community"] for row in rows(files, "map_accounts")]
    assert (told.count(""), told.count("2")) == (5, 5)
    assert [row["community"] == "" for row in rows(files, "map_accounts")] == [
        row["label"].startswith("not named") for row in rows(files, "map_accounts")
    ]
    document = json.loads(files.json.read_text(encoding="ascii"))
    unstable, stable = document["communities"]["list"]
    assert (unstable["trust"], unstable["top"], len(stable["top"])) == ("unstable", [], 5)
    assert [row["top_accounts"] == "" for row in rows(files, "communities")] == [True, False]
    central = document["central"]
    assert sum(row["unstable"] for row in central) == 5
    assert {row["community"] for row in central if row["unstable"]} == {None}
    assert {row["community"] for row in central if not row["unstable"]} == {2, None}  # one has no follow
    assert sorted(row["community"] for row in rows(files, "accounts")) == [""] * 6 + ["2"] * 5
    section = files.html.read_text(encoding="utf-8").partition('id="central"')[2].partition("</section>")[0]
    assert section.count('<td class="n">unstable</td>') == 5


def dwarfed() -> Sample:
    """One community of 400 accounts, and eleven of three."""
    small = {f"c{one}x{at}": Visit((f"c{one}x{(at + 1) % 3}",)) for one in range(11) for at in range(3)}
    return Sample(seeds=("hub",), visits={**{f"u{at}": Visit(("hub",)) for at in range(399)}, **small})


@pytest.mark.parametrize(("unstable", "grey"), [(slice(8, None), False), (slice(9, None), True)])
def test_the_legend_shows_grey_where_the_map_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, unstable: slice, grey: bool
) -> None:
    """Communities from the ninth on are grey, but where all of them are unstable there are rings alone."""
    shake(monkeypatch, unstable)
    files, _ = made(tmp_path, dwarfed())
    html = files.html.read_text(encoding="utf-8")
    assert ("9 and after</li>" in html) is grey
    assert "rings: unstable</li>" in html


def thirds() -> Sample:
    """2,100 accounts in three groups, 400 of them visited: enough for squares."""
    rng = np.random.default_rng(4)
    lists = ((at, at % 3 + 3 * np.unique(rng.integers(700, size=30))) for at in range(400))
    visits = {f"u{at}": Visit(tuple(f"u{other}" for other in listed.tolist() if other != at)) for at, listed in lists}
    return Sample(seeds=("u0",), visits=visits)


def test_squares_count_every_account_and_whose_list_was_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Squares hold the accounts that stand in them, those beyond the map's cap too, and the page tells their sums."""
    sample = thirds()
    files, _ = made(tmp_path, sample)
    places, squares = rows(files, "map_accounts"), rows(files, "map_squares")
    side = float(squares[0]["side"])
    counted: Counter[tuple[int, int]] = Counter()
    visited: Counter[tuple[int, int]] = Counter()
    for row in places:
        square = int(float(row["x"]) // side), int(float(row["y"]) // side)
        counted[square] += 1
        visited[square] += row["label"] in sample.visits
    found = {(int(float(row["x"]) // side), int(float(row["y"]) // side)): row for row in squares}
    assert {square: int(row["accounts"]) for square, row in found.items()} == counted
    assert {square: int(row["visited"]) for square, row in found.items()} == {at: visited[at] for at in counted}
    assert sum(counted.values()) == len(places) > 1_500
    text = files.html.read_text(encoding="utf-8")
    assert f"room for about 30 accounts, over the places of all {len(places):,} accounts in a community" in text
    assert "in the faintest squares no list was read" in text
    table = text.partition('id="map-squares"')[2].partition("</table>")[0]
    shown = [
        [int(each.replace(",", "")) for each in re.findall(r'<td class="n">([0-9,]+)', row)]
        for row in table.split("<tr>")[2:]
    ]
    assert [sum(column) for column in zip(*shown, strict=True)] == [len(squares), len(places), len(sample.visits)]
    monkeypatch.setattr(atlas, "MOST_ACCOUNTS", 100)
    files, shown_now = made(tmp_path / "less", sample)
    assert len(shown_now["accounts"]["label"]) <= 100
    assert rows(files, "map_squares") == squares


def test_each_class_of_squares_can_occur_and_is_seen(browser: Browser) -> None:
    """A whole square with one visited account is in the first class above none, and by day and night no two classes
    that follow each other look the same: half as bright again, or as dark."""
    assert figures.SHARES_VISITED[1] > 1 / atlas.LEAST_IN_SQUARE
    assert len(figures.shade_words()) == len(figures.SHADES) + 1
    style = (Path(figures.__file__).parent / "report.css").read_text(encoding="utf-8")
    fills = ["color-mix(in srgb, var(--line) 50%, var(--paper))"]
    fills += [f"color-mix(in srgb, var(--visited) {100 * shade:g}%, var(--paper))" for shade in figures.SHADES]
    boxes = "".join(f'<p style="background: {fill}; margin: 0; height: 20px"></p>' for fill in fills)
    for scheme in ("light", "dark"):
        page = browser.new_page(color_scheme=scheme)
        page.set_content(f"<style>{style} body {{ display: block }}</style>{boxes}")
        seen = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        colours = ["#" + bytes(seen.getpixel((100, 10 + 20 * at))).hex() for at in range(len(fills))]
        page.close()
        assert all(contrast(*two) > 1.45 for two in itertools.pairwise(colours)), (scheme, colours)


def test_a_small_map_has_no_squares(tmp_path: Path) -> None:
    """Where squares would show chance there is no figure of them."""
    files, _ = made(tmp_path)
    assert 'id="map-squares"' not in files.html.read_text(encoding="utf-8")


def test_no_communities_no_map(tmp_path: Path) -> None:
    """Without a follow, or with too large a graph, there is no map, and of programs that of the page alone."""
    files, shown = made(tmp_path, Sample(seeds=("a",)))
    assert not shown
    assert json.loads(files.json.read_text(encoding="ascii"))["map"] is None
    html = files.html.read_text(encoding="utf-8")
    assert html.count("<script") == html.count("<script>") == 1
    assert "; its own scripts sort its tables." in html
    assert rows(files, "map_accounts") == []


def luminance(colour: str) -> float:
    """The relative luminance of `#rrggbb` (WCAG 2.2)."""
    parts = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours (WCAG 2.2)."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("night", [False, True])
def test_marks_stand_out_by_day_and_by_night(night: bool) -> None:
    """What the map and the figures draw has a contrast of 3 to 1 with what it is drawn on."""
    css = (Path(atlas.__file__).parent / "report.css").read_text(encoding="utf-8")
    day, dark = css.partition("@media (prefers-color-scheme: dark)")[::2]
    found = dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6})", day))
    found |= dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6})", dark.partition("* {")[0])) if night else {}
    marks = [f"community-{number}" for number in range(1, 9)] + ["known", "muted", "visited", "complete", "accent"]
    for ground in ("raised", "paper"):
        ratios = {mark: contrast(found[mark], found[ground]) for mark in marks}
        assert {mark: ratio for mark, ratio in ratios.items() if ratio < 3} == {}


# --- in a browser ----------------------------------------------------------------------------------------------------


def opened(browser: Browser, files: ReportFiles, **settings: Any) -> tuple[Page, list[str], list[str]]:
    """Open the report; returns the page, the requests it made, and what went wrong in it."""
    page = browser.new_page(viewport={"width": 1280, "height": 900}, **settings)
    requests: list[str] = []
    wrong: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    page.on("dialog", lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
    page.goto(files.html.as_uri())
    return page, requests, wrong


def pixels(page: Page) -> Any:
    """What the map's stage shows, within its border."""
    shot = page.locator("[data-part=stage]").screenshot()
    return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB"))[2:-2, 2:-2]


def colours(page: Page) -> int:
    """How many colours the map's stage shows."""
    return len(np.unique(pixels(page).reshape(-1, 3), axis=0))


def test_the_map_draws_and_asks_nobody(tmp_path: Path, browser: Browser) -> None:
    """Communities first, then accounts, by keyboard alone; no request, no error, and hostile names are text."""
    files, _ = made(tmp_path)
    page, requests, wrong = opened(browser, files)
    stage = page.locator("[data-part=stage]")
    stage.locator("canvas").first.wait_for()
    assert (stage.get_attribute("data-nodes"), stage.get_attribute("data-edges")) == ("2", "1")
    assert stage.get_attribute("role") == "img"
    page.wait_for_timeout(300)
    assert colours(page) > 3
    drawn = pixels(page)
    for margin in (drawn[0], drawn[-1], drawn[:, 0], drawn[:, -1]):  # no circle is cut off
        assert (margin == drawn[0, 0]).all()
    page.locator("[data-view=communities]").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert (stage.get_attribute("data-nodes"), stage.get_attribute("data-edges")) == ("10", str(FOLLOWS))
    page.wait_for_timeout(300)
    assert colours(page) > 3
    for _ in range(5):  # past the zoom buttons and the stage, to the search
        page.keyboard.press("Tab")
    page.keyboard.type("</SCRIPT>")
    found = page.locator("[data-part=found] button")
    found.first.wait_for()
    assert found.all_inner_texts() == [f"@{EVIL}"]
    said = page.locator("[data-part=said]")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert EVIL in said.inner_text()
    assert page.locator("[data-part=chosen] caption").all_inner_texts() == ["Followers drawn", "Followed, drawn"]
    assert page.locator("[data-part=chosen] tbody tr").count() == 4 + 5
    page.keyboard.press("Escape")
    assert said.inner_text() == "Nothing is selected."
    page.fill("[data-part=query]", "dora")
    page.keyboard.press("Enter")  # at once: the search as one types waits
    assert said.inner_text().startswith("\u2068@dora\u2069: ")
    page.fill("[data-part=query]", "nobody")
    page.keyboard.press("Enter")
    assert said.inner_text() == "No account drawn has this name."
    page.fill("[data-part=query]", "dora")
    page.keyboard.press("Enter")
    page.locator("[data-part=chosen] tbody button").first.click()  # a button that goes, with the focus
    assert not said.inner_text().startswith("\u2068@dora\u2069: ")
    page.keyboard.press("Escape")
    assert said.inner_text() == "Nothing is selected."
    assert stage.evaluate("stage => stage === document.activeElement")
    assert wrong == []
    assert requests == [files.html.as_uri()]


def test_arrow_keys_go_through_neighbours(tmp_path: Path, browser: Browser) -> None:
    """Round the selected account and its neighbours by rank, either way; Enter goes on from the one reached."""
    files, shown = made(tmp_path)
    labels, ends = shown["accounts"]["label"], shown["accounts"]["edges"]
    pairs = list(zip(ends[::2], ends[1::2], strict=True))

    def neighbours(name: str) -> list[str]:
        at = labels.index(name)
        return [labels[other] for other in range(len(labels)) if (at, other) in pairs or (other, at) in pairs]

    page, _, wrong = opened(browser, files)

    def pressed(key: str) -> str:
        page.keyboard.press(key)
        return page.locator("[data-part=said]").inner_text().partition(": ")[0].strip("\u2068\u2069")

    page.click("[data-view=accounts]")
    page.focus("[data-part=stage]")
    assert pressed("ArrowRight") == "Nothing is selected."
    page.fill("[data-part=query]", "ben")
    assert pressed("Enter") == "@ben"
    page.focus("[data-part=stage]")
    round_ben = ["@ben", *neighbours("@ben")]
    assert [pressed("ArrowRight") for _ in round_ben] == [*round_ben[1:], "@ben"]
    assert [pressed("ArrowUp") for _ in round_ben] == round_ben[::-1]
    hub = f"@{EVIL}"  # has a neighbour that ben has not
    while pressed("ArrowDown") != hub:
        pass
    assert pressed("Enter") == hub
    assert [pressed("ArrowDown") for _ in neighbours(hub)] == neighbours(hub)
    assert wrong == []


def focused(page: Page) -> str:
    """The words of what has the focus."""
    found: str = page.evaluate("document.activeElement.textContent")
    return found


def test_rows_and_the_map_show_each_other(tmp_path: Path, browser: Browser) -> None:
    """A name in a table leads to its dot, and a dot marks its row without moving reader or focus: that is a button."""
    files, _ = made(tmp_path)
    page, _, wrong = opened(browser, files)
    said, to_row = page.locator("[data-part=said]"), page.locator("[data-part=row]")
    marked = page.locator("tr[aria-current=true]")
    table = page.locator("table:has(> #accounts)")
    page.locator("[data-part=stage] canvas").first.wait_for()
    assert table.locator("button.shows").all_inner_texts() == [
        name
        for name in table.locator("tbody bdi").all_inner_texts()
        if name != "@bare"  # not drawn: has no follow
    ]
    table.locator("thead button").nth(1).click()  # sorted, rows stay connected
    ben = table.get_by_role("button", name="@ben")
    assert ben.get_attribute("title") == "Show on the map"
    ben.focus()
    page.keyboard.press("Enter")
    assert said.inner_text().startswith("\u2068@ben\u2069: ")
    assert page.locator("[data-view=accounts]").get_attribute("aria-pressed") == "true"
    stage = page.locator("[data-part=stage]")
    assert stage.evaluate("stage => stage === document.activeElement")
    assert 0 <= stage.evaluate("stage => stage.getBoundingClientRect().top") < 900
    assert "@ben" in marked.first.inner_text()
    assert marked.first.evaluate("row => getComputedStyle(row).outlineStyle") == "solid"
    before = page.evaluate("scrollY")
    page.keyboard.press("ArrowRight")
    assert "@ben" not in marked.first.inner_text()
    page.keyboard.press("ArrowLeft")
    page.fill("[data-part=query]", "dora")
    page.keyboard.press("Enter")
    assert "@dora" in marked.first.inner_text()
    assert page.locator("tr[aria-current]:has-text('@ben')").count() == 0
    assert page.evaluate("scrollY") == before
    assert page.locator("[data-part=query]").evaluate("query => query === document.activeElement")
    to_row.click()
    assert focused(page) == "@dora"
    assert 0 < marked.first.evaluate("row => row.getBoundingClientRect().top") < 900
    page.click("[data-view=communities]")
    assert marked.count() == 0
    assert not to_row.is_visible()
    page.get_by_role("button", name="Community 2", exact=True).first.click()
    assert said.inner_text().startswith("Community 2: 5 accounts, ")
    to_row.click()
    assert focused(page) == "2"
    assert marked.first.locator("td").first.inner_text().startswith("5")
    assert marked.count() == 2  # the folded table of overlaps has one too
    to_row.press("Escape")  # a button that goes, with the focus
    assert marked.count() == 0
    assert stage.evaluate("stage => stage === document.activeElement")
    assert wrong == []


def test_a_row_does_not_tell_whose_a_nameless_dot_is(
    tmp_path: Path, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is in a community that runs do not agree on is not told by a way from the ranking to the map, or back."""
    shake(monkeypatch, slice(1))
    files, shown = made(tmp_path)
    labels = shown["accounts"]["label"]
    html = files.html.read_text(encoding="utf-8")
    named = {at for at, label in enumerate(labels) if not label.startswith("not named")}
    assert {int(at) for at in re.findall('data-account="([0-9]+)"', html)} == named
    page, _, wrong = opened(browser, files)
    page.locator("[data-part=stage] canvas").first.wait_for()
    assert sorted(page.locator("table:has(> #accounts) button.shows").all_inner_texts()) == sorted(
        labels[at] for at in named
    )
    page.click("[data-view=accounts]")
    said = page.locator("[data-part=said]")
    hidden = min(({f"@{name}" for name in LEFT} if "@bob" in labels else {f"@{name}" for name in RIGHT}) - {f"@{EVIL}"})
    page.fill("[data-part=query]", hidden)
    page.keyboard.press("Enter")
    assert said.inner_text() == (
        "No dot with a name has this one. 5 dots have none, in communities that are unstable: other runs put their "
        "accounts elsewhere, so whose they are is not told."
    )
    page.fill("[data-part=query]", "not named")
    page.keyboard.press("Enter")
    assert "in an unstable community" in page.locator("[data-part=said]").inner_text()
    assert page.locator("tr[aria-current]").count() == 0
    assert not page.locator("[data-part=row]").is_visible()
    assert wrong == []


def test_where_no_map_is_drawn_no_row_leads_to_it(tmp_path: Path, browser: Browser) -> None:
    """Without WebGL the page says so, rows have no buttons, and tables are sorted all the same."""
    files, _ = made(tmp_path)
    page = browser.new_page()
    page.add_init_script("HTMLCanvasElement.prototype.getContext = () => null;")
    page.goto(files.html.as_uri())
    assert page.locator("#map-without").is_visible()
    assert not page.locator("#map-app").is_visible()
    assert page.locator("button.shows").count() == 0
    page.locator("table:has(> #accounts) thead button").nth(1).click()
    assert page.locator("table:has(> #accounts) [aria-sort=ascending]").count() == 1


def test_neighbours_are_sorted(tmp_path: Path, browser: Browser) -> None:
    """The tables of a selection are sorted as those of the page are, and say how many they leave out."""
    files, shown = made(tmp_path, dwarfed())
    page, _, wrong = opened(browser, files)
    page.click("[data-view=accounts]")
    page.fill("[data-part=query]", "hub")
    page.keyboard.press("Enter")
    followers = page.locator("[data-part=chosen] table").first
    assert followers.locator("caption").inner_text() == "Followers drawn, the first 200 of 399"
    assert followers.locator("tbody tr").count() == 200
    own = followers.locator("tbody button").all_inner_texts()
    name = followers.locator("thead button").first
    for expected, direction in (
        (sorted(own, key=lambda label: int(label.removeprefix("@u"))), "ascending"),
        (sorted(own, key=lambda label: -int(label.removeprefix("@u"))), "descending"),
        (own, None),
    ):
        name.click()
        assert followers.locator("tbody button").all_inner_texts() == expected
        assert followers.locator("th").first.get_attribute("aria-sort") == direction
    assert set(own) <= set(shown["accounts"]["label"])
    assert wrong == []


WRITE_DOWN = """() => {
    const fill = CanvasRenderingContext2D.prototype.fillText;
    CanvasRenderingContext2D.prototype.fillText = function (text, x, y) {
        window.written[text] = [x, y, this.measureText(text).width, parseInt(this.font)];
        fill.call(this, text, x, y);
    };
}"""
"""Lets a page note where it writes what on a canvas, from the left and from the line under it, how wide and high."""


def test_numbers_of_many_communities_do_not_lie_on_each_other(tmp_path: Path, browser: Browser) -> None:
    """On a phone and on a desk a map of 200 communities is legible: those without room for a number wait for a zoom."""
    visits = {}
    for one in range(210):
        size = 3 + one * 7 % 23 + (60 if one < 10 else 0)
        visits |= {f"c{one}x{at}": Visit((f"c{one}x{(at + 1) % size}",)) for at in range(size)}
    files, _ = made(tmp_path, Sample(seeds=("c0x0",), visits=visits))
    page, _, wrong = opened(browser, files)
    page.locator("[data-part=stage] canvas").first.wait_for()
    page.evaluate(WRITE_DOWN)
    for width, least in ((320, 40), (1000, 100)):
        page.evaluate("window.written = {}")
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_function("Object.keys(written).length")
        boxes = {
            text: (x, y - 0.7 * high, x + wide, y) for text, (x, y, wide, high) in page.evaluate("written").items()
        }
        assert {text.partition(" ")[0] for text in boxes} >= set("12345678")
        assert len(boxes) > least
        overlapping = [
            (one, other)
            for one, (left, top, right, bottom) in boxes.items()
            for other, (x, y, far, low) in boxes.items()
            if one < other and left < far and x < right and top < low and y < bottom
        ]
        assert overlapping == []
    assert wrong == []


def test_each_colour_has_a_number(tmp_path: Path, browser: Browser) -> None:
    """On a phone too: with its accounts where the circle has room, else alone, and small where not even that has."""
    files, _ = made(tmp_path, dwarfed())
    page, _, wrong = opened(browser, files)
    page.locator("[data-part=stage] canvas").first.wait_for()
    page.evaluate("""() => {
        const fill = CanvasRenderingContext2D.prototype.fillText;
        CanvasRenderingContext2D.prototype.fillText = function (text, ...where) {
            window.written[text] = this.font;
            fill.call(this, text, ...where);
        };
    }""")
    for width, size in ((1000, "14"), (320, "10")):
        page.evaluate("window.written = {}")
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_function("Object.keys(written).length")
        fonts = {text: font.partition("px")[0] for text, font in page.evaluate("written").items()}
        assert fonts == {"1 · 400": "14", **{str(number): size for number in range(2, 13)}}
    assert wrong == []


def large() -> Sample:
    """A network a little over the caps: 20,200 accounts in 60 groups, five follows each or six, one to anybody."""
    rng = np.random.default_rng(1)
    count = 20_200
    group = rng.integers(60, size=count)
    members = [np.flatnonzero(group == each) for each in range(60)]

    def listed(at: int) -> tuple[str, ...]:
        near, far = rng.choice(members[group[at]], 4 if at % 8 else 5), rng.integers(count)
        return tuple(f"u{other}" for other in np.unique((*near, far)).tolist() if other != at)

    return Sample(seeds=("u0", "u1"), visits={f"u{at}": Visit(listed(at)) for at in range(count)})


def test_a_map_at_its_caps_is_drawn_searched_and_zoomed(
    tmp_path: Path, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """20,000 accounts with 100,000 follows are drawn by a browser without a graphics card, and answer."""
    monkeypatch.setattr(communities, "WORK", 1)  # fewest runs: it is the map that is looked at
    files, shown = made(tmp_path, large())
    told = json.loads(files.json.read_text(encoding="ascii"))["map"]
    assert told["follows"] == atlas.MOST_FOLLOWS
    assert 0.95 * atlas.MOST_ACCOUNTS < told["accounts"] <= atlas.MOST_ACCOUNTS
    page, requests, wrong = opened(browser, files)
    page.set_viewport_size({"width": 480, "height": 480})  # what is drawn is the same, and the dots are fewer
    page.locator("[data-part=stage] canvas").first.wait_for()
    page.click("[data-view=accounts]")
    stage = page.locator("[data-part=stage]")
    assert (stage.get_attribute("data-nodes"), stage.get_attribute("data-edges")) == (
        str(told["accounts"]), str(told["follows"]),
    )  # fmt: skip
    assert colours(page) > 20
    labels = shown["accounts"]["label"]
    last = max(at for at, label in enumerate(labels) if len(label) == len("@u99"))
    page.fill("[data-part=query]", labels[last].removeprefix("@"))  # begins many names, and is the first shown
    page.locator("[data-part=said]", has_text="The first 20 of").wait_for()
    page.click("[data-part=found] button")
    ends = shown["accounts"]["edges"]
    drawn = ends[::2].count(last), ends[1::2].count(last)
    said = page.locator("[data-part=said]").inner_text()
    assert said.endswith(f"; drawn are {drawn[1]} followers and {drawn[0]} followed.")
    assert wrong == []
    assert requests == [files.html.as_uri()]


def test_a_narrow_dark_page_does_not_scroll_sideways(tmp_path: Path, browser: Browser) -> None:
    """On a phone and by night the map is drawn, and nothing makes the page wider than the screen."""
    files, _ = made(tmp_path)
    page, _, wrong = opened(browser, files, color_scheme="dark")
    page.set_viewport_size({"width": 320, "height": 640})
    page.locator("[data-part=stage] canvas").first.wait_for()
    page.wait_for_timeout(300)
    assert colours(page) > 3
    frame = page.locator("[data-part=stage]").bounding_box()
    assert frame is not None
    assert frame["height"] == frame["width"]
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    assert wrong == []


def test_without_javascript_and_in_print_the_figure_says_it(tmp_path: Path, browser: Browser) -> None:
    """Without a program there is no empty frame: the figure and its table stand there, and in print as well."""
    files, _ = made(tmp_path)
    page, _, _ = opened(browser, files, java_script_enabled=False)
    assert not page.locator("#map-app").is_visible()
    assert page.locator("#map figure svg").is_visible()
    page.locator("#map summary").click()
    assert page.locator("#map-links").is_visible()
    drawn, _, _ = opened(browser, files)
    drawn.locator("[data-part=stage] canvas").first.wait_for()
    assert "interactive map draws" in drawn.locator("#map").inner_text()
    assert "interactive map draws" not in page.locator("#map").inner_text()
    drawn.emulate_media(media="print")
    assert "interactive map draws" not in drawn.locator("#map").inner_text()
    assert not drawn.locator("#map-app").is_visible()
    assert drawn.locator("#map figure svg").is_visible()


def partly() -> Sample:
    """A crawl of a real network that stopped half way, some of its accounts claiming far too many followers."""
    crawl = partial(edges("email-eu-core"), pages=700)
    claims = sorted(crawl.followers)[::40]
    crawl.followers = {one: n * (300 if one in claims else 1) for one, n in crawl.followers.items()}
    return crawl


AXE = Path(__file__).parents[1] / "support" / "axe" / "axe.min.js"
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}


@pytest.mark.parametrize(
    ("width", "zoom", "scheme", "crawl", "forced"),
    [
        (320, 1, "light", "small", "none"),
        (640, 2, "dark", "small", "none"),  # 1280 at 200 %
        (1280, 1, "dark", "large", "none"),
        (1280, 1, "dark", "small", "active"),
        (320, 1, "dark", "thirds", "none"),
    ],
)
def test_the_page_breaks_no_rule_of_accessibility(
    tmp_path: Path, browser: Browser, *, width: int, zoom: int, scheme: Any, crawl: str, forced: Any
) -> None:
    """axe-core finds nothing in the whole report: as it opens, and with everything unfolded, its tables sorted, an
    account selected on the map and its row marked."""
    files, _ = made(tmp_path, {"small": TWO, "large": partly(), "thirds": thirds()}[crawl])
    context = browser.new_context(
        viewport={"width": width, "height": 800},
        color_scheme=scheme,
        device_scale_factor=zoom,
        forced_colors=forced,
        bypass_csp=True,
    )
    page = context.new_page()
    page.goto(files.html.as_uri())
    page.click("[data-view=accounts]")
    page.fill("[data-part=query]", "ben" if crawl == "small" else "u1")
    page.locator("[data-part=found] button").first.click()
    for summary in page.locator("summary").all():
        summary.click()
    page.evaluate(AXE.read_text(encoding="utf-8"))
    for is_sorted in (False, True):
        if is_sorted:
            for table in page.locator("table.sorts:has(thead button)").all():
                table.locator("thead button").last.click()
            assert page.locator("[aria-sort]").count() > 5
            page.locator("table:has(> #accounts) button.shows").first.click()
            assert page.locator("tr[aria-current]").count()
        found = page.evaluate("rules => axe.run(document, rules)", RULES)
        assert found["passes"]
        assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found["violations"]] == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
