"""Versions of what made something, to be kept with it."""

from __future__ import annotations

import sqlite3
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from platform import python_version

from cli.version import version

_PACKAGES = ("msgspec", "networkx", "numpy", "pyarrow", "scipy", "sqlalchemy")


def versions() -> dict[str, str]:
    """Return this program's version, Python's, SQLite's and those of the libraries that shape results."""
    found = {"followgraph": version(), "python": python_version(), "sqlite": sqlite3.sqlite_version}
    for package in _PACKAGES:
        try:
            found[package] = version_of(package)
        except PackageNotFoundError:
            continue
    return found
