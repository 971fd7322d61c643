"""Every setting there is, once: name, type, bounds, default, unit and why. Flags, environment and file all end here.

`cli/template.py` writes config.toml from these fields, so a description is a line of that file.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from ipaddress import ip_address
from typing import Annotated, Any, Literal, cast
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo
from pydantic.fields import FieldInfo

from cli import durations


@dataclass(frozen=True, slots=True)
class Allowed:
    """What a setting takes, in words, where type and bounds do not say it."""

    words: str


@dataclass(frozen=True, slots=True)
class Choices:
    """Names of which a setting takes one, where they stand elsewhere: asked for when a value is checked or refused."""

    names: Callable[[], Sequence[str]]


def _strategies() -> Sequence[str]:
    from crawler.strategies import registry  # noqa: PLC0415 - start-up

    return tuple(registry.CHOICES)


def _strategy(value: str) -> str:
    if value not in _strategies():
        raise ValueError("no strategy has this name")
    return value


def _seconds(value: object) -> float:
    """Read a duration. A bare number is refused: nobody remembers whether it meant seconds or minutes."""
    if not isinstance(value, str):
        raise ValueError("a duration names its unit")
    try:
        return durations.parse(value)
    except ValueError:
        raise ValueError("a duration names its unit") from None


def _address(value: str) -> str:
    """Check the API's address: nothing in it may leak the key or lead elsewhere than it reads."""
    if not value.isascii() or not value.isprintable() or " " in value or "\\" in value:
        raise ValueError("the address holds signs that no address holds")
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("this cannot be read as an address") from None
    if parts.username is not None or parts.password is not None:
        raise ValueError("an address with a name or password in it ends in logs; the key has its own place")
    if parts.scheme not in {"http", "https"} or not host:
        raise ValueError("the address begins with https:// and names a host")
    if parts.query or parts.fragment:
        raise ValueError("the address ends with the path: no '?' and no '#'")
    if parts.scheme == "http" and not _is_this_machine(host):
        raise ValueError("plain http would send the key in clear over the network; use https")
    return value.rstrip("/")


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _place(value: str) -> str:
    if not value.strip() or "\0" in value:
        raise ValueError("empty, or not a path")
    return value


def _listen(value: str) -> str:
    host, _, port = value.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise ValueError("an address and a port, with a colon between")
    return value


def _key_file(value: str) -> str:
    if value.strip().startswith("sfk_"):
        raise ValueError("this is a key, not the path of a file that holds one")
    return _place(value)


def _tuple(value: object, where: ValidationInfo) -> object:
    """Read a list; in a variable and on the command line its parts are separated by commas, in brackets or not."""
    if isinstance(value, str):
        if where.mode == "python":  # a file has lists of its own
            raise ValueError("text, not a list")
        if not value.strip():
            raise ValueError("empty")
        inside = value.strip().removeprefix("[").removesuffix("]").strip()
        words = tuple(part.strip().strip("\"'") for part in inside.split(",")) if inside else ()
        if not all(words):  # left out, what comes after it would move to its place
            raise ValueError("nothing stands between two commas, or after the last")
        return words
    return tuple(value) if isinstance(value, list) else value


def _word(value: str) -> str:
    if not value.strip():
        raise ValueError("a part of it is empty")
    return value


def _time_zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ValueError, OSError, KeyError):
        raise ValueError("no time zone has this name") from None
    return value


def _pattern(value: str) -> str:
    if not value:
        raise ValueError("empty: no handle matches it")
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"this is no regular expression: {error}") from None
    return value


def _command(value: str) -> str:
    try:
        words = shlex.split(value)
    except ValueError as error:
        raise ValueError(f"this is no command: {error}") from None
    if not words:
        raise ValueError("empty")
    return value


def _text(value: str) -> str:
    if not value.strip() or not value.isprintable() or len(value) > _LONGEST_TEXT:
        raise ValueError(f"empty, longer than {_LONGEST_TEXT} signs, or more than one line")
    return value


_LONGEST_TEXT = 500


def _day(value: str) -> str:
    try:
        return date.fromisoformat(value).isoformat()
    except ValueError:
        raise ValueError("not a day of the calendar") from None


