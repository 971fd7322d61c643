"""Lets the tests read the kill test's modules, as its own script does."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
