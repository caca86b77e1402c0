"""Settings of Hypothesis for all of these tests."""

from __future__ import annotations

from hypothesis import settings

# How long an example takes says more of what else runs on the machine.
settings.register_profile("memtui", deadline=None)
settings.load_profile("memtui")