def _doi(value: str) -> str:
    """Read a DOI as it is copied from anywhere: bare, behind `doi:`, or as an address."""
    bare = re.sub(r"^(https?://(dx\.)?doi\.org/|doi:\s*)", "", value.strip(), flags=re.IGNORECASE)
    if not re.fullmatch(r"10\.\d{4,9}(\.\d+)*/\S+", bare) or not bare.isprintable() or len(bare) > _LONGEST_TEXT:
        raise ValueError("a DOI begins with 10., has a slash, and no blanks")
    return bare


DURATION = Allowed('a duration such as "90s", "10m", "2h" or "1d"')

StrategyName = Annotated[str, AfterValidator(_strategy), Choices(_strategies)]
Duration = Annotated[float, BeforeValidator(_seconds), DURATION]
Address = Annotated[
    str, AfterValidator(_address), Allowed('an https address, or plain http to this machine ("http://127.0.0.1:8765")')
]
KeyFile = Annotated[str, AfterValidator(_key_file), Allowed("the path of a file that holds the key")]
Words = Annotated[
    tuple[Annotated[str, AfterValidator(_word)], ...],
    BeforeValidator(_tuple),
    Allowed('a list such as ["DE", "AT"], of which a flag takes one at a time'),
]
Caps = Annotated[
    tuple[Annotated[int, Field(ge=0, le=10**12)], ...],
    BeforeValidator(_tuple),
    Allowed("a list of whole numbers such as [10, 500, 1000]"),
]
TimeZone = Annotated[str, AfterValidator(_time_zone), Allowed('a time zone such as "UTC" or "Europe/Berlin"')]
Listen = Annotated[str, AfterValidator(_listen), Allowed('an address and a port ("127.0.0.1:8787")')]
Pattern = Annotated[str, AfterValidator(_pattern), Allowed("a regular expression")]
YesNo = Annotated[bool, Allowed("true or false")]
Command = Annotated[str, AfterValidator(_command), Allowed('a command with its arguments ("/usr/local/bin/tell-me")')]
Place = Annotated[str, AfterValidator(_place), Allowed("a path")]
Text = Annotated[str, AfterValidator(_text), Allowed("a line of text in quotes")]
Doi = Annotated[str, AfterValidator(_doi), Allowed('a DOI in quotes, such as "10.5281/zenodo.1234567"')]
Day = Annotated[str, AfterValidator(_day), Allowed('a day in quotes, such as "2028-12-31"')]


def _setting(default: Any, why: str, *, flag: str | None = None, example: Any = None, **bounds: Any) -> Any:
    """Declare a setting. `flag` is its spelling on the command line; `example` stands in config.toml for no default."""
    return Field(default, description=why, json_schema_extra={"flag": flag, "example": example}, **bounds)


class Section(BaseModel):
    """One table of config.toml."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Api(Section):
    """The provider: where it is and how long to wait for it. The key does not belong here: set SOCIALFETCH_API_KEY."""

    base_url: Address = _setting(
        "https://api.socialfetch.dev",
        "Where the API lives. Plain http only to this machine: the key would travel in clear.",
        flag="--api-url",
    )
    key_file: KeyFile | None = _setting(
        None,
        "A file that holds the key, readable by you alone (chmod 600). SOCIALFETCH_API_KEY goes before it.",
        example="socialfetch.key",
    )
    timeout_s: float = _setting(
        60.0, "Seconds to wait for a whole answer. Short ones pay for answers they drop.", gt=0, le=3600
    )
    connect_timeout_s: float = _setting(
        10.0, "Seconds to wait for a connection. Nothing is sent, so nothing is paid.", gt=0, le=3600
    )
    max_body_bytes: int = _setting(
        8_388_608, "Bytes of the largest answer taken: more is a fault or an attack.", ge=1024, le=1_073_741_824
    )


class Storage(Section):
    """Where the graph is kept."""

    database: Place = _setting(
        "followgraph.db", "A path, seen from the current folder, or a database address.", flag="--db"
    )
    archive: Literal["on", "off"] = _setting(
        "on",
        "Keep every paid answer as it came, so that it can be read again for nothing. Off keeps less about people.",
    )


class Budget(Section):
    """Credits that may be spent. The provider's own limits do not protect you: it can top up by itself."""

    total: int | None = _setting(
        None,
        "Credits of a run, never exceeded. Without it a crawl asks for one.",
        flag="--budget",
        example=2000,
        ge=1,
        le=10**12,
    )
    per_day: int | None = _setting(
        None,
        "Credits a day, over all runs. When they are spent the crawl waits for the next day.",
        flag="--budget-per-day",
        example=5000,
        ge=1,
        le=10**12,
    )
    time_zone: TimeZone = _setting("UTC", "Where it is midnight when a day ends.")
    per_seed: int | None = _setting(
        None,
        "Credits of a run for all that was discovered through one seed.",
        flag="--budget-per-seed",
        example=500,
        ge=1,
        le=10**12,
    )
    per_depth: Caps = _setting(
        (),
        "Credits of a run for accounts 0, 1, 2 … hops from a seed; hops that are not named have no cap of their own.",
        flag="--budget-per-depth",
    )
    retry_reserve: int = _setting(
        0, "Credits of a run kept for pages whose first call failed.", flag="--retry-reserve", ge=0, le=10**12
    )


