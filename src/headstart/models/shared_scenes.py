"""Which test images show the same scenes as the images that a model was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headstart.datasets import ImageDataset
from headstart.features.extractor import Extractor
from headstart.models.trained_model import Model
from headstart.series.series import FOUND, SEARCHED, Series, find_series, given_series
from headstart.system.digests import file_digest
from headstart.types import Floats, Labels

_NO_DIGEST = 32 * "0"
_FILES = 20
"""Training files to look at before the features of all are computed."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SharedScenes:
    """The scenes of N test images.

    Attributes:
        clusters: (N,) the series of each image; None if all are independent.
        new_scene: (N,) bool, whether an image shares no series with a training image; None if the
            training images are not known.
    """

    clusters: Labels | None
    new_scene: np.ndarray | None = None


def shared_scenes(
    model: Model,
    extractor: Extractor,
    tested: ImageDataset,
    values: Mapping[str, Floats],
    training: ImageDataset | None,
) -> SharedScenes:
    """Find the scenes that test images share with each other and with training images.

    Series that the user gave are used if there are any; otherwise they are found. Training images
    are not searched for a fine-tuned model: its network would have to run over all of them.

    Args:
        model: The trained model.
        extractor: Runs its backbone.
        tested: N test images, with groups if they were given.
        values: Their features of all stages, (N, width) each; unused if groups are given.
        training: Images of which the model was trained on some; None if they are unknown.
    """
    count = len(tested)
    if training is not None and not _knows_some(model, training):
        training = None
    if tested.groups:
        known = training is not None and bool(training.groups)
        groups = [*tested.groups, *(_trained_groups(model, training) if known and training else ())]
        series = given_series(groups, source=tested.grouped_by)
    else:
        if training is not None and (model.tuning or len(training) + count > SEARCHED):
            training = None
        known = training is not None
        series = _found(model, extractor, tested, values, training)
    own = series.subset(np.arange(count))
    shared = np.isin(series.groups[:count], series.groups[count:])
    return SharedScenes(clusters=own.groups if own else None, new_scene=~shared if known else None)


def _trained_groups(model: Model, training: ImageDataset) -> list[str]:
    """Return the groups of the images that the model was trained on."""
    trained = model.data.contains(tuple(_digest(path) for path in training.paths))
    return [group for group, seen in zip(training.groups, trained, strict=True) if seen]


def _found(
    model: Model,
    extractor: Extractor,
    tested: ImageDataset,
    values: Mapping[str, Floats],
    training: ImageDataset | None,
) -> Series:
    """Find series among the test images and those that the model was trained on."""
    if training is None:
        few = np.arange(min(len(tested), SEARCHED))
        paths = [tested.paths[row] for row in few]
        found = find_series({s: X[few] for s, X in values.items()}, tested.labels[few], paths)
        rest = np.arange(len(few), len(tested))
        return Series(source=FOUND, groups=np.concatenate([found.groups, rest]))
    features = extractor.extract(training.paths, stages=list(values))
    trained = np.flatnonzero(model.data.contains(features.digests))
    rows = features.rows[trained]
    names = {name: place for place, name in enumerate(tested.classes)}
    extra = {name: len(names) + n for n, name in enumerate(training.classes)}
    class_of = np.array([names.get(name, extra[name]) for name in training.classes])
    return find_series(
        {s: np.concatenate([values[s], features.values[s][trained]]) for s in values},
        np.concatenate([tested.labels, class_of[training.labels[rows]]]),
        [*tested.paths, *(training.paths[row] for row in rows)],
    )


def _knows_some(model: Model, training: ImageDataset) -> bool:
    """Whether the model was trained on one of a few of these images."""
    few = np.linspace(0, len(training) - 1, min(_FILES, len(training)), dtype=np.int64)
    return bool(model.data.contains(tuple(_digest(training.paths[row]) for row in few)).any())


def _digest(path: Path) -> str:
    """Return the digest of a file, or one that no file has if it cannot be read."""
    try:
        return file_digest(path)
    except OSError:
        return _NO_DIGEST
