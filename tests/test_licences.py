"""Nothing in the default install is under the GPL: every licence was read and allows what ours allows."""

from __future__ import annotations

import re
from importlib.metadata import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

ALLOWED = (
    "MIT", "BSD", "0BSD", "Apache", "PSF", "Python Software Foundation", "Zlib", "CC0", "Unlicense", "ISC", "MPL",
    "Mozilla Public License", "Kiwi", "matplotlib", "SciPy", "Enthought",
)  # fmt: skip

NAMED_IN_FULL = {
    "cycler": "Copyright (c) 2015, matplotlib project",
    "kiwisolver": "The Kiwi license",
    "matplotlib": "License agreement for matplotlib",
    "scipy": "Copyright (c) 2001-2002 Enthought",
    "contourpy": "BSD 3-Clause License",
}
"""Packages whose metadata hold a whole licence text; each begins as it did when it was read and found permissive."""


def packages(lock: str) -> list[str]:
    """Return the names in a lock."""
    return re.findall(r"^([A-Za-z0-9_.-]+)==", (ROOT / lock).read_text(), re.MULTILINE)


def licences(package: str) -> list[str]:
    """Return what a package says of its licence: the expression, else the trove classifiers, else the field."""
    found = metadata(package)
    if expression := found.get("License-Expression"):
        return [str(expression)]
    classifiers = [line.split(" :: ")[-1] for line in found.get_all("Classifier", []) if line.startswith("License ::")]
    return classifiers or [str(found.get("License") or "")]


@pytest.mark.parametrize("package", packages("requirements.lock"))
def test_the_default_install_is_permissive(package: str) -> None:
    """Each licence is one of those that were looked at; none is a GPL, an LGPL or an AGPL."""
    said = licences(package)
    assert said != [""], f"{package} says nothing of its licence"
    text = " ".join(said)
    assert not re.search(r"\b[AL]?GPL|General Public License", text), text
    known = any(word in text for word in ALLOWED) or text.startswith(NAMED_IN_FULL.get(package, "\0"))
    assert known, f"{package}: {text[:80]}: read it, then add it here"


def test_every_package_of_ours_is_locked_with_hashes() -> None:
    """What is installed is what was looked at, byte for byte."""
    for lock in ("requirements.lock", "requirements-dev.lock"):
        entries = re.split(r"^(?=[A-Za-z0-9_.-]+==)", (ROOT / lock).read_text(), flags=re.MULTILINE)
        assert all("--hash=sha256:" in entry for entry in entries if "==" in entry)


if __name__ == "__main__":
    for each in packages("requirements.lock"):
        print(f"{each:<28}{'; '.join(licences(each)).splitlines()[0]}")  # noqa: T201 - it is asked for