class Crawl(Section):
    """How a crawl chooses and how fast it goes."""

    strategy: StrategyName = _setting(
        "flow",
        "What to buy first: flow maps the surroundings of the seeds, rank the most followed, core the follows among the"
        " important, community one scene, discover most accounts, unbiased a fair sample, bfs whole neighbourhoods.",
        flag="--strategy",
    )
    cost_exponent: float | None = _setting(
        None,
        "How much a long list counts against an account: its worth is divided by pages to this power. Not set: the"
        " strategy's own.",
        flag="--cost-exponent",
        example=0.5,
        ge=0,
        le=2,
    )
    core_size: int = _setting(
        1000, "Accounts that count as important where core goes page by page.", flag="--core-size", ge=1, le=10**9
    )
    page_rules: Literal["auto", "on", "off"] = _setting(
        "auto",
        "Let core and discover leave a list half read for a better one. auto: where this crawl's lists were measured to"
        " be in random order and follower counts fit what was seen.",
        flag="--page-rules",
    )
    explore: float = _setting(
        0.0, "Share of accounts picked by lot instead, against tunnel vision.", flag="--explore", ge=0, le=1
    )
    control: float = _setting(
        0.0,
        "Share of the budget for a random control sample, without which no interval is printed; 0.2 for statistics.",
        flag="--control",
        ge=0,
        le=0.9,
    )
    audit: float = _setting(
        0.0,
        "Share of the budget for a balanced sample that tells how far to trust follower counts; 0.2 for rankings.",
        flag="--audit",
        ge=0,
        le=0.9,
    )
    concurrency: int = _setting(
        20, "Requests in flight at most; also the credits that can be uncertain.", flag="--concurrency", ge=1, le=500
    )
    rate: float | None = _setting(
        None, "Requests a second at most. Not set: as fast as concurrency allows.", flag="--rate", example=5.0, gt=0
    )
    max_depth: int | None = _setting(
        None, "Hops from the nearest seed at most; 0 reads the seeds only.", flag="--max-depth", example=2, ge=0
    )
    max_pages_per_account: int | None = _setting(
        None,
        "Pages bought of one list at most. Lists cut short lose hubs where hubs come last.",
        flag="--max-pages-per-account",
        example=10,
        ge=1,
    )
    deadline: Duration | None = _setting(
        None, "Stop after this time: 90s, 10m, 2h, 1d.", flag="--deadline", example="2h", gt=0, le=315_360_000
    )
    rng_seed: int | None = _setting(
        None,
        "Same seed, same database, same answers: same crawl, row by row if concurrency is 1, or else answers come in "
        "another order. Not set: drawn, and stored with the run.",
        flag="--rng-seed",
        example=1,
        ge=0,
        le=2**63 - 1,
    )
    max_wait: Duration = _setting(
        durations.parse("30m"),
        "How long to wait for an API that cannot be reached, or a locked database, before the run stops.",
        flag="--max-wait",
        gt=0,
        le=315_360_000,
    )


class Filter(Section):
    """Which accounts to buy at all, by what lists say of them. Others stay in the graph; seeds are always bought."""

    min_followers: int | None = _setting(None, "Followers at least.", flag="--min-followers", example=100, ge=0)
    max_followers: int | None = _setting(None, "Followers at most.", flag="--max-followers", example=1_000_000, ge=0)
    min_following: int | None = _setting(None, "Follows at least.", flag="--min-following", example=10, ge=0)
    max_following: int | None = _setting(None, "Follows at most.", flag="--max-following", example=5000, ge=0)
    regions: Words = _setting((), "Regions. An account whose region is not told is left out then.", flag="--region")
    languages: Words = _setting((), "Languages, as the platform writes them.", flag="--language")
    verified: YesNo | None = _setting(None, "Only verified accounts, or only others.", flag="--verified", example=True)
    handle: Pattern | None = _setting(
        None, "A regular expression that the whole handle matches.", flag="--handle-pattern", example="[a-z]+[.]news"
    )


