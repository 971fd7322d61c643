"""What a crawl says on the console: before it spends, when it has ended, and what may be typed next."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from cli import asking, logs, standing, stops
from cli.amounts import amount
from cli.exits import Exit
from cli.failure import of_call

if TYPE_CHECKING:  # what the help page does without
    from collections.abc import Mapping

    from cli.config import Configuration
    from cli.session import Session
    from crawler.engine import Preflight, Result
    from storage.summary import Summary


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A finished crawl: the JSON it ends with and its exit code. `is_told`: an error was printed, JSON included."""

    document: dict[str, Any]
    exit_code: Exit
    stop_reason: str
    is_told: bool = False


def announce(
    preflight: Preflight, configuration: Configuration, session: Session, command: str, flags: Mapping[str, object]
) -> None:
    """Say on one screen what is about to be spent, before it is. JSON logs say the same in `run.started`.

    `flags` are the `command`'s own by dotted key.
    """
    settings = configuration.settings
    if not logs.is_console(settings.log.format, session.output.stderr):
        return
    note = session.output.note
    kind = "new" if preflight.is_new_run else "goes on"
    note(f"{preflight.run_id}, {kind} · strategy {preflight.strategy} · {settings.storage.database}", label="run")
    before, after = ({name: values[when] for name, values in preflight.changed.items()} for when in ("before", "after"))
    if changed := asking.otherwise(before, after):
        differing = asking.differing(changed, configuration)
        note(f"goes on with run {preflight.run_id} otherwise than before: {differing}", label="WARN")
        if restoring := {key: value for key, value in asking.as_before(changed).items() if key in flags}:
            note(f"as before: {session.following(command, {**flags, **restoring})}", label="WARN", is_command=True)
    uncertain = f" · {preflight.uncertain:,} uncertain" if preflight.uncertain else ""
    own = f"of run {preflight.run_id}"
    whence = own if settings.budget.total is None else configuration.whence("budget.total")
    note(
        f"{preflight.budget:,} credits ({whence}) · {preflight.charged:,} spent{uncertain}"
        f" · at most {preflight.left:,} more",
        label="budget",
    )
    if preflight.reclaimed:
        note(
            f"{preflight.reclaimed:,} pages were in flight when the last crawl died: their credits are uncertain"
            + ("" if preflight.settled is None else f", {preflight.settled:,} turned out charged"),
            label="WARN",
        )
    if preflight.balance is None:
        note("the provider did not tell; the budget holds all the same", label="balance")
    else:
        note(f"{preflight.balance:,} credits at {urlsplit(settings.api.base_url).netloc}", label="balance")
        if preflight.balance < preflight.left:
            note("the balance is below what the budget allows: the run pauses when it is used up", label="WARN")
    if preflight.refill_state is not None:
        note(
            "automatic top-up seems to be on at the provider: your budget here is the only limit",
            label="WARN",
        )
    note(f"{amount(preflight.queued, 'account')} waiting", label="frontier")
    note(
        f"at most {settings.crawl.concurrency:,} requests in flight: as many credits could be uncertain after a crash",
        label="worst",
    )


def tell(result: Result, before: Summary, found: Summary, configuration: Configuration, session: Session) -> None:
    """Say why it stopped and what it bought, the database having been as `before` and being now as `found`."""
    line = session.output.line
    behind = _behind(result, found, configuration)
    line(f"stopped because: {stops.words(result.stop_reason, result.key)} ({', '.join([result.detail, *behind])}).")
    for label, text in standing.lines(found):
        if label != "run":
            line(text, label=label)
    if found.skipped:
        words = {
            "private": "private",
            "no_following": "following nobody",
            "depth": "too deep",
            "filtered": "refused by the filters",
            "seed_budget": "waiting for credits of their seed",
            "depth_budget": "waiting for credits of their hop",
        }
        parts = [f"{count:,} {words.get(reason, reason)}" for reason, count in sorted(found.skipped.items())]
        line(f"{' · '.join(parts)}: not bought", label="skipped")
    if result.stop_reason == "frontier_empty" and (failed := found.frontier["failed"]):
        session.output.note(
            f"{amount(failed, 'account')} given up after repeated errors: `followgraph report` says why,"
            " `followgraph requeue --failed` lets the next crawl try them again",
            label="WARN",
        )
    is_kept_back = result.stop_reason == "budget_exhausted" and (result.key or "").startswith("budget.")
    if is_kept_back and found.run is not None and found.pages == before.pages:
        left = f"the {amount(found.run.remaining, 'credit')} left of run {result.run_id}"
        keep, it = ("keeps", "it") if len(behind) == 1 else ("keep", "them")
        change = "lower" if result.key == "budget.retry_reserve" else "raise"
        session.output.note(
            f"nothing was bought: {' and '.join(behind)} {keep} {left} back; {change} {it} to go on", label="WARN"
        )
    if stops.exit_code(result.stop_reason) != Exit.DONE:
        session.output.note("Nothing stored was lost. The next `followgraph crawl` goes on from here.")


def _behind(result: Result, found: Summary, configuration: Configuration) -> list[str]:
    """Say where what stopped a run was set; with its name and value where it is one of several such settings."""
    if result.key is None:
        return []
    if result.key == "budget":
        asked = configuration.settings.budget.total
        if asked is not None and found.run is not None and found.run.budget == asked:
            return [configuration.whence("budget.total")]
        return [f"of run {result.run_id}" + ("" if asked is None else ", changed while it ran")]
    from crawler.worker import BETWEEN_KEYS  # noqa: PLC0415 - start-up

    keys = [key for key in result.key.split(BETWEEN_KEYS) if key in configuration.origins]
    budget = configuration.settings.budget.model_dump()

    def told(key: str) -> str:
        whence = configuration.whence(key)
        if key.startswith("budget."):
            return f"{key} = {asking.spelt(budget[key.removeprefix('budget.')])} {whence}"
        return whence if len(keys) == 1 else f"{key} {whence}"

    return [told(key) for key in keys]


def refused(error: Exception, before: Summary, session: Session) -> Done | None:
    """Tell that the provider ended the crawl before it began; None for any other error."""
    from socialfetch.errors import SocialFetchError  # noqa: PLC0415 - start-up

    if not isinstance(error, SocialFetchError):
        return None
    failure = of_call(error)
    reason = failure.code if failure.code in stops.REASONS else "unreachable"
    document = {**standing.document(before, has_run=False), "stop_reason": reason}
    waiting = amount(before.frontier["queued"], "account")
    session.output.fail(replace(failure, meaning=f"Nothing was bought. Still waiting: {waiting}."), document)
    return Done(document=document, exit_code=failure.exit_code, stop_reason=reason, is_told=True)


def next_commands(done: Done, session: Session, flags: Mapping[str, object]) -> list[str]:
    """Return what may be typed after a crawl: going on with what was cut off, and looking at what there is.

    `flags` are the crawl's own by dotted key: it goes on under the same terms.
    """
    commands = [session.following("report" if done.document["pages"] else "status")]
    left = done.document["credits"]["remaining"]
    if done.stop_reason not in {"budget_exhausted", "frontier_empty", "low_yield"} and left > 0:
        # What a deadline ends has ended: the rest of its budget is a new run's.
        budget = left if done.stop_reason == "deadline" else None
        commands.insert(0, session.following("crawl", {**flags, "budget.total": budget}))
    return commands
