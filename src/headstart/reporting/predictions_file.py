"""The sections about predictions.csv, one row an image."""

from __future__ import annotations

import os
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from heapq import nlargest
from pathlib import Path
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from headstart.errors import DataError
from headstart.images.thumbnails import thumbnail
from headstart.pages.page import CARD_SIDE, Card, Cards, Section
from headstart.reporting.results_folder import ResultsFolder
from headstart.system.prefetch import prefetch
from headstart.system.text import pluralize
from headstart.types import Doubles

PREDICTIONS: Final = "predictions.csv"
_KEPT: Final = ("path", "truth", "predicted", "probability")
_SHOWN: Final = 24


@dataclass(frozen=True, slots=True, eq=False)
class PredictionsFile:
    """The predictions of a test.

    Attributes:
        confidence: (N,) probability of the predicted class, N > 0.
        correct: (N,) bool, whether it is the true class.
        wrong: The rows of those that are not.
    """

    confidence: Doubles
    correct: npt.NDArray[np.bool_]
    wrong: Sequence[Mapping[str, str]]

    @classmethod
    def read(cls, folder: ResultsFolder) -> Self:
        """Read it.

        Raises:
            DataError: It cannot be read, or headstart did not write it.
        """
        confidence, correct, wrong = array("d"), bytearray(), []
        try:
            for row in folder.rows(PREDICTIONS):  # millions, perhaps
                confidence.append(float(row["probability"]))
                correct.append(row["correct"] == "True")
                if not correct[-1]:
                    wrong.append({key: row[key] for key in _KEPT})
        except (KeyError, ValueError) as error:
            raise _damaged(folder, str(error)) from error
        found = cls(np.array(confidence), np.array(correct, bool), wrong)
        if not len(correct) or not ((found.confidence >= 0) & (found.confidence <= 1.001)).all():
            raise _damaged(folder, "it has no probabilities from 0 to 1")
        return found

    def most_wrong(self) -> Section:
        """Show the errors with the highest confidence."""
        title = "The most wrong images"
        if not self.wrong:
            return Section(title, ["No image was predicted wrongly."])
        shown = nlargest(_SHOWN, self.wrong, key=lambda row: float(row["probability"]))
        paths = [Path(row["path"]) for row in shown]
        folder = _common_folder(paths)
        cards = [
            Card(
                images=[image],
                title=f"{row['predicted']} {float(row['probability']):.1%}",
                note=f"true: {row['truth']}",
                path=str(path.relative_to(folder) if folder else path),
            )
            for row, (path, image) in zip(
                shown, prefetch(partial(thumbnail, side=CARD_SIDE), paths), strict=True
            )
        ]
        count = f"{pluralize(len(self.wrong), 'error')}, the most confident first"
        all_of_them = f" ({_SHOWN} shown; {PREDICTIONS} has all)"
        more = all_of_them if len(self.wrong) > _SHOWN else ""
        where = f" The files are in {folder}." if folder else ""
        words = f"{count}{more}. Such images often have a wrong label.{where}"
        return Section(title, [words, Cards(cards)])


def _damaged(folder: ResultsFolder, reason: str) -> DataError:
    return DataError(
        f"{folder.path / PREDICTIONS} is damaged ({reason}); run the command that wrote it again"
    )


def _common_folder(paths: Sequence[Path]) -> Path | None:
    """Return the innermost folder that contains the folders of all files; None if there is none."""
    try:
        folder = Path(os.path.commonpath([path.parent.parent for path in paths]))
    except ValueError:  # on several drives, or some relative
        return None
    return folder if folder.name else None