class Stop(Section):
    """When to stop before the budget is spent, because further credits bring little. Off unless set."""

    uncrawled_share: float | None = _setting(
        None,
        "Share of the seeds' cash on accounts not read yet, below which flow and community stop.",
        flag="--stop-uncrawled-share",
        example=0.1,
        gt=0,
        lt=1,
    )
    new_accounts_per_credit: float | None = _setting(
        None,
        "New accounts a credit over the last 200 credits, below which a run stops.",
        flag="--stop-new-accounts",
        example=0.5,
        gt=0,
    )


class Retry(Section):
    """What to do after a failed call. Some failures cost a credit and nobody can say which."""

    attempts: int = _setting(5, "Calls for one page while failures are free.", ge=1, le=100)
    maybe_charged_attempts: int = _setting(5, "Calls for one page while each failure may cost a credit.", ge=1, le=100)
    first_delay_s: float = _setting(1.0, "Seconds to wait after the first failure; doubled each time.", gt=0, le=86_400)
    longest_delay_s: float = _setting(300.0, "Seconds to wait at most.", gt=0, le=86_400)


class Breakers(Section):
    """When to stop rather than pay on. Nothing is lost: the next crawl goes on."""

    consecutive_failures: int = _setting(10, "Failed calls in a row; what was in flight together is one event.", ge=1)
    credits_without_new_edge: int = _setting(200, "Credits spent since the last new follow.", ge=1)
    error_share: float = _setting(
        0.5, "Share of failures among the last 100 calls, or 4 x concurrency; 1 switches it off.", gt=0, le=1
    )


class Refresh(Section):
    """Reading known lists again: by `followgraph refresh`, and by the daemon beside new ones."""

    share: float = _setting(0.3, "Share of a daemon's credits for lists it knows; the rest buys new ones.", ge=0, le=1)
    shortest: Duration = _setting(
        durations.parse("1d"), "Time between two visits of a list, at least.", ge=0, le=315_360_000
    )
    hidden: Duration = _setting(durations.parse("30d"), "Ask again for a hidden list after.", gt=0, le=315_360_000)
    private: Duration = _setting(durations.parse("90d"), "Ask again for a private list after.", gt=0, le=315_360_000)
    vanished: Duration = _setting(
        durations.parse("180d"), "Ask again for an account that was not found after.", gt=0, le=315_360_000
    )
    failed: Duration = _setting(durations.parse("7d"), "Ask again for a list that failed after.", gt=0, le=315_360_000)

    def intervals(self) -> dict[str, float]:
        """Return the waits, in seconds."""
        return self.model_dump(exclude={"share"})


class Daemon(Section):
    """The daemon: where its page is, and how it ends."""

    listen: Listen = _setting(
        "127.0.0.1:8787",
        "Address and port of the page and /metrics. Anything but this machine needs a token.",
        flag="--listen",
    )
    token_file: KeyFile | None = _setting(
        None, "A file that holds the page's token, readable by you alone.", example="followgraph.token"
    )
    drain: Duration = _setting(
        durations.parse("30s"), "Time to finish what is in flight when it is asked to end.", gt=0, le=86_400
    )


class Alerts(Section):
    """Whom to tell when the daemon is in trouble, its budget half, four fifths or all used, or the balance low."""

    webhook: Address | None = _setting(
        None,
        "An address that gets each notice as JSON, its field text in one line.",
        example="https://example.org/hook",
    )
    command: Command | None = _setting(
        None,
        "A command that gets each notice as JSON on its standard input; run without a shell.",
        example="/usr/local/bin/tell-me",
    )
    balance_low: int | None = _setting(
        None, "Tell when the provider's balance is below so many credits.", example=1000, ge=0
    )


class Report(Section):
    """The HTML report."""

    top: int = _setting(50, "Accounts in each ranking.", flag="--top", ge=1, le=10_000)
    resolution: float = _setting(1.0, "Larger finds more and smaller communities.", flag="--resolution", gt=0, le=1000)
    rng_seed: int = _setting(0, "Same seed, same database: same report.", flag="--rng-seed", ge=0, le=2**63 - 1)
    doi: Doi | None = _setting(
        None, "The DOI it is published under; stands in its header and its citation.", example="10.5281/zenodo.1234567"
    )


