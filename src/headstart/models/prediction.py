"""Predictions of a trained model, and its evaluation on labeled images."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from headstart.backbones.stages import LOGITS
from headstart.errors import DataError, UserError
from headstart.evaluation.drift import Drift, EstimatedAccuracy
from headstart.evaluation.report import Row, predictions_table
from headstart.features.extraction import Features
from headstart.features.extractor import Extractor
from headstart.heads.calibration import probabilities
from headstart.images.source import ImageSource
from headstart.models.answers import AnswerRule, count_answers
from headstart.models.batch_assessment import assess
from headstart.models.deciding_places import DecidingPlace, DecidingPlaces
from headstart.models.fit_result import HeldOutPredictions
from headstart.models.trained_model import Model
from headstart.novelty.detector import DEFAULT_RATE
from headstart.system.display import Displayed
from headstart.system.text import join_names, pluralize, unread_text
from headstart.types import (
    ClassProbability,
    Conflict,
    Doubles,
    Floats,
    Labels,
    ProgressCallback,
    Skipped,
    no_progress,
)

if TYPE_CHECKING:
    from headstart.datasets import ImageDataset

SHOWN: Final = 48
"""Images that predictions keep for a notebook."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictions(Displayed):
    """Class probabilities of images.

    Attributes:
        classes: K class names.
        rows: (N,) indices into the images that were given; unreadable ones are missing.
        probabilities: (N, K) float32; rows sum to 1.
        skipped: The images that could not be read, with reasons.
        novelty: (N,) share of images of the known classes that are at least as unlike the training
            images, in (0, 1]: a small one means that the image shows something else. None if the
            model cannot tell.
        drift: Whether the images as a whole are unlike the training images; None for fewer than
            20 different new images, and where it is unknown.
        estimated_accuracy: Share of the predictions that may be correct; None likewise.
        computed: Number of images that were run through a network.
        where: For each of the N images, the places by which its most probable class was decided;
            None unless they were asked for.
        images: The first `SHOWN` images that were given, which a notebook shows.
    """

    classes: tuple[str, ...]
    rows: Labels
    probabilities: Floats
    skipped: tuple[Skipped, ...]
    novelty: Doubles | None = None
    drift: Drift | None = None
    estimated_accuracy: EstimatedAccuracy | None = None
    computed: int = 0
    where: tuple[tuple[DecidingPlace, ...], ...] | None = None
    images: tuple[ImageSource, ...] = ()

    @property
    def known(self) -> np.ndarray | None:
        """(N,) bool, whether each image looks like one of the classes: a novelty above 0.05.

        None if the model cannot tell.
        """
        return None if self.novelty is None else self.novelty > DEFAULT_RATE

    def __repr__(self) -> str:
        images, classes = len(self.rows), len(self.classes)
        unknown = "" if self.known is None else f", {int((~self.known).sum()):,} unknown"
        return (
            f"<Predictions: {pluralize(images, 'image')}{unknown}, "
            f"{pluralize(classes, 'class', 'classes')}>"
        )

    def top(self, row: int, count: int) -> list[ClassProbability]:
        """Return the `count` most probable classes of a readable image, the best first.

        Raises:
            UserError: `count` is below 1.
        """
        if count < 1:
            raise UserError(f"cannot return the {count} most probable classes; ask for 1 or more")
        p = self.probabilities[row]
        best = np.argsort(-p, kind="stable")[:count]
        return [ClassProbability(self.classes[index], float(p[index])) for index in best]

    def answers(
        self, *, unknown: float | None = DEFAULT_RATE, min_probability: float = 0.0
    ) -> tuple[str, ...]:
        """Return the answer for each of the N readable images: a class, "unknown" or "unsure".

        Args:
            unknown: Novelty up to which an image is called unknown; None for never.
            min_probability: Probability of the most probable class below which it is "unsure".
        """
        rule = AnswerRule(unknown=unknown, min_probability=min_probability)
        best = self.probabilities.argmax(1)
        novelty = [None] * len(best) if self.novelty is None else self.novelty.tolist()
        return tuple(
            rule.answer(self.classes[index], float(p[index]), own)
            for index, p, own in zip(best, self.probabilities, novelty, strict=True)
        )

    def counts(
        self, *, unknown: float | None = DEFAULT_RATE, min_probability: float = 0.0
    ) -> dict[str, int]:
        """Return the number of images by answer, the most frequent class first.

        "unknown", "unsure" and "unreadable" come last.

        Args:
            unknown: As for `answers`.
            min_probability: As for `answers`.
        """
        answers = self.answers(unknown=unknown, min_probability=min_probability)
        return count_answers(answers, unreadable=len(self.skipped))

    def places(self, paths: Sequence[Path]) -> dict[Path, tuple[DecidingPlace, ...]]:
        """Return the deciding places of each readable image by its path.

        `paths` are the files that were predicted.
        """
        return {paths[row]: found for row, found in zip(self.rows, self.where or (), strict=False)}

    def members(self, row: int, sets: np.ndarray) -> tuple[str, ...]:
        """Return the classes of a readable image's prediction set, the most probable first.

        Args:
            row: Index of the image among the readable ones.
            sets: (N, K) bool, which classes each set contains.
        """
        best = np.argsort(-self.probabilities[row], kind="stable")
        return tuple(self.classes[index] for index in best if sets[row, index])


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownClasses:
    """Predictions for images of classes that the model does not know; all are wrong.

    Attributes:
        names: The class name of each of M images.
        paths: Their files.
        probabilities: (M, K) class probabilities.
        novelty: (M,) p-values of their novelty; None if the model cannot tell.
    """

    names: tuple[str, ...]
    paths: tuple[Path, ...]
    probabilities: Floats
    novelty: Doubles | None = None

    def caught(self, rate: float | None) -> float | None:
        """Return the share that is called unknown at a false-alarm rate; None if not known."""
        if self.novelty is None or rate is None or not len(self.novelty):
            return None
        return float((self.novelty <= rate).mean())

    def counts(self) -> dict[str, int]:
        """Return class name -> number of images, the most frequent first."""
        return dict(Counter(sorted(self.names)).most_common())


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation(HeldOutPredictions):
    """Predictions for labeled images that a model was not trained on.

    Attributes:
        skipped: Files that could not be used, with reasons.
        conflicts: Identical files with different labels; none of them was used.
        seen: Number of images excluded because the model was trained on them.
        duplicates: Number of copies of other images; each is used once.
        seconds: Duration of the evaluation.
        novelty: (N,) as in `Predictions`.
        drift: Whether the images as a whole are unlike the training images; None for fewer than
            20 images, and where it is unknown.
        others: The images of classes that the model does not know; the other attributes are about
            those of known classes.
    """

    skipped: tuple[Skipped, ...]
    conflicts: tuple[Conflict, ...]
    seen: int
    seconds: float
    novelty: Doubles | None = None
    drift: Drift | None = None
    others: UnknownClasses
    duplicates: int = 0

    def table(self, classes: Sequence[str]) -> list[Row]:
        """Return a row for each image, also of unknown classes; see `predictions_table`."""
        others = self.others
        names = sorted(set(others.names))
        rows = np.concatenate([self.probabilities, others.probabilities])
        labels = [len(classes) + names.index(name) for name in others.names]
        return predictions_table(
            [*self.paths, *others.paths],
            [*self.labels.tolist(), *labels],
            np.pad(rows, ((0, 0), (0, len(names)))),
            [*classes, *names],
        )

    def unknown(self, rate: float | None) -> float | None:
        """Return the share of the images that are called unknown at a false-alarm rate, [0, 1].

        None if the model cannot tell, or if `rate` is None.
        """
        if self.novelty is None or rate is None:
            return None
        return float((self.novelty <= rate).mean())


