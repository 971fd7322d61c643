"""The command `followgraph`: global options, commands, exit codes. No traceback ever reaches its user."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, CoercionError, CycloptsError, Group, Parameter, UnusedCliTokensError

from cli import clock
from cli.escaping import shortened
from cli.exits import Exit
from cli.failure import Failure, describe, usage
from cli.flags import converted
from cli.output import Output
from cli.redaction import Redaction
from cli.session import Session
from cli.stream import Stream
from cli.version import version

HELP = """Draw the follow graph around some accounts, and never spend a credit more than you said.

Try it without a key: `followgraph demo`. Begin a study: `followgraph init DIR`.
"""

_COMMANDS = {
    "demo": ("cli.rehearsal:demo", "Crawl an imitated network and report on it: no key, no money."),
    "init": ("cli.project:init", "Begin a study: a folder with a commented config.toml and a list of seeds."),
    "doctor": ("cli.diagnosis:doctor", "Check configuration, key, balance, database and seeds. Spends nothing."),
    "seed": ("cli.seeding:seed", "Name the accounts that the crawl starts from."),
    "plan": ("cli.planning:plan", "Say what a budget would buy under each strategy, before it is spent."),
    "crawl": ("cli.crawling:crawl", "Buy the most useful lists within a budget; goes on where the database stands."),
    "refresh": ("cli.refreshing:refresh", "Read the lists again that most likely changed, within a budget."),
    "daemon": ("cli.service:daemon", "Crawl and refresh for months under daily budgets, with a page to watch it."),
    "status": ("cli.standing:status", "Where the database stands; at any time, also while a crawl runs."),
    "why": ("cli.explaining:why", "Why an account was visited or not: seen, queued, charged."),
    "spending": ("cli.budgeting:spending", "Where the credits went, by day and outcome."),
    "budget": ("cli.budgeting:budget", "Raise the budget, also while a crawl runs; see its changes."),
    "pause": ("cli.steering:pause", "Let the running crawl or daemon ask for nothing new."),
    "resume": ("cli.steering:resume", "Let a paused crawl or daemon go on."),
    "drain": ("cli.steering:drain", "Let the running crawl or daemon finish what is in flight and end."),
    "requeue": ("cli.steering:requeue", "Queue lists again that failed, were read in part, or that you name."),
    "report": ("cli.reporting:report", "Write the report: one HTML file that works offline, its data, its tables."),
    "backup": ("cli.backup:backup", "Copy the database, at any time, also while a crawl runs."),
    "copy": ("cli.copying:copy", "Move the study into another database: to a server or back. Goes on where cut off."),
    "replay": ("cli.replaying:replay", "Write a database anew from the archive of another. Spends nothing."),
    "forget": ("cli.forgetting:forget", "Erase people from the database and keep them out. Spends nothing."),
    "policy": ("cli.policies:policy", "Show how this study treats people, what is due, what it costs; or purge."),
    "optout": ("cli.forgetting:optout", "Keep people out: never stored, never bought."),
    "diff": ("cli.changing:diff", "Follows gained and lost between two times."),
    "export": ("cli.exporting:export", "Write the graph for other programs."),
    "analyse": ("cli.analysing:analyse", "Rankings, components, communities past one machine, on Spark."),
    "snapshot": ("cli.snapshots:snapshot", "Freeze how the study stands: settings, seeds, versions, checksums."),
    "verify": ("cli.snapshots:verify", "Check a snapshot or a data set against its checksums."),
    "simulate": ("cli.simulation:simulate", "Imitate the API over HTTP on this machine."),
}

_HELP = {"--help", "-h"}

_OPTIONS = Group("Options of every command", sort_key=1_000)


app = App(
    name="followgraph",
    help=HELP,
    version=version,
    default_parameter=Parameter(negative=(), show_default=False, converter=converted),
    help_format="plaintext",
)
for _order, (_name, (_place, _help)) in enumerate(_COMMANDS.items()):
    # Imported when called: a help page must not wait for the libraries of all commands.
    app.command(_place, name=_name, help=_help, sort_key=_order)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Given:
    """The command line, split into what is of every command and the rest."""

    tokens: Sequence[str]
    config: Path | None
    flags: Mapping[str, object]


@app.meta.default
def _globals(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    config: Annotated[Path | None, Parameter(group=_OPTIONS)] = None,
    db: Annotated[str | None, Parameter(group=_OPTIONS)] = None,
    json: Annotated[bool, Parameter(group=_OPTIONS)] = False,
    log_format: Annotated[str | None, Parameter(group=_OPTIONS)] = None,
    log_level: Annotated[str | None, Parameter(group=_OPTIONS)] = None,
) -> _Given:
    """Split the command line.

    Parameters
    ----------
    config
        Settings are read from this file. Without it from ./config.toml, where there is one.
    db
        The database: a path or an address. Without it followgraph.db.
    json
        Print one JSON object as the last line of standard output, and nothing else there.
    log_format
        auto, console or json.
    log_level
        debug, info, warning or error.
    """
    return _Given(
        tokens=tokens,
        config=config,
        flags={"storage.database": db, "log.format": log_format, "log.level": log_level},
    )


def main(argv: Sequence[str] | None = None, environ: Mapping[str, str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    surroundings = os.environ if environ is None else environ  # noqa: TID251 - the one place
    stdout, stderr = Stream(sys.stdout), Stream(sys.stderr)
    own = arguments[: arguments.index("--")] if "--" in arguments else arguments
    redaction = Redaction()
    redaction.add(surroundings.get("SOCIALFETCH_API_KEY", "").strip())
    output = Output(as_json="--json" in own, stdout=stdout, stderr=stderr, environ=surroundings, redaction=redaction)
    try:
        code = _run(arguments, surroundings, output, redaction)
    except BaseException as error:  # the last line of defence, a library's SystemExit included
        command = next((word for word in own if word in _COMMANDS), "none")
        code = _end(error, command, output, redaction)
    stdout.flush()
    if stdout.error is None or isinstance(stdout.error, BrokenPipeError):
        return int(code)  # a reader such as `head` may go when it has read enough
    output.fail(
        Failure(
            code="output_not_writable",
            message=f"standard output cannot be written: {stdout.error.strerror}",
            meaning="The command itself went through.",
            hint="Send its output elsewhere, or look at `followgraph status`.",
            exit_code=Exit.USAGE,
        )
    )
    return int(code or Exit.USAGE)


def _run(arguments: list[str], environ: Mapping[str, str], output: Output, redaction: Redaction) -> int:
    if not _HELP.isdisjoint(arguments):
        # The parser would show the first page for a command that does not exist.
        asked = _parsed(app.meta, [word for word in arguments if word not in {*_HELP, "--version"}], output)
        _check_command(asked.tokens)
    given = _parsed(app.meta, arguments, output)
    if not isinstance(given, _Given):
        return Exit.DONE
    session = Session(
        environ=environ,
        config_file=given.config,
        flags=given.flags,
        output=output,
        now=clock.now,
        redaction=redaction,
    )
    result = _parsed(app, given.tokens, output, session)
    if inspect.iscoroutine(result):
        result = _in_loop(result)
    return Exit.DONE if result is None else int(result)


def _parsed(parser: App, tokens: Sequence[str], output: Output, session: Session | None = None) -> Any:
    """Call what the tokens ask for. Raises CommandFailed for tokens that ask for nothing known."""
    if parser is app:
        _check_command(tokens)
    try:
        command, bound, unbound = parser.parse_args(list(tokens), print_error=False, exit_on_error=False)
    except CycloptsError as error:
        page = f"followgraph {tokens[0]} --help" if tokens and tokens[0] in _COMMANDS else "followgraph --help"
        problem, hint = str(error).strip(), f"See `{page}`."
        lone: tuple[str | None, str] | None = None
        if isinstance(error, UnusedCliTokensError):
            unused = list(error.unused_tokens or ())
            problem = f"{tokens[0]} takes no {', '.join(map(_quoted, unused))}"
            before = tokens[list(tokens).index(unused[0]) - 1] if unused else ""
            lone = (before, unused[0]) if before.startswith("--") else None  # one with a value has taken it
        elif isinstance(error, CoercionError) and error.target_type is bool and error.token is not None:
            lone = (error.token.keyword, error.token.value)
        if lone is not None:
            problem = f"{lone[0]} takes no value, and {_quoted(lone[1])} is given"
            hint = f"Write {lone[0]} alone, or leave it out."
        raise usage("usage", problem, hint=hint) from None
    if "console" in bound.signature.parameters:  # a help page or the version
        bound.arguments["console"] = output.console
    if "session" in unbound:
        bound.arguments["session"] = session
    return command(*bound.args, **bound.kwargs)


def _quoted(word: str) -> str:
    return f'"{shortened(word)}"'


def _check_command(tokens: Sequence[str]) -> None:
    """Refuse an unknown first word here: the parser would import every command to say which there are."""
    if not tokens or tokens[0] in _COMMANDS:
        return
    word = tokens[0]
    if word.startswith("-"):
        known = ["--config", "--db", "--json", "--log-format", "--log-level", "--version", "--help"]
        problem, hint = "unknown option, or one that stands after its command", "See `followgraph --help`."
    else:
        known = list(_COMMANDS)
        problem, hint = "unknown command", f"Commands: {', '.join(_COMMANDS)}."
    near = get_close_matches(word, known, n=1)
    raise usage("usage", f'{problem}: "{word}"' + (f"; did you mean {near[0]}?" if near else ""), hint=hint)


def _in_loop(coroutine: Coroutine[Any, Any, Any]) -> Any:
    # Only commands that ask the network pay for these imports.
    import asyncio  # noqa: PLC0415 - start-up

    factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    if sys.platform != "win32":
        import uvloop  # noqa: PLC0415 - start-up

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(coroutine)


def _end(error: BaseException, command: str, output: Output, redaction: Redaction) -> int:
    """Tell what ended the command and return the exit code."""
    if isinstance(error, SystemExit) and isinstance(error.code, int | None):
        return int(error.code or 0)
    failure: Failure | None = describe(error)
    if failure is None:
        from cli import fault  # noqa: PLC0415 - start-up

        failure = fault.reported(error, command=command, now=clock.now, redaction=redaction)
    output.fail(failure)
    return failure.exit_code


if __name__ == "__main__":
    sys.exit(main())
