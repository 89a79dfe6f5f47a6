"""How often a property is tried: as its test says, and a fifth as often in `make unit`."""

from __future__ import annotations

import hypothesis

_OFTEN = 100


def register_profiles() -> None:
    """Say what profiles there are; how long an example takes, the machine decides."""
    hypothesis.settings.register_profile("full", deadline=None, max_examples=_OFTEN)
    hypothesis.settings.register_profile("unit", deadline=None, max_examples=_OFTEN // 5)


def tries(count: int, *unchecked: hypothesis.HealthCheck) -> hypothesis.settings:
    """Return the settings of a property that is tried `count` times, without those checks of its examples."""
    most = max(1, count * hypothesis.settings().max_examples // _OFTEN)
    return hypothesis.settings(max_examples=most, suppress_health_check=unchecked)
