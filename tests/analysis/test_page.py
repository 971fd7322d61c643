"""What the page's own program does: tables are sorted, the header's buttons work, and nobody needs it to read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from analysis import communities
from analysis.report.build import ReportFiles, build
from tests.analysis.sample import Sample, write
from tests.analysis.test_map import TWO, made, opened, partly

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

NOW = 1_793_500_000.7

READ = """table => {
    const shown = [...table.querySelectorAll("tbody tr")].filter((row) => !row.hidden);
    return shown.map((row) => [row.className, [...row.cells].map((cell) => {
        const [words] = cell.innerText.trim().split("\\n");
        return [cell.dataset.value ?? null, cell.querySelector("bdi")?.innerText ?? words];
    })]);
}"""
"""Each row that is shown: its class, and of each cell what it is sorted by and its first line."""

Row = tuple[str, tuple[tuple[str | None, str], ...]]


def rows(table: Locator) -> list[Row]:
    """What a table shows, row by row."""
    return [(kind, tuple(map(tuple, cells))) for kind, cells in table.evaluate(READ)]


def table(page: Page, name: str) -> Locator:
    """The table whose caption has this id."""
    return page.locator(f"table:has(> caption#{name})")


def unfolded(page: Page) -> Page:
    """The page with everything that can be folded open."""
    page.evaluate("document.querySelectorAll('details').forEach((folded) => { folded.open = true; })")
    return page


def number(shown: str) -> float:
    """The number that a cell shows."""
    return float(re.sub(r"[,%.\s]*$|[,\u202f]", "", shown.replace("−", "-").lstrip("+±")))


def sortable(text: str | None) -> bool:
    """Whether a cell of text has any."""
    return text not in {None, "", "–"}


PLACES = re.compile("No.|Rank by|Community|and$|From|To$|Run$")
"""Headers of columns in which 1 is the first: ranks, and what is numbered."""


def test_every_column_is_sorted_by_its_values_and_back(tmp_path: Path, browser: Browser) -> None:
    """Every sortable column: largest, A or rank 1 first, then the other way, then the report's own order.

    Equal rows keep their own order, what is missing comes last either way, sums stay at the end, tiers go.
    """
    files, _ = made(tmp_path, partly())
    page, _, wrong = opened(browser, files)
    tables = unfolded(page).locator("table.sorts:has(thead button)").all()
    assert {len(rows(one)) for one in page.locator("table.sorts:not(:has(thead button))").all()} <= {0, 1}
    assert len(tables) >= 12
    missing = ties = places = 0
    for one in tables:
        own = rows(one)
        body = [row for row in own if row[0] not in {"sum", "tier"}]
        sums = [row for row in own if row[0] == "sum"]
        for header in one.locator("thead th:has(button)").all():
            at, is_number = header.evaluate("header => [header.cellIndex, header.classList.contains('n')]")
            keys = {row: row[1][at][0] if is_number else row[1][at][0] or row[1][at][1] for row in body}
            there = [row for row in body if (keys[row] is not None if is_number else sortable(keys[row]))]
            gone = [row for row in body if row not in there]
            missing += len(gone)
            ties += len(there) - len({keys[row] for row in there})
            button = header.locator("button")
            is_place = is_number and PLACES.match(header.inner_text().strip())
            places += bool(is_place)
            for descending in (True, False) if is_number and not is_place else (False, True):
                button.click()
                found = rows(one)
                if is_number:
                    expected = sorted(there, key=lambda row: float(keys[row] or 0), reverse=descending)
                    assert found == expected + gone + sums, (one.inner_text()[:60], at)
                else:  # the alphabet is the browser's
                    assert sorted(map(str, found[: len(there)])) == sorted(map(str, there))
                    assert found[len(there) :] == gone + sums
                wanted = "descending" if descending else "ascending"
                assert header.get_attribute("aria-sort") == wanted
                assert one.locator("[aria-sort]").count() == 1
            button.click()
            assert rows(one) == own
            assert one.locator("[aria-sort]").count() == 0
    assert missing
    assert ties
    assert places >= 8
    assert wrong == []


def test_what_a_cell_is_sorted_by_is_what_it_shows(tmp_path: Path, browser: Browser) -> None:
    """A number's value is the one shown, or nothing where none is shown."""
    files, _ = made(tmp_path, partly())
    page, _, _ = opened(browser, files)
    compared = 0
    for one in unfolded(page).locator("table.sorts").all():
        numbers = one.locator("thead th").evaluate_all("headers => headers.map((each) => each.matches('.n'))")
        for kind, cells in rows(one):
            if kind in {"sum", "tier"}:
                continue
            for is_number, (value, shown) in zip(numbers, cells, strict=True):
                if not is_number:
                    continue
                if value is None:
                    assert shown in {"–", "unstable"}, shown
                elif shown[0] not in "<>":
                    scale = 100 if shown.endswith("%") else 1
                    assert scale * float(value) == pytest.approx(number(shown), abs=0.0501), (value, shown)
                    compared += 1
    assert compared > 400


