"""How many examples a property test runs on."""

from hypothesis import settings

_FACTOR = {"fuzz": 20}
"""How many times as many examples each profile runs; other profiles run the number given."""


def examples(count: int) -> settings:
    """Run a property on `count` examples; on many times as many in `make fuzz`."""
    return settings(max_examples=count * _FACTOR.get(settings.get_current_profile_name(), 1))
