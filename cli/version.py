"""The version of this program, written once: in the package's metadata."""

from __future__ import annotations

from importlib import metadata


def version() -> str:
    """Return the installed version, or `unknown` in a checkout that was not installed."""
    try:
        return metadata.version("followgraph")
    except metadata.PackageNotFoundError:
        return "unknown"
