"""What went wrong, in three parts: what happened, what it means for data and money, what to type next.

`describe` turns every error that is not a fault of ours into a Failure; what it does not know is a fault of ours.
"""

from __future__ import annotations

import errno
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cli.exits import Exit

if TYPE_CHECKING:
    from socialfetch.errors import SocialFetchError

NOTHING_DONE = "Nothing was changed and no credit was spent."


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """The three parts of an error, and what scripts need: a code and the exit code."""

    code: str
    message: str
    meaning: str
    hint: str
    exit_code: Exit


class CommandFailed(Exception):
    """A command ends here, for a reason that its user can understand."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def usage(code: str, message: str, *, hint: str, meaning: str = NOTHING_DONE) -> CommandFailed:
    """Return the error of a wrong input (exit 2)."""
    return CommandFailed(Failure(code=code, message=message, meaning=meaning, hint=hint, exit_code=Exit.USAGE))


def describe(error: BaseException) -> Failure | None:
    """Return what to tell about `error`, None for a fault of ours.

    The packages' error trees are imported here and not above: nobody should wait for them to read a help page.
    """
    if isinstance(error, BaseExceptionGroup):
        # Tasks that ran side by side; if one of them met a fault of ours, that is what has to be told.
        told = [describe(inner) for inner in error.exceptions]
        return None if None in told else told[0]
    if isinstance(error, CommandFailed):
        return error.failure
    if isinstance(error, KeyboardInterrupt):
        return Failure(
            code="interrupted",
            message="interrupted",
            meaning="What was committed is safe.",
            hint="Run the command again to go on.",
            exit_code=Exit.INTERRUPTED,
        )
    return _of_configuration(error) or _of_input(error) or _of_database(error) or _of_api(error) or _of_system(error)


def _of_configuration(error: BaseException) -> Failure | None:
    from cli.config import ConfigError  # noqa: PLC0415 - start-up

    if not isinstance(error, ConfigError):
        return None
    found = len(error.mistakes)
    return Failure(
        code="config_error",
        message=str(error) if found == 1 else f"{found} mistakes in the configuration\n{error}",
        meaning=NOTHING_DONE,
        hint="Correct it and run the command again. `followgraph init DIR` writes a config.toml with every setting.",
        exit_code=Exit.USAGE,
    )


def _of_input(error: BaseException) -> Failure | None:
    from socialfetch.handle import InvalidHandle  # noqa: PLC0415 - start-up
    from socialfetch.simulator.errors import InvalidSetting, SimulatorError  # noqa: PLC0415 - start-up
    from storage.errors import BudgetTooSmall, DaemonsBudget, NoDaemon, NoTotal, OtherSettings  # noqa: PLC0415 - start-up

    match error:
        case InvalidHandle():
            hint = "Write it as @name, name or https://www.tiktok.com/@name."
            return usage("invalid_handle", str(error), hint=hint).failure
        case InvalidSetting():
            # As it was typed: the simulator's own settings are named and measured otherwise.
            flag = f"--{error.name.removesuffix('_s').replace('_', '-')}"
            given = error.given
            if error.name == "latency_s" and isinstance(given, float):
                given = f"{given * 1000:g}"
            hint = f"Give {error.expected.replace('seconds', 'milliseconds')}."
            return usage(_code(error), f"{flag} is {given}", hint=hint).failure
        case SimulatorError():
            return usage(_code(error), str(error), hint=error.hint).failure
        case BudgetTooSmall():
            hint = f"Give --budget more than {error.charged + error.uncertain + error.reserved}, or --new-run."
            return usage("budget_too_small", str(error), hint=hint).failure
        case DaemonsBudget() | NoDaemon() | NoTotal():
            return usage(_code(error), str(error), hint=error.hint).failure
        case OtherSettings():
            hint = "Give this one the same settings as the others, or stop them first: followgraph drain."
            return usage("other_settings", str(error), hint=hint).failure
        case _ if type(error).__name__ == "OutputNotWritable":  # storage.export costs pyarrow to import
            hint = str(getattr(error, "hint", "Name another place with --output."))
            meaning = "The database was only read; what stood at that place still does."
            return usage("output_not_writable", str(error), hint=hint, meaning=meaning).failure
    return None


def _of_database(error: BaseException) -> Failure | None:
    from storage import errors  # noqa: PLC0415 - start-up

    if not isinstance(error, errors.DatabaseError):
        return None
    midway = errors.Busy, errors.DiskFault, errors.DiskFull, errors.OutOfFiles, errors.ReadOnly
    meaning = "What was committed before is safe." if isinstance(error, midway) else NOTHING_DONE
    if isinstance(error, errors.CopyDiffers):
        meaning = "The database was only read; the copy stays unfinished."
    if isinstance(error, errors.Corrupt):
        meaning = "Nothing more was written; what the file holds can be in part wrong."
    return Failure(
        code=_code(error),
        message=error.problem,
        meaning=meaning,
        hint=error.hint,
        exit_code=Exit.USAGE if isinstance(error, (errors.UnfinishedCopy, errors.BadAddress)) else Exit.DATABASE,
    )


def _of_system(error: BaseException) -> Failure | None:
    if not isinstance(error, OSError) or error.errno not in {errno.EMFILE, errno.ENFILE}:
        return None
    return Failure(
        code="out_of_files",
        message="too many files are open: the system lets this program open no more",
        meaning="What was committed is safe; credits in flight, if any, are listed as uncertain.",
        hint="Raise the limit (ulimit -n) or lower crawl.concurrency, then run the command again.",
        exit_code=Exit.USAGE,
    )


def _of_api(error: BaseException) -> Failure | None:
    from socialfetch import errors  # noqa: PLC0415 - start-up

    return of_call(error) if isinstance(error, errors.SocialFetchError) else None


def of_call(error: SocialFetchError) -> Failure:
    """Return what to tell about a call that brought nothing."""
    from socialfetch import errors  # noqa: PLC0415 - start-up

    meaning = {
        errors.Charged.NO: "This call was not charged.",
        errors.Charged.YES: "This call was charged.",
        errors.Charged.UNKNOWN: "Nobody can say whether this call was charged.",
    }[error.charged]
    match error:
        case errors.Unauthorized():
            message, hint = "the provider refused the key", "Check SOCIALFETCH_API_KEY or api.key_file."
            exit_code = Exit.REFUSED
        case errors.InsufficientCredits():
            message, hint = "the provider's balance is used up", "Buy credits there, then run the command again."
            exit_code = Exit.REFUSED
        case errors.PaymentRefused():
            message = "the provider asked for a payment, which this program never makes"
            hint = "Usually the key is missing: set SOCIALFETCH_API_KEY."
            exit_code = Exit.REFUSED
        case errors.ClientFault() | errors.BadRequest():
            message, hint = "the provider refused the request", "Check api.base_url (--api-url) and your plan there."
            exit_code = Exit.USAGE
        case errors.Unreachable():
            message = "the provider could not be reached"
            hint = "Check the network and api.base_url (--api-url), then run the command again."
            exit_code = Exit.GAVE_UP
        case _:
            message, hint = "the provider gave no usable answer", "Run the command again later."
            exit_code = Exit.GAVE_UP
    return Failure(code=error.code, message=f"{message} ({error})", meaning=meaning, hint=hint, exit_code=exit_code)


def _code(error: BaseException) -> str:
    """Return the error's name as scripts read it: `NewerSchema` is `newer_schema`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(error).__name__).lower()
