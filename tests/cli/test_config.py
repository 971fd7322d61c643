from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast

import pytest

from cli.config import ConfigError, Configuration, load, variable
from cli.settings import every, flag_of
from crawler.strategies.rank import Rank
from crawler.strategies.registry import CHOICES, DEFAULT, NAMES
from crawler.strategy import Strategy

KEY = "sfk_live_0123456789abcdef"


def written(folder: Path, text: str) -> Path:
    path = folder / "study.toml"
    path.write_text(text)
    return path


def mistakes(
    file: Path | None = None, environ: Mapping[str, str] | None = None, flags: Mapping[str, object] | None = None
) -> str:
    with pytest.raises(ConfigError) as caught:
        load(file, environ or {}, flags or {})
    return str(caught.value)


def test_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a file, variables or flags every setting has its default and says so."""
    monkeypatch.chdir(tmp_path)
    configuration = load(None, {"PATH": "/bin"}, {})
    assert configuration.settings.crawl.concurrency == 20
    assert configuration.settings.crawl.max_wait == 1800.0
    assert configuration.settings.budget.total is None
    assert set(configuration.origins) == set(every())
    assert configuration.whence("crawl.concurrency") == "the default"


def test_precedence(tmp_path: Path) -> None:
    """A flag goes before the environment, the environment before the file, the file before the default."""
    path = written(tmp_path, "[crawl]\nconcurrency = 2\nrate = 2\nmax_depth = 2\n")

    def settled(configuration: Configuration) -> list[tuple[object, str]]:
        crawl = configuration.settings.crawl
        return [
            (crawl.concurrency, configuration.whence("crawl.concurrency")),
            (crawl.rate, configuration.whence("crawl.rate")),
            (crawl.max_depth, configuration.whence("crawl.max_depth")),
            (crawl.strategy, configuration.whence("crawl.strategy")),
        ]

    environ = {"FOLLOWGRAPH_CRAWL__CONCURRENCY": "3", "FOLLOWGRAPH_CRAWL__RATE": "3"}
    flags = {"crawl.concurrency": 4, "crawl.max_depth": None}
    assert settled(load(path, environ, flags)) == [
        (4, "from --concurrency"),
        (3.0, "from FOLLOWGRAPH_CRAWL__RATE"),
        (2, f"from {path}"),
        ("flow", "the default"),
    ]


def test_default_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """./config.toml is read where it is there and no other file was named."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.toml").write_text("[report]\ntop = 7\n")
    configuration = load(None, {}, {})
    assert configuration.settings.report.top == 7
    assert configuration.whence("report.top") == "from config.toml"
    assert load(written(tmp_path, ""), {}, {}).settings.report.top == 50


def test_every_setting_has_a_variable(tmp_path: Path) -> None:
    """Every setting can be set by its variable, where everything is text."""
    texts = {
        "api.base_url": "http://127.0.0.1:1",
        "api.key_file": "k",
        "storage.database": "x.db",
        "storage.archive": "off",
        "crawl.strategy": "bfs",
        "crawl.cost_exponent": "0.5",
        "crawl.page_rules": "off",
        "crawl.explore": "0.1",
        "crawl.control": "0.2",
        "crawl.audit": "0.2",
        "budget.time_zone": "Europe/Berlin",
        "report.doi": "10.5281/zenodo.1",
        "budget.per_depth": "[10, 200]",  # as in the file; without brackets as well
        "filter.regions": "DE,AT",
        "filter.verified": "true",
        "filter.handle": "[a-z]+",
        "stop.uncrawled_share": "0.1",
        "crawl.deadline": "2h",
        "crawl.max_wait": "1d",
        "breakers.error_share": "0.25",
        "refresh.share": "0.5",
        "daemon.listen": "127.0.0.1:1",
        "daemon.drain": "3s",
        "alerts.webhook": "https://example.org/hook",
        **{f"refresh.{name}": "3d" for name in ("shortest", "hidden", "private", "vanished", "failed")},
        "log.format": "json",
        "log.level": "debug",
        "api.max_body_bytes": "4096",
        "policy.retain_until": "2028-12-31",
        "policy.refresh_every": "15d",
        "policy.delete_missing": "true",
        "policy.export_level": "aggregate",
        **{f"policy.store_{field}": "false" for field in ("bio", "avatar", "region", "language")},
    }
    environ = {variable(key): texts.get(key, "3") for key in every()}
    configuration = load(written(tmp_path, ""), environ, {})
    assert {configuration.whence(key) for key in every()} == {f"from {variable(key)}" for key in every()}
    assert configuration.settings.crawl.deadline == 7200.0
    assert configuration.settings.budget.per_depth == (10, 200)
    assert configuration.settings.filter.regions == ("DE", "AT")
    assert configuration.settings.filter.verified is True


