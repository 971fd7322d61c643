from __future__ import annotations

from pathlib import Path

import pytest

from cli.config import ConfigError, Mistake
from cli.exits import Exit
from cli.failure import describe
from socialfetch import errors as calls
from socialfetch.handle import InvalidHandle
from socialfetch.simulator.errors import SimulatorError
from storage import errors as databases
from storage.export import OutputNotWritable


def leaves(root: type[Exception]) -> list[type[Exception]]:
    """Return every error below `root`, and `root` itself."""
    return [root, *(leaf for kind in root.__subclasses__() for leaf in leaves(kind))]


@pytest.mark.parametrize("kind", leaves(calls.SocialFetchError))
def test_calls(kind: type[calls.SocialFetchError]) -> None:
    """Every error of a call is told with its price and ends as promised: 3 refused, 2 a wrong address, 4 no answer."""
    failure = describe(kind("detail", status=418))
    assert failure is not None
    assert "detail" in failure.message
    assert failure.hint
    assert "charged" in failure.meaning
    assert failure.code == kind.code
    if issubclass(kind, calls.Unauthorized | calls.PaymentRefused):
        assert failure.exit_code == Exit.REFUSED
    elif issubclass(kind, calls.BadRequest | calls.ClientFault):
        assert failure.exit_code == Exit.USAGE
    else:
        assert failure.exit_code == Exit.GAVE_UP


@pytest.mark.parametrize("kind", leaves(databases.DatabaseError))
def test_databases(kind: type[databases.DatabaseError]) -> None:
    """Every error of a database ends with exit code 5, its own words and its own hint; half a copy with 2."""
    error = kind.__new__(kind)  # some make their words themselves, from what they are given
    databases.DatabaseError.__init__(error, "what happened")
    failure = describe(error)
    is_ours = kind in {databases.UnfinishedCopy, databases.BadAddress}
    code = Exit.USAGE if is_ours else Exit.DATABASE
    assert failure is not None
    assert (failure.message, failure.hint, failure.exit_code) == ("what happened", kind.hint, code)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError([Mistake(source="--top", problem="no")]), "config_error"),
        (InvalidHandle("a b", "no handle"), "invalid_handle"),
        (SimulatorError("no"), "simulator_error"),
        (databases.BudgetTooSmall(budget=1, charged=2, uncertain=3, reserved=4), "budget_too_small"),
        (OutputNotWritable(Path("x"), "no", hint="elsewhere"), "output_not_writable"),
    ],
)
def test_bad_input(error: Exception, code: str) -> None:
    """Whatever a person got wrong ends with exit code 2, in three parts."""
    failure = describe(error)
    assert failure is not None
    assert (failure.code, failure.exit_code) == (code, Exit.USAGE)
    assert failure.message
    assert failure.meaning


def test_a_budget_that_is_enough() -> None:
    """The hint beside a budget that is too small says above what something is left to spend."""
    failure = describe(databases.BudgetTooSmall(budget=1, charged=20, uncertain=3, reserved=4))
    assert failure is not None
    assert "--budget more than 27" in failure.hint


def test_interrupted() -> None:
    """Ctrl-C is no fault."""
    failure = describe(KeyboardInterrupt())
    assert failure is not None
    assert failure.exit_code == Exit.INTERRUPTED


def test_faults_of_ours() -> None:
    """An error that nobody foresaw is a fault of ours."""
    assert describe(ZeroDivisionError()) is None


def test_tasks_that_failed_together() -> None:
    """Of failures side by side one is told, unless a fault of ours is among them."""
    known, unknown = databases.DiskFull("full"), ZeroDivisionError()
    failure = describe(ExceptionGroup("", [ExceptionGroup("", [known]), known]))
    assert failure is not None
    assert failure.code == "disk_full"
    assert describe(ExceptionGroup("", [known, unknown])) is None
