"""Settings of the whole suite."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("quick", max_examples=60)
settings.register_profile("thorough", max_examples=600)
settings.load_profile("quick")
