"""Divide images into the pupils' and the teacher's part, and grade the models of the lab.

python examples/grade_lab.py divide textiles lab --key "a word that only you know"
python examples/grade_lab.py grade lab/teacher handed/* --training lab/pupils --csv grades.csv

`divide` copies the images into lab/pupils and lab/teacher. Which image goes where depends on its
content and on the key alone, so the division is the same on every computer.

`grade` runs each model on the teacher's images, and gives up to ten points. A model is given by its
folder, or by that of the pupil, with the model anywhere in it. A model that was trained on a test
image, or on images that were not handed in, gets none. Test images that have a changed copy in the
training folder are left out; with more than one in twenty, no model gets points. It runs no code of
the pupils; only the promise is taken from what they hand in. Exit status: 0 if all models could be
graded and were trained honestly, 1 if one was not, 2 if the call was wrong.
"""

from __future__ import annotations

import argparse
import csv
import glob
import hashlib
import shutil
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headstart import (
    Classifier,
    HeadstartError,
    HeadstartWarning,
    ImageDataset,
    Report,
    UserError,
    evaluate,
    open_dataset,
)
from headstart.auditing.copies import Copies
from headstart.auditing.measurements import measure_images
from headstart.system.digests import file_digest

WORST_CALIBRATION = 0.1
WIDEST_PROMISE = 0.3
MOST_COPIED = 0.05  # of the test images; a few may be look-alikes
MOST = 10  # points


def of_teacher(content: bytes, *, key: str, share: float) -> bool:
    """Return whether an image belongs to the teacher's part, by its content and a secret key."""
    digest = hashlib.sha256(key.encode() + content).digest()
    return digest[0] < 256 * share


