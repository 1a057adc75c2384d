"""Where a head may grow: stages, alone and side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from headstart.types import Floats

_WINDOW_LENGTH = 5
_WINDOW_WIDTH = 1_536
"""A combination of stages is no wider than this or than the widest stage: wider ones cost most and
won on none of the six sets."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """Stages whose features a head may see side by side.

    Attributes:
        stages: names, shallow to deep.
        depth: index of the deepest one in the backbone.
    """

    stages: tuple[str, ...]
    depth: int

    def gather(self, values: Mapping[str, Floats]) -> Floats:
        """The features of these stages: (N, sum of widths)."""
        parts = [values[stage] for stage in self.stages]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


def candidates(widths: Mapping[str, int]) -> tuple[Candidate, ...]:
    """Every stage alone, and runs of neighbors that end at one of the two deepest.

    Args:
        widths: features of each stage, shallow to deep.
    """
    names = list(widths)
    single = [Candidate((name,), depth) for depth, name in enumerate(names)]
    limit = max(_WINDOW_WIDTH, *widths.values())
    runs = [
        Candidate(tuple(names[start : end + 1]), end)
        for end in range(max(1, len(names) - 2), len(names))
        for start in range(max(0, end + 1 - _WINDOW_LENGTH), end)
        if sum(widths[name] for name in names[start : end + 1]) <= limit
    ]
    return (*single, *runs)