def test_names_are_sorted_as_people_do(tmp_path: Path, browser: Browser) -> None:
    """Names by their letters and by the numbers in them, whatever stands beside them in their cells."""
    files, _ = made(tmp_path, partly())
    page, _, _ = opened(browser, files)
    table(page, "accounts").get_by_role("button", name="Account").click()
    names = [cells[1][1] for _, cells in rows(table(page, "accounts"))]
    assert names == sorted(names, key=lambda name: int(name.removeprefix("@u")))
    assert len(names) == 50


def test_sorting_is_done_by_keyboard_and_told(tmp_path: Path, browser: Browser) -> None:
    """Headers are reached and pressed by keys, the focus stays on them, and what happened is announced."""
    files, _ = made(tmp_path)
    page, _, wrong = opened(browser, files)
    spoken = page.locator("#spoken")
    assert spoken.get_attribute("aria-live") == "polite"
    accounts = table(page, "accounts")
    accounts.locator("thead button").nth(2).focus()
    page.keyboard.press("Tab")
    for key, words in (
        ("Enter", "Sorted by Followed by, of 11 visited, rank, descending."),
        ("Space", "Sorted by Followed by, of 11 visited, rank, ascending."),
        ("Enter", "In the report's own order."),
    ):
        page.keyboard.press(key)
        assert spoken.inner_text() == words
        assert page.evaluate("document.activeElement.textContent").startswith("Followed by")
    assert wrong == []