def test_the_hops_are_one_word_on_the_command_line(tmp_path: Path) -> None:
    """Credits of hops are separated by commas, and one that is no number is refused with the flag's name."""
    configuration = load(written(tmp_path, ""), {}, {"budget.per_depth": "10,500"})
    assert configuration.settings.budget.per_depth == (10, 500)
    assert configuration.whence("budget.per_depth") == "from --budget-per-depth"
    assert load(written(tmp_path, ""), {}, {"budget.per_depth": "7"}).settings.budget.per_depth == (7,)
    with pytest.raises(ConfigError, match=r"^--budget-per-depth: .* a list of whole numbers"):
        load(written(tmp_path, ""), {}, {"budget.per_depth": "10,many"})
    for gap in ("10,,5", "10,", ",5"):
        with pytest.raises(ConfigError, match=r"^--budget-per-depth: .*between two commas"):
            load(written(tmp_path, ""), {}, {"budget.per_depth": gap})


def test_empty_variable_is_not_set(tmp_path: Path) -> None:
    """An empty variable, as `${NAME:-}` leaves it behind, sets nothing."""
    assert load(written(tmp_path, ""), {"FOLLOWGRAPH_CRAWL__RATE": ""}, {}).settings.crawl.rate is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[crawl]\nconcurrency = 900", "crawl.concurrency: 900 is not allowed; give a whole number from 1 to 500"),
        ("[crawl]\nconcurrency = 0", "give a whole number from 1 to 500"),
        ('[crawl]\nconcurrency = "20"', "give a whole number from 1 to 500"),
        ("[crawl]\nconcurrency = true", "true is not allowed; give a whole number"),
        ("[crawl]\nconcurrency = 2.5", "2.5 is not allowed; give a whole number"),
        ("[crawl]\nconcurrency = [1]", "give a whole number"),
        ("[crawl]\nconcurrency = {a = 1}", "a table is not allowed"),
        ("[crawl]\nrate = nan", "give a number above 0"),
        ("[crawl]\nrate = inf", "give a number above 0"),
        ("[crawl]\nrate = 2026-11-23", "give a number above 0"),
        ("[crawl]\nrate = -1", "give a number above 0"),
        ('[crawl]\nstrategy = "flwo"', '"unbiased" or "bfs"; did you mean flow?'),
        ("[crawl]\ndeadline = 90", 'give a duration such as "90s", "10m", "2h" or "1d"'),
        ('[crawl]\ndeadline = "soon"', "give a duration such as"),
        ('[crawl]\ndeadline = "0s"', "give a duration such as"),
        ('[crawl]\ndeadline = "999999999999d"', "give a duration such as"),
        ("[storage]\narchive = true", 'give "on" or "off"'),
        ('[storage]\ndatabase = ""', "give a path"),
        ("[budget]\ntotal = 99999999999999999999999999", "give a whole number from 1 to 1,000,000,000,000"),
        ('[filter]\nregions = "DE"', 'filter.regions: "DE" is not allowed (text, not a list); give a list'),
        ('[filter]\nlanguages = "de,en"', '(text, not a list); give a list such as ["DE", "AT"]'),
        ('[filter]\nregions = ["DE", " "]', '["DE", " "] is not allowed (a part of it is empty); give a list such as'),
        ('[filter]\nhandle = ""', "give a regular expression"),
        ('[budget]\nper_depth = "10,500"', "(text, not a list); give a list of whole numbers such as [10, 500, 1000]"),
        ('[budget]\nper_depth = ""', "(text, not a list); give a list of whole numbers such as [10, 500, 1000]"),
        ("[crawl]\nconcurency = 3", "crawl.concurency: no such setting; did you mean crawl.concurrency?"),
        ("[crawl]\ntotal = 3", "did you mean budget.total?"),
        ("[crawl]\nzzz = 3", "crawl.zzz: no such setting"),
        ("[bugdet]\ntotal = 3", "bugdet: no such section; there are api, storage, budget"),
        ("[bugdet]\ntotal = 3", "did you mean budget?"),
        ("concurrency = 3", "did you mean concurrency under [crawl]?"),
        ("crawl = 3", "write [crawl] on a line of its own"),
        ("[crawl", "this is not TOML"),
        ("[crawl]\nrate = 1\nrate = 2", "this is not TOML"),
        ("a = " + "[" * 5000, "this is not TOML"),
    ],
)
def test_mistakes_in_a_file(tmp_path: Path, text: str, told: str) -> None:
    """Every wrong section, key, type and value is named with its file and with what is allowed."""
    path = written(tmp_path, text)
    found = mistakes(path)
    assert found.startswith(f"{path}: ")
    assert told in found
    assert "\n" not in found


