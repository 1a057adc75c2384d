"""Rows of features in memory or in files, combined one piece at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from headstart.types import Floats, Labels

PIECE = 2048
"""Rows per piece: enough for efficient matrix products, few enough for the processor's cache."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Features of some images, of one or more stages side by side.

    Attributes:
        parts: one array (M, width) per stage, in memory or mapped from a file.
        chosen: (N,) indices of the rows among the M.
    """

    parts: tuple[Floats, ...]
    chosen: Labels

    def __len__(self) -> int:
        return len(self.chosen)

    @property
    def widths(self) -> list[int]:
        """Widths of the parts."""
        return [part.shape[1] for part in self.parts]

    @property
    def nbytes(self) -> int:
        """Size of all rows in bytes, when copied into memory."""
        return 4 * len(self) * sum(self.widths)

    def spans(self) -> Iterator[slice]:
        """Yield slices of at most `PIECE` rows, in order."""
        for start in range(0, len(self), PIECE):
            yield slice(start, min(start + PIECE, len(self)))

    def at(self, span: slice) -> Floats:
        """Return a copy of the rows in a slice: (n, D)."""
        chosen = self.chosen[span]
        taken = [part[chosen] for part in self.parts]
        return taken[0] if len(taken) == 1 else np.concatenate(taken, axis=1)

    def whole(self) -> Floats:
        """Return a copy of all rows: (N, D)."""
        return self.at(slice(None))

    def evenly(self, size: int) -> Labels:
        """Return indices of at most `size` rows, evenly spaced: (n,) of N."""
        count = min(len(self), size)
        return np.arange(count) * len(self) // max(1, count)

    def picked(self, places: Labels) -> Rows:
        """Return the rows at indices `places`, (n,) of N."""
        return Rows(self.parts, self.chosen[places])
