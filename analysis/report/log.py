"""The log of a report: stops and incidents in the order in which they happened, for gaps are data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from analysis.report import text
from analysis.report.findings import Findings
from analysis.report.prose import reason_words
from storage.incidents import Incident
from storage.sampling import CONTROL_QUEUES
from storage.schema import Queue

STOP_WORDS = {
    "frontier_empty": "nothing was left to buy",
    "budget_exhausted": "its budget was reached",
    "deadline": "its time was up",
    "low_yield": "a credit brought hardly anything new",
    "interrupted": "it was told to, by a signal (such as Ctrl-C), by command or by the daemon",
    "unauthorized": "the provider refused the key",
    "insufficient_credits": "the provider’s balance was used up",
    "payment_required": "the provider asked for a payment",
    "breaker_failures": "too many calls failed",
    "breaker_no_yield": "many credits brought no new follow",
    "overcharged": "an answer cost more than its price",
    "unreachable": "the provider could not be reached",
}
"""Why a run stopped, to stand after "because"."""

NOTICE_WORDS = {
    "trouble": "of trouble",
    "breaker": "that a breaker stopped it",
    "budget_50": "that half of its total budget was used",
    "budget_80": "that 80\u202f% of its total budget was used",
    "budget_100": "that its total budget was used up",
    "balance_low": "that the provider’s balance was low",
    "stopped": "that it ended",
}
"""What the daemon gave notice of."""

TROUBLE_WORDS = {
    "database": "the database could not be used",
    "other_settings": "the run goes by other settings than the daemon’s",
}
"""Why the daemon waits, where that is neither why a run stops nor why a call fails."""

ORIGINS = {"command": "by command", "page": "on the daemon’s page", "daemon": "by the daemon itself"}


PHASES = {
    Queue.AUDIT: "the audit of follower counts",
    **{queue: f"wave {wave} of the control sample" for wave, queue in enumerate(CONTROL_QUEUES, start=1)},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line: times in Unix seconds, None where the database keeps none; `until_at` where it lasted."""

    at: int | None
    until_at: int | None = None
    run: int | None = None
    kind: str
    words: str


_LAST = {"stopped": 1, "silence": 2}
"""What comes last of what happened in one second."""


def log(findings: Findings) -> tuple[Entry, ...]:
    """Return every entry, earliest first; those without a time stand before all others."""
    entries = [*_runs(findings), *map(_entry, findings.incidents), *_purges(findings)]
    return tuple(sorted(entries, key=lambda one: (one.at or 0, one.run or 0, _LAST.get(one.kind, 0))))


def stopped(reason: str) -> str:
    """Return why a run stopped, to stand after "because"."""
    return STOP_WORDS.get(reason, f"of {_plain(reason)}")


def _runs(findings: Findings) -> Iterator[Entry]:
    for run in findings.coverage.runs:
        budget = text.count(run.budget_began, "credit")
        yield Entry(
            at=run.started_at,
            run=run.id,
            kind="began",
            words=f"Run {run.id} began: strategy {_plain(run.began.strategy)}, budget {budget}.",
        )
        if run.stop_reason is not None:
            spent = f"{text.count(run.charged, 'credit')} charged, {run.uncertain:,} uncertain"
            at_work = f", {text.duration(run.active_s)} at work" if run.active_s else ""
            words = f"Run {run.id} stopped because {stopped(run.stop_reason)}: {spent}{at_work}."
            yield Entry(at=run.ended_at, run=run.id, kind="stopped", words=words)


def _purges(findings: Findings) -> Iterator[Entry]:
    for purge in findings.purges:
        counts = [f"{_plain(name)} {count:,}" for name, count in sorted(purge.items()) if _is_count(name, count)]
        yield Entry(at=purge["at"], kind="purged", words=f"Deleted by rule: {', '.join(counts) or 'nothing'}.")


def _is_count(name: str, value: object) -> bool:
    return name != "at" and isinstance(value, int) and not isinstance(value, bool)


def _entry(found: Incident) -> Entry:
    words = _WORDS[found.kind](found.facts)
    return Entry(at=found.at, until_at=found.until_at, run=found.run, kind=found.kind, words=words)


def _paused(facts: Mapping[str, Any]) -> str:
    why = f", because {stopped(facts['why'])}" if facts["why"] else ""
    return _refused("A pause", facts) or f"Paused {_origin(facts)}{why}."