def predict(
    model: Model,
    extractor: Extractor,
    sources: Sequence[ImageSource],
    *,
    where: bool = False,
    progress: ProgressCallback = no_progress,
) -> Predictions:
    """Predict images with a trained model, whose backbone `extractor` runs.

    With `where`, also find the places in each image by which its class was decided.

    Raises:
        UserError: They are asked for, and the model sees no tiles.
    """
    places = DecidingPlaces(model, extractor) if where else None
    features = extractor.extract(sources, stages=model.stages, progress=progress)
    found = replace(predictions_from(model, features), images=tuple(sources[:SHOWN]))
    if places is None:
        return found
    return replace(found, where=tuple(_where(places, sources, features, found.probabilities)))


def predictions_from(model: Model, features: Features) -> Predictions:
    """Return what a model says about images, given the features of its stages."""
    found, novelty = model.probabilities(features.values), model.p_values(features.values)
    # The model is surer of images that it knows, and a copy is no further evidence.
    _, first = np.unique(features.digests, return_index=True)
    known = model.data.contains(tuple(features.digests[row] for row in first))
    batch = assess(model, found, rows=first[~known], novelty=novelty)
    return Predictions(
        classes=model.classes,
        rows=features.rows,
        probabilities=found,
        skipped=features.skipped,
        novelty=novelty,
        drift=batch.drift,
        estimated_accuracy=batch.accuracy,
        computed=features.computed,
    )