def test_a_long_path_is_named_whole(tmp_path: Path) -> None:
    """Who reads of a mistake can open the file: its path is never cut."""
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    path = written(folder, "[crawl]\nconcurrency = 900")
    assert mistakes(path).startswith(f"{path}: ")


def test_all_mistakes_at_once(tmp_path: Path) -> None:
    """All mistakes of all sources are told together, so that they are corrected together."""
    path = written(tmp_path, "[crawl]\nrate = 0\nzzz = 1\n")
    found = mistakes(
        path, {"FOLLOWGRAPH_CRAWL__CONCURENCY": "3", "FOLLOWGRAPH_LOG__LEVEL": "loud"}, {"budget.total": 0}
    )
    assert found.splitlines() == [
        f"{path}: crawl.rate: 0 is not allowed; give a number above 0",
        f"{path}: crawl.zzz: no such setting",
        "FOLLOWGRAPH_CRAWL__CONCURENCY: no such setting; did you mean FOLLOWGRAPH_CRAWL__CONCURRENCY?",
        'FOLLOWGRAPH_LOG__LEVEL: "loud" is not allowed; give "debug", "info", "warning" or "error"',
        "--budget: 0 is not allowed; give a whole number from 1 to 1,000,000,000,000",
    ]


def test_a_hidden_mistake_is_a_mistake(tmp_path: Path) -> None:
    """A wrong value is told even where a stronger source would hide it."""
    assert "crawl.rate" in mistakes(written(tmp_path, "[crawl]\nrate = 0"), {}, {"crawl.rate": 5.0})


def test_unreadable_files(tmp_path: Path) -> None:
    """A file that is missing, a folder or not text is one mistake with its name."""
    assert mistakes(tmp_path / "nope.toml") == f"{tmp_path / 'nope.toml'}: cannot be read: No such file or directory"
    assert "cannot be read" in mistakes(tmp_path)
    (tmp_path / "latin.toml").write_bytes(b'[log]\nlevel = "\xff"')
    assert "not UTF-8" in mistakes(tmp_path / "latin.toml")


@pytest.mark.parametrize(
    "address",
    [
        "http://api.socialfetch.dev",
        "http://127.0.0.1.example.com",
        "http://10.0.0.1:8000",
        "ftp://127.0.0.1",
        "api.socialfetch.dev",
        "https://",
        "https://:443",
        "https://host:99999",
        "https://[::1",
        "https://user:hunter2@host",
        "https://hunter2@host",
        "https://host/?key=hunter2",
        "https://host/#a",
        "https://ho st",
        "https://host\n.evil",
        "https://host\\@evil",
        "https://höst",
        "",
    ],
)
def test_addresses_that_leak(tmp_path: Path, address: str) -> None:
    """An address that is not https, or not plain http to this machine, or that carries more than a path, is refused."""
    found = mistakes(written(tmp_path, ""), {}, {"api.base_url": address})
    assert found.startswith("--api-url: ")
    assert "give an https address" in found
    assert "hunter2" not in found


