"""Which test images show the same scenes as the images that a model was trained on."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from headstart.datasets import ImageDataset
from headstart.features.extractor import Extractor
from headstart.models.trained_model import Model
from headstart.series.series import Series, find_series, given_series
from headstart.system.digests import file_digest
from headstart.types import Floats

_FILES = 20
"""Training files to look at before the features of all are computed."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SharedScenes:
    """The series of N test images.

    Attributes:
        series: Which of them belong together; None if all are independent, or nothing is known.
        new_scene: (N,) bool, whether an image shares no series with a training image; None if that
            is not known.
    """

    series: Series | None = None
    new_scene: np.ndarray | None = None


def shared_scenes(
    model: Model,
    extractor: Extractor,
    tested: ImageDataset,
    values: Mapping[str, Floats],
    training: ImageDataset | None,
) -> SharedScenes:
    """Find the scenes that test images share with each other and with training images.

    Args:
        model: The trained model.
        extractor: Runs its backbone.
        tested: N test images, with groups if they were given.
        values: Their features of all stages, (N, width) each; unused if groups are given.
        training: Images of which the model was trained on some; None if they are unknown.
    """
    groups = list(tested.groups)
    if training is None:
        own = given_series(groups, source=tested.grouped_by) if groups else None
        return SharedScenes(series=own or None)
    if not _knows_some(model, training):
        return SharedScenes()
    features = extractor.extract(training.paths)
    trained = np.flatnonzero(model.data.contains(features.digests))
    if not len(trained):
        return SharedScenes()
    trained_rows = features.rows[trained]
    if groups:
        if not training.groups:
            return SharedScenes(series=given_series(groups, source=tested.grouped_by) or None)
        groups += [training.groups[row] for row in trained_rows]
        series = given_series(groups, source=tested.grouped_by)
    else:
        names = {name: place for place, name in enumerate(tested.classes)}
        extra = {name: len(names) + n for n, name in enumerate(training.classes)}
        class_of = np.array([names.get(name, extra[name]) for name in training.classes])
        series = find_series(
            {s: np.concatenate([values[s], features.values[s][trained]]) for s in features.values},
            np.concatenate([tested.labels, class_of[training.labels[trained_rows]]]),
            [*tested.paths, *(training.paths[row] for row in trained_rows)],
        )
    own = series.subset(np.arange(len(tested)))
    shared = np.isin(series.groups[: len(tested)], series.groups[len(tested) :])
    return SharedScenes(series=own or None, new_scene=~shared)


def _knows_some(model: Model, training: ImageDataset) -> bool:
    """Whether the model was trained on one of a few of these images."""
    few = np.linspace(0, len(training) - 1, min(_FILES, len(training)), dtype=np.int64)
    digests = []
    for row in few:
        with contextlib.suppress(OSError):
            digests.append(file_digest(training.paths[row]))
    return bool(model.data.contains(tuple(digests)).any())