def copy_groups(dataset: ImageDataset) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of the readable images, (N,), and the group of copies of each, (N,)."""
    measured = measure_images(dataset.paths)
    labels = dataset.labels[measured.rows]
    digests = [file_digest(dataset.paths[row]) for row in measured.rows]
    return measured.rows, Copies.of(measured.thumbnails, labels, digests, seed=0).groups


def divide(dataset: ImageDataset, folder: Path, *, key: str, share: float) -> tuple[int, int]:
    """Copy images into two folders, copies of one image into the same one; return their numbers."""
    rows, groups = copy_groups(dataset)
    counts = {"pupils": 0, "teacher": 0}
    for row, first in zip(rows, rows[groups], strict=True):
        content = dataset.paths[first].read_bytes()
        part = "teacher" if of_teacher(content, key=key, share=share) else "pupils"
        target = folder / part / dataset.classes[dataset.labels[row]] / dataset.paths[row].name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(dataset.paths[row], target)
        counts[part] += 1
    return counts["pupils"], counts["teacher"]


@dataclass(frozen=True, slots=True)
class Mark:
    """The points for one thing, out of how many, and the reason."""

    what: str
    points: int
    most: int
    reason: str


def copied_across(training: ImageDataset, tested: ImageDataset) -> np.ndarray:
    """Return the rows of test images that have a copy, perhaps changed, in the training images."""
    classes = tuple(sorted({*training.classes, *tested.classes}))
    labels = [classes.index(part.classes[n]) for part in (training, tested) for n in part.labels]
    both = ImageDataset(
        name="both parts",
        paths=training.paths + tested.paths,
        labels=np.array(labels, dtype=np.int64),
        classes=classes,
    )
    rows, groups = copy_groups(both)
    of_test = rows >= len(training)
    shared = np.intersect1d(groups[of_test], groups[~of_test])
    copied: np.ndarray = rows[of_test & np.isin(groups, shared)] - len(training)
    return copied


def unfair(classifier: Classifier, training: ImageDataset, tested: ImageDataset) -> str:
    """Return what was unfair about the training of a model, or "" if nothing was."""
    learned = {row.tobytes().hex() for row in classifier.model_.data.digests}
    known = [path.name for path in tested.paths if file_digest(path) in learned]
    if known:
        return f"it was trained on {len(known)} of the test images, such as {known[0]}"
    foreign = learned - {file_digest(path) for path in training.paths}
    if foreign:
        return f"it was trained on images that are not in the training folder: {len(foreign)}"
    return ""


def marks(classifier: Classifier, report: Report, *, goal: float) -> list[Mark]:
    """Return the points of an honest model: for what it can, and for knowing what it can."""
    largest = report.largest_class
    most = largest.correct / largest.images if largest else 1.0
    share = 1.0
    if report.accuracy < goal:
        share = max(report.accuracy - most, 0.0) / max(goal - most, 1e-9)
    enough = min(goal, most + (goal - most) * 3.5 / 4)  # 3.5 points are rounded to 4
    better = largest is not None and largest.gain.better
    promise = classifier.model_.accuracy
    low, high = report.interval.low, report.interval.high
    if promise.interval is None:
        kept, said = False, "it makes no promise: train it with more images"
    else:
        first, last = promise.interval.low, promise.interval.high
        kept = first <= high and low <= last and last - first <= WIDEST_PROMISE
        said = f"it said {promise.value:.3f} ({first:.3f} to {last:.3f}, "
        said += f"{promise.method.replace('-', ' ')}); at most {WIDEST_PROMISE} wide is asked for"
    calibrated = report.ece <= WORST_CALIBRATION
    unread = len(report.skipped)
    return [
        Mark("runs", int(not unread), 1, f"{report.images} test images, {unread} unreadable"),
        Mark("baseline", 2 * better, 2, f"always answering one class is right in {most:.3f}"),
        Mark("accuracy", round(4 * min(share, 1.0)), 4,
             f"{report.accuracy:.3f} ({low:.3f} to {high:.3f}); all points from {enough:.3f}"),
        Mark("promise", 2 * kept, 2, said),
        Mark("calibration", int(calibrated), 1,
             f"error {report.ece:.3f}; at most {WORST_CALIBRATION} is asked for"),
    ]  # fmt: skip


def matching(text: str) -> list[Path]:
    """Return the paths that a pattern stands for, which the shell of Windows leaves as it is."""
    found = glob.glob(text)  # noqa: PTH207 - Path.glob has hidden files, too
    return sorted(map(Path, found)) if found and not Path(text).exists() else [Path(text)]


def model_folder(handed: Path) -> Path:
    """Return the folder of the model in what a pupil handed in."""
    found: list[Path] = []
    for pattern in ("model.json", "model/model.json", "**/model.json"):
        found = found or sorted(handed.glob(pattern))
    if len(found) > 1:
        names = ", ".join(str(path.parent.relative_to(handed)) for path in found)
        raise UserError(f"it contains {len(found)} models, {names}; leave one")
    packed = [path for path in (handed, *handed.rglob("*")) if path.suffix.lower() == ".zip"]
    if packed and not found:
        raise UserError(f"{packed[0]} is packed; unpack it")
    return found[0].parent if found else handed


def grade(
    folder: Path,
    training: ImageDataset,
    tested: ImageDataset,
    clean: ImageDataset,
    *,
    goal: float,
    owners: dict[str, Path],
) -> tuple[list[Mark], str]:
    """Return the marks of a model, and a remark, which says why if there are none.

    The test images must not be in its training; it is tested on the `clean` ones among them.
    `owners` has the folders of the models so far by their digests; this one is added.
    """
    warnings.simplefilter("ignore", HeadstartWarning)  # the marks say the same
    try:
        classifier = Classifier.load(model_folder(folder), verbose=False)
        if why := unfair(classifier, training, tested):
            return [], why
        found = marks(classifier, evaluate(classifier, clean, verbose=False), goal=goal)
        first = owners.setdefault(classifier.model_.digest, folder)
        same = f"the same model as {first}: the same images, options and seed, or a copy"
        return found, same if first != folder else ""
    except HeadstartError as error:
        return [], f"it cannot be tested: {error}"


def grade_all(
    models: Sequence[Path], training: ImageDataset, tested: ImageDataset, goal: float, table: str
) -> int:
    """Print the points of all models, and write them as CSV; return the exit status."""
    rows: list[dict[str, object]] = []
    owners: dict[str, Path] = {}
    status = 0
    copied = copied_across(training, tested)
    clean = tested.subset(np.setdiff1d(np.arange(len(tested)), copied))
    for row in copied[:3]:
        print(f"left out: {tested.paths[row]} has a copy in the training folder")
    if len(copied) > 3:
        print(f"left out: {len(copied) - 3} more")
    stolen = f"the training folder has copies of {len(copied)} of {len(tested)} test images"
    for folder in models:
        found, remark = grade(folder, training, tested, clean, goal=goal, owners=owners)
        if found and len(copied) > MOST_COPIED * len(tested):
            found, remark = [], stolen
        status = status if found else 1
        total = sum(one.points for one in found)
        print(f"{folder}: {total} of {MOST} points{f': {remark}' if remark else ''}")
        for one in found:
            print(f"  {one.points} of {one.most}  {one.what:11}  {one.reason}")
        points = {one.what: one.points for one in found}
        rows.append({"model": str(folder), "points": total, **points, "remark": remark})
    if table:
        columns = list(dict.fromkeys(name for row in rows for name in row))
        with Path(table).open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(rows)
    return status


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of the two commands; return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("divide", help="copy images into a pupils' and a teacher's folder")
    one.add_argument("data", help="a folder with a folder for each class, or a named data set")
    one.add_argument("folder", type=Path, help="a new folder")
    one.add_argument("--key", default="", help="a secret word; another one gives another division")
    one.add_argument("--share", type=float, default=0.25, help="of the teacher (default 0.25)")
    two = commands.add_parser("grade", help="test the models of pupils, and give points")
    two.add_argument("test", help="the teacher's folder")
    two.add_argument("models", nargs="+", help="folders of models, or of pupils, such as handed/*")
    two.add_argument("--training", required=True, help="the images that they were trained on")
    two.add_argument("--goal", type=float, default=0.9, help="accuracy for all points (0.9)")
    two.add_argument("--csv", default="", help="also write the points to this table")
    given = parser.parse_args(arguments)
    try:
        if given.command == "grade":
            training, tested = open_dataset(given.training), open_dataset(given.test)
            models = [path for text in given.models for path in matching(text)]
            return grade_all(models, training, tested, given.goal, given.csv)
        if not 0 < given.share < 1:
            parser.error(f"the share is {given.share}; give one between 0 and 1")
        if given.folder.exists():
            parser.error(f"{given.folder} exists already; give a new folder")
        parts = divide(open_dataset(given.data), given.folder, key=given.key, share=given.share)
    except (HeadstartError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{parts[0]} images for the pupils, {parts[1]} for the teacher in {given.folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
