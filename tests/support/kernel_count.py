"""A pytest plugin: counts how often each kernel ran, and writes it where KERNEL_COUNT says."""

from __future__ import annotations

import functools
import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from analysis.kernels import KERNELS

CALLS: Counter[str] = Counter()


def counted(name: str, kernel: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(kernel)
    def call(*args: Any, **kwargs: Any) -> Any:
        CALLS[name] += 1
        return kernel(*args, **kwargs)

    return call


def pytest_configure() -> None:
    KERNELS.update({name: counted(name, kernel) for name, kernel in KERNELS.items()})


def pytest_sessionfinish() -> None:
    Path(os.environ["KERNEL_COUNT"]).write_text(json.dumps(CALLS))