class Policy(Section):
    """How this study treats the people in it. `followgraph policy show` prints it; reports and data sets carry it."""

    legal_basis: Text | None = _setting(
        None,
        "Why you may collect this, in your own words.",
        example="GDPR Art. 6(1)(e) and 89",
    )
    approval: Text | None = _setting(None, "Number of the ethics board's approval.", example="IRB 2026-117")
    retain_until: Day | None = _setting(
        None, "The day after which a purge deletes everybody. Only the books stay.", example="2028-12-31"
    )
    keep_days: int | None = _setting(
        None,
        "Days after which a purge deletes raw answers, and accounts that nothing has shown since.",
        example=365,
        ge=1,
        le=36_500,
    )
    delete_missing: bool = _setting(
        False, "Whether a purge deletes accounts that no longer exist. They vanish not at random: the report says how."
    )
    refresh_every: Duration | None = _setting(
        None, "How often visited accounts have to be looked at again, where the terms ask for it.", example="15d", gt=0
    )
    export_level: Literal["raw", "pseudonymous", "aggregate"] = _setting(
        "raw", "What exports hold: handles, keyed pseudonyms, or counts with cells under 10 left out.", flag="--level"
    )
    min_followers_to_name: int = _setting(
        5000, "Reports name seeds and accounts with at least so many reported followers; others get a pseudonym.", ge=0
    )
    store_bio: bool = _setting(True, "Whether bios are stored; false leaves them out of the archive too.")
    store_avatar: bool = _setting(True, "Whether addresses of profile pictures are stored. No picture is ever loaded.")
    store_region: bool = _setting(True, "Whether regions are stored.")
    store_language: bool = _setting(True, "Whether languages are stored.")
    key_file: Place | None = _setting(
        None,
        "The project key that makes pseudonyms, outside the study's folder. Not set: made in your home folder.",
        flag="--key",
        example="~/keys/my-study.key",
    )

    @property
    def left_out(self) -> tuple[str, ...]:
        """The profile fields that are not stored."""
        return tuple(name for name in ("bio", "avatar", "region", "language") if not getattr(self, f"store_{name}"))


class Dataset(Section):
    """What a published data set says of itself: `followgraph export --dataset DIR`."""

    title: Text | None = _setting(None, "Its title.", example="Who follows whom around three seeds, 2026")
    authors: Text | None = _setting(None, "Who made it, separated by semicolons.", example="Ada Example; Ben Example")
    license: Text | None = _setting(None, "Its licence, by its SPDX name where it has one.", example="CC-BY-NC-4.0")


class Log(Section):
    """What happened, on standard error."""

    format: Literal["auto", "console", "json"] = _setting(
        "auto", "auto is console on a terminal and JSON lines elsewhere.", flag="--log-format"
    )
    level: Literal["debug", "info", "warning", "error"] = _setting(
        "info", "The least that is written.", flag="--log-level"
    )


class Settings(BaseModel):
    """All settings, checked. A value that is not allowed cannot exist."""

    model_config = Section.model_config

    api: Api = Api()
    storage: Storage = Storage()
    budget: Budget = Budget()
    crawl: Crawl = Crawl()
    filter: Filter = Filter()
    stop: Stop = Stop()
    retry: Retry = Retry()
    breakers: Breakers = Breakers()
    refresh: Refresh = Refresh()
    daemon: Daemon = Daemon()
    alerts: Alerts = Alerts()
    report: Report = Report()
    policy: Policy = Policy()
    dataset: Dataset = Dataset()
    log: Log = Log()


def sections() -> dict[str, type[Section]]:
    """Return the tables of config.toml by name, in the order they are written."""
    return {name: cast(type[Section], field.annotation) for name, field in Settings.model_fields.items()}


def every() -> dict[str, FieldInfo]:
    """Return every setting by its dotted key."""
    return {
        f"{name}.{key}": field for name, section in sections().items() for key, field in section.model_fields.items()
    }


def flag_of(key: str) -> str | None:
    """Return the flag that sets a dotted key, None where it has none."""
    return cast("str | None", _extra(every()[key])["flag"])


def example_of(field: FieldInfo) -> Any:
    """Return what config.toml shows for a setting without a default."""
    return _extra(field)["example"]


def _extra(field: FieldInfo) -> dict[str, Any]:
    return cast("dict[str, Any]", field.json_schema_extra)