def _where(
    places: DecidingPlaces,
    sources: Sequence[ImageSource],
    features: Features,
    probabilities: Floats,
) -> Iterator[tuple[DecidingPlace, ...]]:
    for number, row in enumerate(features.rows.tolist()):
        own = {stage: values[number : number + 1] for stage, values in features.values.items()}
        yield places.find(sources[row], own, int(probabilities[number].argmax()))


def classify(
    extractor: Extractor, images: Sequence[ImageSource], *, progress: ProgressCallback = no_progress
) -> Predictions:
    """Predict images with a backbone's own classifier, that is, as classes of ImageNet.

    Raises:
        DataError: The backbone has no classes of its own.
    """
    backbone = extractor.backbone
    if not backbone.labels:
        raise DataError(f"{backbone.name} has no class names of its own; choose another backbone")
    features = extractor.extract(images, stages=[LOGITS], progress=progress)
    return Predictions(
        classes=backbone.labels,
        rows=features.rows,
        probabilities=probabilities(features.values[LOGITS]),
        skipped=features.skipped,
        images=tuple(images[:SHOWN]),
    )


def evaluate(
    model: Model,
    extractor: Extractor,
    dataset: ImageDataset,
    *,
    training: ImageDataset | None = None,
    progress: ProgressCallback = no_progress,
) -> Evaluation:
    """Test a model on labeled images, except those that it was trained on.

    `training` has images of which the model was trained on some: with them, the result tells which
    of the test images show the same scenes.

    Raises:
        DataError: No image is left, or the model knows none of the classes.
    """
    # Predicting does not wait for these.
    from headstart.datasets.class_names import spelled_as
    from headstart.datasets.duplicates import deduplicate
    from headstart.models.shared_scenes import shared_scenes

    started = time.perf_counter()
    dataset = dataset.rename_classes(spelled_as(dataset.classes, model.classes).__getitem__)
    _check_classes(dataset, model.classes)
    stages = dict.fromkeys([one.name for one in extractor.backbone.outputs])
    names = list(stages | dict.fromkeys(model.stages))
    features = extractor.extract(dataset.paths, stages=names, progress=progress)
    usable = dataset.subset(features.rows)
    curated = deduplicate(usable, features.digests, identities=features.identities(usable.paths))
    seen = model.data.contains(tuple(features.digests[row] for row in curated.rows))
    index = {name: place for place, name in enumerate(model.classes)}
    labels = np.array([index.get(name, -1) for name in usable.classes])[usable.labels]
    tested = curated.rows[~seen]
    rows, others = tested[labels[tested] >= 0], tested[labels[tested] < 0]
    if not len(rows):
        reasons = {
            f"{seen.sum():,} were in the model's own training data": seen.any(),
            unread_text(features.skipped): features.skipped,
            f"{len(others):,} are of classes that the model does not know": len(others),
        }
        why = ", ".join(text for text, count in reasons.items() if count)
        raise DataError(f"{dataset.name} has no image to test with: {why}; give other images")
    values = {stage: array[rows] for stage, array in features.values.items()}
    of_stages = {stage: values[stage] for stage in stages}
    of_others = {stage: array[others] for stage, array in features.values.items()}
    scenes = shared_scenes(model, extractor, usable.subset(rows), of_stages, training)
    found, novelty = model.probabilities(values), model.p_values(values)
    return Evaluation(
        paths=tuple(usable.paths[row] for row in rows),
        labels=labels[rows],
        probabilities=found,
        skipped=(*dataset.skipped, *features.skipped),
        conflicts=curated.conflicts,
        duplicates=curated.duplicates,
        seen=int(seen.sum()),
        seconds=time.perf_counter() - started,
        clusters=scenes.clusters,
        new_scene=scenes.new_scene,
        novelty=novelty,
        drift=assess(
            model, found, rows=np.arange(len(rows)), novelty=novelty, groups=scenes.clusters
        ).drift,
        others=UnknownClasses(
            names=tuple(usable.classes[usable.labels[row]] for row in others),
            paths=tuple(usable.paths[row] for row in others),
            probabilities=model.probabilities(of_others),
            novelty=model.p_values(of_others),
        ),
    )


def _check_classes(dataset: ImageDataset, classes: Sequence[str]) -> None:
    """Check that the model has one of the classes."""
    if not set(classes) & set(dataset.classes):
        raise DataError(
            f"{dataset.name} has the classes {join_names([*map(repr, dataset.classes)])}, and the "
            f"model knows only {join_names([*map(repr, classes)])}; give images of the same classes"
        )
