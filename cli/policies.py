"""`followgraph policy`: how this study treats people, and what that asks for now."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from cli import durations, holding
from cli.amounts import amount
from cli.session import Bound, Session

if TYPE_CHECKING:  # pydantic and SQLAlchemy, which the help page does without
    from cli.config import Configuration
    from cli.settings import Policy, Settings
    from crawler.retention import Purged
    from storage.retention import Rules


def policy(
    action: Literal["show", "purge"] = "show",
    /,
    *,
    session: Bound,
) -> None:
    """Show how this study treats people, what the rules ask for now and what that costs; or do it. Spends nothing.

    `policy purge` deletes what the rules say is due: everybody after policy.retain_until, raw answers and accounts that
    nothing has shown for policy.keep_days, vanished accounts with policy.delete_missing, fields that are not stored any
    more. So do `doctor --repair` and the daemon.

    Parameters
    ----------
    action
        show or purge.
    """
    from storage.database import Database  # noqa: PLC0415 - start-up

    configuration = session.configure()
    place = configuration.settings.storage.database
    if action == "show":
        _show(configuration, session)
        return
    from crawler import retention  # noqa: PLC0415 - start-up

    database = Database.open(place, now=session.now, mode="write")
    try:
        database.claim()
        done = retention.purge(database, rules(configuration.settings.policy), now=session.now)
    finally:
        database.close()
    for text in told(done):
        session.output.line(text, label="purged")
    holding.tell(done.holders, session)
    session.output.finish(document(done))


def rules(policy: Policy) -> Rules:
    """Return what the settings say of time, in storage's words."""
    from storage.retention import Rules  # noqa: PLC0415 - start-up

    until = None
    if policy.retain_until is not None:
        last = datetime.fromisoformat(policy.retain_until).replace(tzinfo=UTC)
        until = (last + timedelta(days=1)).timestamp()
    return Rules(
        retain_until=until,
        keep_days=policy.keep_days,
        delete_missing=policy.delete_missing,
        left_out=policy.left_out,
    )


NAMED = "Named in reports"


def lines(settings: Settings) -> dict[str, str]:
    """Return the policy in words, for reports and data sets; what is not set is said to be so."""
    policy = settings.policy
    left_out = ", ".join(policy.left_out)
    return {
        "Legal basis": policy.legal_basis or "not stated",
        "Approval": policy.approval or "not stated",
        "Kept until": policy.retain_until or "no end set",
        "Kept after last seen": "no limit set" if policy.keep_days is None else amount(policy.keep_days, "day"),
        "Vanished accounts": "deleted" if policy.delete_missing else "kept",
        "Looked at again": "not by rule"
        if policy.refresh_every is None
        else f"every {durations.written(policy.refresh_every)}",
        "Not stored": left_out or "nothing left out",
        "Raw answers": "kept" if settings.storage.archive == "on" else "not kept",
        "Exports": policy.export_level,
        NAMED: f"seeds, and accounts with {policy.min_followers_to_name:,} followers or more",
    }


def stated(configuration: Configuration) -> dict[str, str]:
    """Return the policy in words where somebody wrote one, else nothing."""
    is_stated = any(
        origin != "default"
        for key, origin in configuration.origins.items()
        if key.startswith("policy.") and key not in {"policy.key_file", "policy.export_level"}
    )
    return lines(configuration.settings) if is_stated else {}


def told(done: Purged) -> list[str]:
    """Say what a purge did."""
    said = [f"{name.replace('_', ' ')}: {count:,}" for name, count in done.counts.items()] or ["nothing was due"]
    if done.copies:
        said.append(f"copies beside the database that were purged too: {len(done.copies):,}")
    said += [f"{path} cannot be changed and may hold what is gone: delete it" for path in done.copies_left]
    if not done.is_scoured:
        said.append("somebody reads the database: deleted bytes are still in the file; purge again later")
    return said


def document(done: Purged) -> dict[str, Any]:
    """Return a purge as JSON."""
    return {
        "purged": dict(done.counts),
        "receipt": done.receipt,
        "copies": list(done.copies),
        "copies_left": list(done.copies_left),
        "scoured": done.is_scoured,
        "exports": [asdict(holder) for holder in done.holders],
    }


def _show(configuration: Configuration, session: Session) -> None:
    from storage import optout, retention  # noqa: PLC0415 - start-up
    from storage.database import Database  # noqa: PLC0415 - start-up
    from storage.errors import MissingDatabase  # noqa: PLC0415 - start-up

    policy = configuration.settings.policy
    line = session.output.line
    said = lines(configuration.settings)
    column = max(len(label) for label in said) + 2
    for label, text in said.items():
        line(f"{label:<{column}}{text}", label="policy")
    found: dict[str, Any] = {
        "policy": policy.model_dump(exclude={"key_file"}),
        "archive": configuration.settings.storage.archive,
    }
    try:
        database = Database.open(configuration.settings.storage.database, now=session.now, mode="read")
    except MissingDatabase:
        line("there is no database yet", label="database")
        session.output.finish(found)
        return
    try:
        with database.read() as conn:
            out = optout.count(conn)
            due = retention.due(conn, rules(policy), now=session.now())
            bound = optout.bound_path(conn)
            cost = None if policy.refresh_every is None else retention.standing_cost(conn, policy.refresh_every)
    finally:
        database.close()
    line(
        f"{out.opted_out:,} opted out · {out.forgotten:,} forgotten · named in lists {out.withheld:,} times",
        label="kept out",
    )
    line("none yet" if bound is None else str(bound), label="key")
    if cost is not None:
        line(f"{cost:,.1f} credits a day to look at every visited account again that often", label="costs")
    if due.is_nothing:
        line("nothing", label="due")
    for name, count in due.counts.items():
        line(f"{name.replace('_', ' ')}: {count:,}", label="due")
    if due.everybody:
        line(f"everybody: the last day was {policy.retain_until}", label="due")
    if not due.is_nothing:
        line("followgraph policy purge", label="next", is_command=True)
    session.output.finish(
        {
            **found,
            "kept_out": {"opted_out": out.opted_out, "forgotten": out.forgotten, "withheld": out.withheld},
            "key_file": None if bound is None else str(bound),
            "credits_a_day": cost,
            "due": {"everybody": due.everybody, **due.counts},
        }
    )
