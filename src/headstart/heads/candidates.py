"""Candidate inputs of a head: single stages, and runs of neighboring stages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from headstart.types import Floats

_WINDOW_LENGTH = 5
_WINDOW_WIDTH = 1_536
"""Maximum width of a combination of stages, unless a single stage is wider: wider ones cost the
most and were not the best on any of six data sets."""


def join_stages(values: Mapping[str, Floats], stages: Sequence[str]) -> Floats:
    """Return the features of some stages side by side: (N, sum of widths)."""
    parts = [values[stage] for stage in stages]
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


@dataclass(frozen=True, slots=True)
class Candidate:
    """Stages whose features, side by side, a head may use.

    Attributes:
        stages: names of the stages, shallow to deep.
        depth: index of the deepest of them in the backbone.
    """

    stages: tuple[str, ...]
    depth: int

    def gather(self, values: Mapping[str, Floats]) -> Floats:
        """Return the features of these stages side by side: (N, sum of widths)."""
        return join_stages(values, self.stages)


def deepest(choices: Sequence[Candidate]) -> Candidate:
    """Return the deepest candidate, of the fewest stages."""
    return max(choices, key=lambda choice: (choice.depth, -len(choice.stages)))


def combinations(choices: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """Return the candidates of several stages, and the deepest one."""
    last = deepest(choices)
    return tuple(choice for choice in choices if len(choice.stages) > 1 or choice is last)


def candidates(widths: Mapping[str, int]) -> tuple[Candidate, ...]:
    """Return every single stage, and runs of neighbors that end at one of the two deepest.

    Widths are numbers of features by stage, shallow to deep.
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
