"""Rows of features where they lie, put together a piece at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from headstart.types import Floats, Labels

PIECE = 2048
"""Rows a piece: large enough for the matrix products, small enough to stay near the processor."""


@dataclass(frozen=True, slots=True)
class Rows:
    """The features of some images, of one or more stages side by side.

    Attributes:
        parts: (M, width) each, in memory or mapped from a file.
        chosen: (N,) which of the M rows.
    """

    parts: tuple[Floats, ...]
    chosen: Labels

    def __len__(self) -> int:
        return len(self.chosen)

    @property
    def widths(self) -> list[int]:
        """Of the parts."""
        return [part.shape[1] for part in self.parts]

    @property
    def nbytes(self) -> int:
        """Of all of them, put together."""
        return 4 * len(self) * sum(self.widths)

    def spans(self) -> Iterator[slice]:
        """Pieces of at most `PIECE` rows, in order."""
        for start in range(0, len(self), PIECE):
            yield slice(start, min(start + PIECE, len(self)))

    def at(self, span: slice) -> Floats:
        """(n, D), a copy."""
        chosen = self.chosen[span]
        taken = [part[chosen] for part in self.parts]
        return taken[0] if len(taken) == 1 else np.concatenate(taken, axis=1)

    def whole(self) -> Floats:
        """(N, D), all of them in memory."""
        return self.at(slice(None))

    def evenly(self, size: int) -> Labels:
        """Places of at most `size` of them, evenly spaced: (n,)."""
        count = min(len(self), size)
        return np.arange(count) * len(self) // max(1, count)

    def picked(self, places: Labels) -> Rows:
        """Those at `places`, (n,) of N."""
        return Rows(self.parts, self.chosen[places])
