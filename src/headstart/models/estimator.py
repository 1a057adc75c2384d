"""The classifier as a scikit-learn estimator."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self, TypeAlias

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.utils.validation import check_is_fitted

from headstart.backbones import load_backbone
from headstart.datasets import ImageDataset
from headstart.engines import make_plan
from headstart.errors import BackboneError, DataError, HeadstartWarning
from headstart.features.extractor import Extractor
from headstart.models.fit import FitSettings, train
from headstart.models.prediction import Predictions, predict
from headstart.models.saved_model import load_model, save_model
from headstart.models.trained_model import Model, check_file_given, own_backbone
from headstart.system.cache_folder import cache_root
from headstart.types import EngineName, Floats, Precision

Paths: TypeAlias = ImageDataset | Iterable[str | Path]
AUTO = "auto"


class Classifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc] # sklearn has no types
    """A pre-trained network, frozen, with a head trained on your images.

    Images are given as paths of files, or as an `ImageDataset`. Features are kept in the cache, so
    that fitting again, with other options or in another fold, does not run the network again.

    Args:
        backbone: its name; see `headstart.backbones.load_backbone`.
        weights: a file with the backbone's weights, instead of those that belong to its name.
        head: "logistic", "centroid", "knn", or a name added to `headstart.heads.families.FAMILIES`.
        stage: name of the stage that the head grows on, several names, or "auto" to choose by
            cross-validation.
        balance: weigh classes equally, however many images each has.
        engine: "auto", "openvino" or "pytorch".
        precision: "auto", "f32" or "bf16".
        cache: folder of the features; the platform's cache folder by default.
        seed: of the folds of the cross-validation.

    Attributes:
        classes_: (K,) classes as they were given (3 stays 3), sorted.
        model_: the trained `headstart.Model`, with its measured accuracy.
        trained_: how the training went: `headstart.Trained`, with the files that were skipped.

    Example:
        >>> from headstart import Classifier, open_dataset
        >>> digits = open_dataset("digits")
        >>> classifier = Classifier().fit(digits)
        >>> classifier.predict(digits.paths[:2]).tolist()
        ['0', '0']
    """

    def __init__(
        self,
        *,
        backbone: str = "efficientnet-lite0",
        weights: str | Path | None = None,
        head: str = "logistic",
        stage: str | Sequence[str] = AUTO,
        balance: bool = False,
        engine: str = AUTO,
        precision: str = AUTO,
        cache: str | Path | None = None,
        seed: int = 0,
    ) -> None:
        self.backbone = backbone
        self.weights = weights
        self.head = head
        self.stage = stage
        self.balance = balance
        self.engine = engine
        self.precision = precision
        self.cache = cache
        self.seed = seed

    def fit(self, X: Paths, y: Iterable[object] | None = None) -> Self:
        """Train on images.

        Args:
            X: N paths of image files, or an `ImageDataset`, which has its labels with it.
            y: N labels of one type; their text becomes the class names of the model.

        Raises:
            DataError: fewer than two classes with a readable image, or no labels.
            BackboneError: an unknown backbone, stage, engine or precision.
        """
        stages = () if self.stage == AUTO else _names(self.stage)
        recipe = FitSettings(
            head=self.head,
            stages=stages,
            balance=self.balance,
            seed=self.seed,
        )
        dataset, originals = _dataset(X, y)
        self._extractor = self._new_extractor(self.backbone)
        self.trained_ = train(dataset, self._extractor, recipe)
        self.model_: Model = self.trained_.model
        if lost := self.trained_.skipped:
            warnings.warn(
                f"{len(lost)} images were left out, the first is {lost[0].path} "
                f"({lost[0].reason}); all are in trained_.skipped",
                HeadstartWarning,
                stacklevel=2,
            )
        # scikit-learn's metrics count on this order: 9 before 10, unlike their names.
        self.classes_ = np.unique([originals.get(name, name) for name in self.model_.classes])
        return self

    def predict_proba(self, X: Paths) -> Floats:
        """Class probabilities: N paths to (N, K), in the order of `classes_`.

        Raises:
            DataError: an image cannot be read; `predictions` goes on without it.
        """
        paths = _paths(X)
        found = self.predictions(paths)
        if found.skipped:
            first = found.skipped[0]
            raise DataError(
                f"{len(found.skipped)} of {len(paths)} images cannot be read, the first is "
                f"{first.path} ({first.reason}); leave them out, or use predictions()"
            )
        order = [self.model_.classes.index(str(label)) for label in self.classes_]
        return found.probabilities[:, order]

    def predict(self, X: Paths) -> np.ndarray:
        """The most probable class of each image: N paths to (N,) of `classes_`."""
        best = self.predict_proba(X).argmax(1)
        labels: np.ndarray = self.classes_[best]
        return labels

    def score(
        self, X: Paths, y: Iterable[object] | None = None, sample_weight: object = None
    ) -> float:
        """The share of N images that is named right, in [0, 1].

        Args:
            X: N paths of image files, or an `ImageDataset`, which has its labels with it; if it
                has a test part, that is what counts.
            y: N labels for the paths; one that the model does not know is never right.
            sample_weight: (N,) what each image counts for; the same by default.

        Raises:
            DataError: there are no labels, or an image cannot be read.
            ValueError: there are not as many labels as paths.
            NotFittedError: nothing was fitted yet.
        """
        check_is_fitted(self, "model_")
        if isinstance(X, ImageDataset):
            X = X.for_testing()
            y = np.array(X.classes)[X.labels]
        if y is None:
            raise DataError("paths need labels: score(paths, labels)")
        named = [str(label) for label in self.predict(X)]
        return float(
            accuracy_score([str(label) for label in y], named, sample_weight=sample_weight)
        )

    def predictions(self, X: Paths) -> Predictions:
        """Class probabilities of those images that can be read, and a list of the others."""
        check_is_fitted(self, "model_")
        if not hasattr(self, "_extractor"):
            self._extractor = self._extractor_of(self.model_)
        return predict(self.model_, self._extractor, _paths(X))

    def __getstate__(self) -> dict[str, Any]:
        # A compiled network cannot move to another process; it is made again there, and the
        # weights found there are checked.
        state: dict[str, Any] = dict(super().__getstate__())
        state.pop("_extractor", None)
        return state

    def save(self, folder: str | Path) -> None:
        """Write the model: a manifest, arrays and a model card; no pickle."""
        check_is_fitted(self, "model_")
        save_model(self.model_, Path(folder))

    @classmethod
    def load(cls, folder: str | Path, **options: Any) -> Self:
        """Read a model that `save` or `headstart fit` wrote; nothing in it is run.

        Args:
            folder: the model's.
            options: `weights`, `engine`, `precision` or `cache`, as for the constructor.

        Raises:
            BundleError: the folder is no model, is damaged or too new, or belongs to other
                weights than the backbone has here.
        """
        model = load_model(Path(folder))
        self = cls(
            backbone=model.origin.backbone,
            head=model.head.kind,
            stage=model.origin.stages,
            balance=model.balanced,
            seed=model.seed,
            **options,
        )
        self._extractor = self._extractor_of(model)
        self.model_, self.classes_ = model, np.unique(model.classes)
        return self

    def _extractor_of(self, model: Model) -> Extractor:
        check_file_given(model, Path(self.weights) if self.weights else None)
        extractor = self._new_extractor(model.origin.backbone)
        extractor.backbone = own_backbone(model, extractor.backbone)
        return extractor

    def _new_extractor(self, backbone: str) -> Extractor:
        asked = _choice(EngineName, self.engine, "engine")
        return Extractor(
            backbone=load_backbone(backbone, weights=Path(self.weights) if self.weights else None),
            plan=make_plan(asked, _choice(Precision, self.precision, "precision")),
            cache=cache_root(Path(self.cache) if self.cache else None),
            asked=asked,
        )


def _dataset(X: Paths, y: Iterable[object] | None) -> tuple[ImageDataset, dict[str, object]]:
    """The data set, and the labels as they were given by their names."""
    if isinstance(X, ImageDataset):
        return X, {}
    paths = _paths(X)
    if y is None:
        raise DataError("paths need labels: fit(paths, labels)")
    labels = list(y)
    for place, label in enumerate(labels):
        known = isinstance(label, str | int | float | np.generic)
        if not known or label != label or str(label) == "":  # NaN is not itself
            raise DataError(f"label {place} is {label!r}; give each path a text or a number")
    if len(labels) != len(paths):
        raise DataError(
            f"{len(paths)} paths and {len(labels)} labels: give one label for each path"
        )
    originals: dict[str, object] = {}
    for label in labels:
        if originals.setdefault(str(label), label) != label:
            other = originals[str(label)]
            raise DataError(f"the labels {other!r} and {label!r} look the same; give one type")
    classes = tuple(sorted(originals))
    index = {name: place for place, name in enumerate(classes)}
    return (
        ImageDataset(
            name="paths",
            paths=tuple(paths),
            labels=np.array([index[str(label)] for label in labels], dtype=np.int64),
            classes=classes,
        ),
        originals,
    )


def _paths(X: Paths) -> list[Path]:
    if isinstance(X, ImageDataset):
        return list(X.paths)
    if isinstance(X, str | Path):
        raise DataError(
            f"give a list of image files, or open_dataset({str(X)!r}) for a folder of classes"
        )
    if not isinstance(X, Iterable):
        raise DataError(f"give a list of paths of image files, not {X!r}")
    paths = list(X)
    # A scikit-learn Pipeline may hand on a column.
    if paths and isinstance(paths[0], np.ndarray | list | tuple) and len(paths[0]) == 1:
        paths = [row[0] for row in paths]
    for path in paths:
        if not isinstance(path, str | Path):
            raise DataError(
                f"images are given as paths of files, and {type(path).__name__} is none; save the "
                "picture to a file first"
            )
    return [Path(path) for path in paths]


def _names(stage: str | Sequence[str]) -> tuple[str, ...]:
    return (stage,) if isinstance(stage, str) else tuple(stage)


def _choice(kind: Any, value: str, option: str) -> Any:
    try:
        return kind(value)
    except ValueError:
        known = ", ".join(kind)
        raise BackboneError(f"there is no {option} {value!r}; choose one of {known}") from None
