"""Every setting there is, once: name, type, bounds, default, unit and why. Flags, environment and file all end here.

`cli/template.py` writes config.toml from these fields, so a description is a line of that file.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Annotated, Any, Literal, cast
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.fields import FieldInfo

from cli import durations


@dataclass(frozen=True, slots=True)
class Allowed:
    """What a setting takes, in words, where type and bounds do not say it."""

    words: str


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


def _key_file(value: str) -> str:
    if value.strip().startswith("sfk_"):
        raise ValueError("this is a key, not the path of a file that holds one")
    return _place(value)


DURATION = Allowed('a duration such as "90s", "10m", "2h" or "1d"')

Duration = Annotated[float, BeforeValidator(_seconds), DURATION]
Address = Annotated[
    str, AfterValidator(_address), Allowed('an https address, or plain http to this machine ("http://127.0.0.1:8765")')
]
KeyFile = Annotated[str, AfterValidator(_key_file), Allowed("the path of a file that holds the key")]
Place = Annotated[str, AfterValidator(_place), Allowed("a path")]


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
        "Credits a day that a daemon may spend; a single crawl does not look at it.",
        flag="--budget-per-day",
        example=5000,
        ge=1,
        le=10**12,
    )


class Crawl(Section):
    """How a crawl chooses and how fast it goes."""

    strategy: Literal["flow", "rank", "bfs"] = _setting(
        "flow",
        "What to buy first: flow maps the surroundings of the seeds, rank the most followed, bfs whole neighbourhoods.",
        flag="--strategy",
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
        "Same seed, same database, same answers: same crawl. Not set: drawn, and stored with the run.",
        flag="--rng-seed",
        example=1,
        ge=0,
        le=2**63 - 1,
    )
    max_wait: Duration = _setting(
        durations.parse("30m"),
        "How long to wait for an API that cannot be reached before the run stops.",
        flag="--max-wait",
        gt=0,
        le=315_360_000,
    )


class Retry(Section):
    """What to do after a failed call. Some failures cost a credit and nobody can say which."""

    attempts: int = _setting(5, "Calls for one page while failures are free.", ge=1, le=100)
    maybe_charged_attempts: int = _setting(5, "Calls for one page while each failure may cost a credit.", ge=1, le=100)
    first_delay_s: float = _setting(1.0, "Seconds to wait after the first failure; doubled each time.", gt=0, le=86_400)
    longest_delay_s: float = _setting(300.0, "Seconds to wait at most.", gt=0, le=86_400)


class Breakers(Section):
    """When to stop rather than pay on. Nothing is lost: the next crawl goes on."""

    consecutive_failures: int = _setting(10, "Failed calls in a row.", ge=1)
    credits_without_new_edge: int = _setting(200, "Credits spent since the last new follow.", ge=1)
    error_share: float = _setting(0.5, "Share of failures among the last 100 calls; 1 switches it off.", gt=0, le=1)


class Report(Section):
    """The HTML report."""

    top: int = _setting(50, "Accounts in each ranking.", flag="--top", ge=1, le=10_000)
    resolution: float = _setting(1.0, "Larger finds more and smaller communities.", flag="--resolution", gt=0, le=1000)
    rng_seed: int = _setting(0, "Same seed, same database: same report.", flag="--rng-seed", ge=0, le=2**63 - 1)


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
    retry: Retry = Retry()
    breakers: Breakers = Breakers()
    report: Report = Report()
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