@pytest.mark.parametrize(
    ("address", "kept"),
    [
        ("https://api.socialfetch.dev/", "https://api.socialfetch.dev"),
        ("https://proxy.example/socialfetch", "https://proxy.example/socialfetch"),
        ("http://localhost:1", "http://localhost:1"),
        ("http://127.8.8.8:1", "http://127.8.8.8:1"),
        ("http://[::1]:1", "http://[::1]:1"),
    ],
)
def test_addresses_that_are_taken(tmp_path: Path, address: str, kept: str) -> None:
    """https to anywhere and plain http to this machine are taken, without the slash at the end."""
    assert load(written(tmp_path, ""), {}, {"api.base_url": address}).settings.api.base_url == kept


@pytest.mark.parametrize(
    "written_as",
    ["10.5281/zenodo.12", "doi:10.5281/zenodo.12", "https://doi.org/10.5281/zenodo.12", "DOI: 10.5281/zenodo.12"],
)
def test_a_doi_is_taken_as_it_is_copied(tmp_path: Path, written_as: str) -> None:
    """A DOI is kept bare, whether it was copied bare, with its sign or as an address."""
    assert load(written(tmp_path, ""), {}, {"report.doi": written_as}).settings.report.doi == "10.5281/zenodo.12"


@pytest.mark.parametrize(
    "text", ["", "zenodo.12", "10.5281", "10.5281/", "10.5281/a b", "https://example.org/10.5281/a"]
)
def test_what_is_no_doi_is_refused(tmp_path: Path, text: str) -> None:
    """What leads nowhere does not get into a citation."""
    assert "give a DOI in quotes" in mistakes(written(tmp_path, ""), {}, {"report.doi": text})


@pytest.mark.parametrize(
    "text",
    [
        f'api_key = "{KEY}"',
        f'[api]\nkey = "{KEY}"',
        f'[api]\napi_key = "{KEY}"',
        f'[api]\nkey_file = "{KEY}"',
        f'[api]\nbase_url = "{KEY}"',
        f'[crawl]\nstrategy = "{KEY}"',
        f'{KEY} = "x"',
    ],
)
def test_a_key_in_the_wrong_place_is_never_shown(tmp_path: Path, text: str) -> None:
    """A key written into the file of settings is refused without being repeated."""
    found = mistakes(written(tmp_path, text), {"FOLLOWGRAPH_API__KEY": KEY, "FOLLOWGRAPH_API_KEY": KEY})
    assert KEY not in found
    assert found.count("SOCIALFETCH_API_KEY") >= 2


def test_foreign_text_in_mistakes_is_escaped(tmp_path: Path) -> None:
    """Control and bidirectional signs of a file do not reach the terminal by way of an error."""
    path = written(tmp_path, '[log]\nlevel = "\\u001b[31m\\u202e"\n["\\u001b]0;x"]\n')
    found = mistakes(path)
    assert "\x1b" not in found
    assert "\u202e" not in found
    assert "\\x1b[31m\\u202e" in found


def test_strategies_are_those_of_the_crawler() -> None:
    """The strategies that the settings take are the ones that there are."""
    from cli.settings import Crawl
    from cli.wording import allowed

    assert all(f'"{name}"' in allowed("crawl.strategy") for name in NAMES)
    assert allowed("crawl.strategy").count('"') == 2 * len(NAMES)
    assert Crawl().strategy == DEFAULT


def test_a_strategy_is_registered_in_one_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands in the registry can be chosen in the file, a variable and a flag, and is named where one is wrong."""
    monkeypatch.setitem(cast("dict[str, type[Strategy]]", CHOICES), "mine", Rank)
    path = written(tmp_path, '[crawl]\nstrategy = "mine"\n')
    assert load(path, {}, {}).settings.crawl.strategy == "mine"
    assert load(None, {"FOLLOWGRAPH_CRAWL__STRATEGY": "mine"}, {}).settings.crawl.strategy == "mine"
    assert load(None, {}, {"crawl.strategy": "mine"}).settings.crawl.strategy == "mine"
    told = mistakes(flags={"crawl.strategy": "mien"})
    assert told.startswith('--strategy: "mien" is not allowed (no strategy has this name); give "flow", ')
    assert told.endswith(' or "mine"; did you mean mine?')


def test_flags_are_unique_within_a_section() -> None:
    """No two settings of one section share a flag."""
    for section in {key.partition(".")[0] for key in every()}:
        flags = [flag for key in every() if key.startswith(f"{section}.") and (flag := flag_of(key))]
        assert len(flags) == len(set(flags))