def _drained(facts: Mapping[str, Any]) -> str:
    return _refused("An end", facts) or f"Asked {_origin(facts)} to finish what was in flight and end."


def _set(facts: Mapping[str, Any]) -> str:
    what = f"{text.shown(facts['key'])} = {text.shown(facts['value'])}"
    return _refused(what, facts) or f"Setting changed while it ran: {what}."


def _refused(what: str, facts: Mapping[str, Any]) -> str | None:
    """Return why an order was not obeyed, None where it was."""
    answer = facts["answer"]
    if answer is not None and not answer.startswith("not done"):
        return None
    why = "nothing was at work to obey" if answer is None else text.shown(answer)
    return f"{what} was asked for {_origin(facts)}: {why}."


def _stopped(facts: Mapping[str, Any]) -> str:
    why = f"stopped because {stopped(facts['reason'])}" if facts["reason"] else "stopped; why was not kept"
    words = "broke off without a word" if facts["is_silent"] else why
    words = f"one of several crawlers {words}" if facts["has_company"] else words
    return f"{words[0].upper()}{words[1:]}{', and went on later' if facts['went_on'] else ''}."


def _phase(facts: Mapping[str, Any]) -> str:
    if facts["queue"] in PHASES:
        return f"Came to {PHASES[facts['queue']]}."
    return f"Went on by strategy {_rule(facts['after'])} after {PHASES.get(facts['queue_before'], 'another phase')}."


def _rule(strategy: str) -> str:
    return _plain(strategy.replace("-pages", " page by page"))


def _budget(facts: Mapping[str, Any]) -> str:
    until = f", to be spent until {text.shown(facts['until_day'])}" if facts["until_day"] else ""
    note = f" ({text.shown(facts['note'])})" if facts["note"] else ""
    how = "raised" if facts["credits"] >= 0 else "lowered"
    return f"The budget was {how} by {text.count(abs(facts['credits']), 'credit')}{until}{note}."


def _settings(facts: Mapping[str, Any]) -> str:
    changes = [
        f"{_plain(name)} {_value(change['before'])} → {_value(change['after'])}"
        for name, change in facts["changes"].items()
    ]
    how = "Began with other settings than the run before" if facts["is_new_run"] else "Went on with other settings"
    return f"{how}: {'; '.join(changes)}."


def _calls(facts: Mapping[str, Any]) -> str:
    calls = text.count(facts["calls"], "call")
    credits = f", {text.count(facts['credits'], 'credit')} perhaps charged" if facts["credits"] else ", none charged"
    return f"{calls} brought no page: {_cause(facts['cause'])}{credits}."


def _notice(facts: Mapping[str, Any]) -> str:
    cause = f": {_cause(facts['cause'])}" if facts["cause"] else ""
    what = NOTICE_WORDS.get(facts["event"], f"of {_plain(facts['event'])}")
    return f"The daemon gave notice {what}{cause}."


def _cause(code: str) -> str:
    """Return why a call failed or the daemon had trouble: by the words of a stop where it is one of those."""
    return STOP_WORDS.get(code) or TROUBLE_WORDS.get(code) or reason_words(code)


_WORDS = {
    "stopped": _stopped,
    "phase": _phase,
    "paused": _paused,
    "drained": _drained,
    "set": _set,
    "budget": _budget,
    "settings": _settings,
    "strategy": lambda facts: f"Went on by strategy {_rule(facts['after'])} instead of {_rule(facts['before'])}.",
    "calls": _calls,
    "silence": lambda facts: f"No answer came for {text.duration(facts['seconds'])}.",
    "notice": _notice,
}


def _origin(facts: Mapping[str, Any]) -> str:
    return ORIGINS.get(facts["origin"], "by somebody")


def _value(value: object) -> str:
    match value:
        case None | "" | []:
            return "not set"
        case bool():
            return "yes" if value else "no"
        case list():
            return ", ".join(map(_value, value))
        case dict():
            told = [f"{_plain(name)} {_value(each)}" for name, each in sorted(value.items()) if each is not None]
            return ", ".join(told) or "not set"
        case _:
            return text.shown(str(value))


def _plain(word: str) -> str:
    return text.shown(word.replace("_", " "))