def test_a_report_without_a_map_is_sorted_too(
    tmp_path: Path, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program that sorts is not the map's: tables of a graph too large for communities are sorted all the same."""
    monkeypatch.setattr(communities, "MAX_PAIRS", 3)
    files = build(write(tmp_path / "sample.db", TWO), tmp_path / "report", now=lambda: NOW)
    page, requests, wrong = opened(browser, files)
    assert page.locator("#map").count() == page.locator("button.shows").count() == 0
    before = rows(table(page, "accounts"))
    table(page, "accounts").locator("thead button").nth(1).click()
    assert rows(table(page, "accounts")) != before
    assert wrong == []
    assert requests == [files.html.as_uri()]


@pytest.mark.parametrize("sample", [Sample(), Sample(seeds=("a",))])
def test_an_empty_report_has_its_program_too(tmp_path: Path, browser: Browser, sample: Sample) -> None:
    """Where there is next to nothing to sort, nothing goes wrong."""
    files = build(write(tmp_path / "sample.db", sample), tmp_path / "report", now=lambda: NOW)
    page, _, wrong = opened(browser, files)
    assert page.locator("#print").is_visible()
    assert wrong == []


def test_without_javascript_there_are_plain_headers(tmp_path: Path, browser: Browser) -> None:
    """No button is dead: where no program runs none is to be seen, and the headers say what they say."""
    files, _ = made(tmp_path)
    plain, _, _ = opened(browser, files, java_script_enabled=False)
    assert [button for button in plain.locator("button").all() if button.is_visible()] == []
    assert plain.locator("thead button, button.shows").count() == 0
    page, _, _ = opened(browser, files)
    headers = "table.sorts thead th"
    assert page.locator(headers).all_text_contents() == plain.locator(headers).all_text_contents()


def paper(browser: Browser, files: ReportFiles, **settings: Any) -> list[Any]:
    """What the tables are on paper: their words, their sizes and whether lines or marks stand under them."""
    page, _, _ = opened(browser, files, **settings)
    page.emulate_media(media="print")
    return [
        [each.bounding_box(), each.evaluate("cell => getComputedStyle(cell).textDecorationLine"), each.inner_text()]
        for each in page.locator("#accounts, table.sorts thead th, tbody th[data-value], th.names").all()
        if each.is_visible()
    ]


def test_paper_does_not_tell_that_there_were_buttons(tmp_path: Path, browser: Browser) -> None:
    """Printed, a page looks the same whether its program ran or not."""
    files, _ = made(tmp_path)
    with_program, without = paper(browser, files), paper(browser, files, java_script_enabled=False)
    assert [words for *_, words in with_program] == [words for *_, words in without]
    for (one, line, _), (other, plain, _) in zip(with_program, without, strict=True):
        assert one is not None
        assert other is not None
        assert (one["width"], one["height"]) == pytest.approx((other["width"], other["height"]), abs=1)
        assert line == plain


def test_paper_has_the_reports_own_order(tmp_path: Path, browser: Browser) -> None:
    """A sorted table is printed as the report has it, and stays sorted on the screen."""
    files, _ = made(tmp_path)
    page, _, _ = opened(browser, files)
    accounts = table(page, "accounts")
    own = rows(accounts)
    accounts.locator("thead button").nth(1).click()
    page.locator("[data-part=stage] canvas").first.wait_for()
    by_name = rows(accounts)
    assert by_name != own
    page.evaluate(
        f"addEventListener('beforeprint', () => {{ window.printed = ({READ})(window.accounts.parentNode); }})"
    )
    page.pdf(path=tmp_path / "report.pdf")
    assert [(kind, tuple(map(tuple, cells))) for kind, cells in page.evaluate("printed")] == own
    assert rows(accounts) == by_name
    assert accounts.locator("[aria-sort=ascending]").count() == 1


PAPER = 672
"""CSS pixels between the margins of A4."""


def test_nothing_is_wider_than_paper(tmp_path: Path, browser: Browser) -> None:
    """What is too wide would make the browser print the whole report smaller; numbers of caveats stay inside, too."""
    files, _ = made(tmp_path, partly())
    page, _, _ = opened(browser, files)
    page.set_viewport_size({"width": PAPER, "height": 900})
    page.emulate_media(media="print")
    wide = "all => all.filter(one => one.getBoundingClientRect().right > innerWidth).map(one => one.outerHTML)"
    assert page.locator("main *").evaluate_all(wide) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= PAPER
    marker = """list => {
        const number = list.appendChild(document.createElement("span"));
        number.textContent = "10. ";
        number.style.whiteSpace = "pre";
        return number.getBoundingClientRect().width - parseFloat(getComputedStyle(list).paddingInlineStart);
    }"""
    assert page.locator(".caveats").evaluate(marker) <= 0


def test_the_header_prints_and_copies_the_citation(tmp_path: Path, browser: Browser) -> None:
    """One button prints, one copies the citation and says so; where a browser forbids that, the text is marked."""
    files, _ = made(tmp_path)
    page, _, wrong = opened(browser, files, permissions=["clipboard-read", "clipboard-write"])
    page.evaluate("() => { window.print = () => { window.printed = true; }; }")
    page.click("#print")
    assert page.evaluate("printed")
    citation = page.locator("#cite + p").inner_text()
    assert citation.startswith("[Authors] (2026): ")
    copied = page.locator("#copied")
    page.click("#copy")
    copied.get_by_text("The citation is copied.").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == citation
    page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('no')); }")
    page.click("#copy")
    copied.get_by_text("the citation is marked").wait_for()
    assert page.evaluate("getSelection().toString()").strip() == citation
    assert wrong == []
