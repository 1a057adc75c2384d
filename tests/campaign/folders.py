"""Broken files among good ones: a folder of photos, fitted and predicted."""

import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from random import Random
from typing import Final

import numpy as np

from headstart import open_dataset
from headstart.errors import HeadstartError
from headstart.features.extractor import Extractor
from headstart.images.decode import decode
from headstart.models.fit import fit
from headstart.models.fit_settings import FitSettings
from headstart.models.prediction import Predictions, predict
from headstart.models.trained_model import Model
from tests.campaign.broken_files import KINDS, Use, put
from tests.campaign.campaign import Campaign
from tests.campaign.isolation import Bounds, Task, isolated
from tests.conftest import F32, tiny_backbone, write_photos

_BOUNDS: Final = Bounds(seconds=60)
_CLASSES: Final = ("checks", "stripes")
_BROKEN: Final = 10
"""Broken files in a folder; one of them is of the kind that is tried."""


@cache
def _extractor() -> Extractor:
    return Extractor(backbone=tiny_backbone(), plan=F32, cache=None)


@cache
def _model() -> Model:
    with tempfile.TemporaryDirectory() as name:
        dataset = open_dataset(write_photos(Path(name), 6, kinds=_CLASSES))
        return fit(dataset, _extractor(), FitSettings()).model


def _answers(paths: list[Path], found: Predictions) -> dict[Path, np.ndarray]:
    return {paths[row]: found.probabilities[at] for at, row in enumerate(found.rows)}


def use_folder(folder: Path, task: Task) -> str | None:
    """Fit and predict a folder with a file of the kind of a task, "KIND seed N"."""
    name, _, seed = str(task).partition(" seed ")
    chance = Random(int(seed))
    root = write_photos(folder / "photos", 6, kinds=_CLASSES)
    good = sorted(root.rglob("*.*"))
    other = write_photos(folder / "other", 1, kinds=("noise",), first=chance.randrange(99))
    (elsewhere,) = other.rglob("*.*")
    kinds = [name, *(chance.choice(list(KINDS)) for _ in range(_BROKEN - 1))]
    broken = [
        put(KINDS[kind], root / _CLASSES[at % 2] / f"broken{at}", elsewhere, chance)
        for at, kind in enumerate(kinds)
    ]
    path, whole = broken[0]
    try:
        expected = _answers(good, predict(_model(), _extractor(), good))
        found = fit(open_dataset(root), _extractor(), FitSettings())
        paths = [*good, *(one for one, _ in broken)]
        predicted = predict(_model(), _extractor(), paths)
    except HeadstartError as error:
        return f"the whole folder is refused: {error}"
    skipped = {Path(one.path): one.reason for one in (*found.skipped, *predicted.skipped)}
    if lost := [one for one in good if one in skipped]:
        return f"a good image is skipped: {skipped[lost[0]]}"
    if any(not 0 < len(reason) < 300 or "\n" in reason for reason in skipped.values()):
        return f"a reason is not a line: {list(skipped.values())}"
    answers = _answers(paths, predicted)
    if any(not np.allclose(answers[one], expected[one], atol=1e-5) for one in good):
        return "the answer for a good image has changed"
    used = path in answers
    if used == (path in {Path(one.path) for one in predicted.skipped}):
        return "it is neither used nor skipped, or both"
    return _use_fault(KINDS[name].use, path, whole, used, skipped.get(path, ""))


def _use_fault(use: Use, path: Path, whole: bytes, used: bool, reason: str) -> str | None:
    """Return what is wrong with the use of a file."""
    if use is Use.REFUSED and used:
        return f"accepted with wrong pixels: {decode(path).size}"
    if use in (Use.SAME, Use.USED) and not used:
        return f"refused: {reason}"
    if use is Use.SAME and decode(path).tobytes() != decode(whole).tobytes():
        return "other pixels than those of the whole file"
    return None


def _tries(folder: Path, count: int, chance: Random) -> Iterator[str | None]:
    names = list(KINDS)
    tasks = [f"{names[at % len(names)]} seed {chance.getrandbits(32)}" for at in range(count)]
    return isolated(use_folder, tasks, folder, _BOUNDS)


BROKEN_FILES: Final = Campaign(
    kind=f"broken files of {len(KINDS)} kinds",
    failure="a crash, wrong pixels, another answer for a good image, or no reason in one line",
    tries=_tries,
    full=10 * len(KINDS),
    short=12,
    slow=True,
)
