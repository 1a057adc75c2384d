"""Cells of text in little more memory than their characters."""

from array import array
from collections.abc import Iterable
from itertools import accumulate
from pathlib import Path

from headstart.datasets.tables.table_limits import MOST_CELLS, MOST_ROWS, check_count


class CellStore:
    """The rows of a table of text.

    Strings of their own would take 50 bytes each, beside their characters.

    Attributes:
        lines: N numbers of the lines that rows begin on.
    """

    def __init__(self, path: Path, rows: Iterable[tuple[int, list[str]]] = ()) -> None:
        self._path = path
        self._texts: list[bytes] = []
        self._ends = array("I")  # of each cell in its row
        self._firsts = array("Q")  # index in `_ends` of each row's first cell
        self.lines = array("Q")
        for line, cells in rows:
            self._add(line, cells)

    def _add(self, line: int, cells: list[str]) -> None:
        text = "".join(cells).encode("utf-8", "surrogatepass")
        self._firsts.append(len(self._ends))
        if text.isascii():
            self._ends.extend(accumulate(map(len, cells)))
        else:
            sizes = (len(cell.encode("utf-8", "surrogatepass")) for cell in cells)
            self._ends.extend(accumulate(sizes))
        self._texts.append(text)
        self.lines.append(line)
        check_count(self._path, len(self._texts), MOST_ROWS, "rows")
        check_count(self._path, len(self._ends), MOST_CELLS, "cells")

    def __len__(self) -> int:
        return len(self._texts)

    def width(self, row: int) -> int:
        """Return the number of cells of a row."""
        following = row + 1
        end = self._firsts[following] if following < len(self) else len(self._ends)
        return end - self._firsts[row]

    def cell(self, row: int, column: int) -> str:
        """Return a cell, "" for one that is missing at the end of its row."""
        if column >= self.width(row):
            return ""
        place = self._firsts[row] + column
        start = self._ends[place - 1] if column else 0
        return self._texts[row][start : self._ends[place]].decode("utf-8", "surrogatepass")

    def column(self, column: int) -> list[str]:
        """Return the N cells of a column."""
        return [self.cell(row, column) for row in range(len(self))]
