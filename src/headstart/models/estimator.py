"""The classifier as a scikit-learn estimator."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from headstart.datasets import ImageDataset
from headstart.errors import BackboneError, DataError, HeadstartWarning, UserError
from headstart.evaluation.conformal import check_coverage
from headstart.features.cost import measure_costs
from headstart.images.preprocessing import Preprocessing
from headstart.models.budget import within_budget
from headstart.models.fit import first_head, fit
from headstart.models.fit_settings import FitSettings
from headstart.models.image_inputs import (
    Images,
    check_lengths,
    checked_weights,
    image_paths,
    labeled_dataset,
)
from headstart.models.label_encoding import decode_labels, match_labels
from headstart.models.model_backbone import build_model_extractor
from headstart.models.own_backbone import open_extractor, own_file, own_module, own_or_recorded
from headstart.models.prediction import Predictions, predict
from headstart.models.quality import views_to_fit, with_quality
from headstart.models.saved_model import load_model, save_model
from headstart.models.trained_model import Model
from headstart.models.view_trial import is_large, try_views
from headstart.novelty.cross_fitting import MIN_IMAGES
from headstart.system.text import count_reasons, pluralize
from headstart.types import (
    AUTO,
    DEFAULT_BACKBONE,
    Doubles,
    EngineName,
    Floats,
    Precision,
    Quality,
)

if TYPE_CHECKING:
    from torch.nn import Module

    from headstart.features.extractor import Extractor


class Classifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc] # sklearn has no types
    """An image classifier: a frozen pre-trained network and a head trained on your images.

    Images are given as paths of files, or as an `ImageDataset`. Features are kept in the cache:
    fitting again, with other options or on another fold, does not run the network again.

    Labels are text, numbers or booleans, told apart by value: 1, 1.0 and "1" are one class to
    `score`. Bytes are read as UTF-8 text, and of an enum's members the values count.

    Args:
        backbone: Name of the backbone or path of an ONNX file; see `headstart.load_backbone`. Or a
            `torch.nn.Module` of your own, from pixels (N, 3, H, W) to logits or features.
        preprocessing: How images are prepared for a network of your own: the fields of a
            `headstart.images.preprocessing.Preprocessing`, or one.
        weights: A file with the backbone's weights, instead of those that belong to its name.
        head: "logistic", "centroid", "knn", "discriminant", or a name added to
            `headstart.heads.families.FAMILIES`.
        stage: Name of the stage whose features the head uses, several names, or "auto" to select
            them by cross-validation.
        quality: "fast" for one view of each image; "balanced" or "best" to average heads on several
            views, at up to 4 times the cost and more.
        views: The views to use instead, such as ["efficientnet-lite0", "efficientnet-lite0@352"].
        budget: Core-milliseconds that one prediction may cost on this machine; None for any.
        balance: Weight all classes equally, regardless of their number of images.
        engine: "auto", "openvino" or "pytorch".
        precision: "auto", "f32" or "bf16".
        cache: The cache folder; by default HEADSTART_CACHE or the platform's.
        seed: Random seed of the cross-validation folds.

    Attributes:
        classes_: (K,) classes as they were given (3 stays 3), sorted: also numbers by value.
        model_: The trained `headstart.Model`, with its estimated accuracy.
        fit_result_: The `headstart.FitResult` of the training, with the files that were skipped.

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
        backbone: str | Path | Module = DEFAULT_BACKBONE,
        preprocessing: Preprocessing | Mapping[str, Any] | None = None,
        weights: str | Path | None = None,
        head: str = "logistic",
        stage: str | Sequence[str] = AUTO,
        quality: str = Quality.FAST.value,
        views: Sequence[str] = (),
        budget: float | None = None,
        balance: bool = False,
        engine: str = AUTO,
        precision: str = AUTO,
        cache: str | Path | None = None,
        seed: int = 0,
    ) -> None:
        self.backbone = backbone
        self.preprocessing = preprocessing
        self.weights = weights
        self.head = head
        self.stage = stage
        self.quality = quality
        self.views = views
        self.budget = budget
        self.balance = balance
        self.engine = engine
        self.precision = precision
        self.cache = cache
        self.seed = seed

    def fit(
        self,
        X: Images,
        y: Iterable[object] | None = None,
        groups: Iterable[object] | None = None,
        sample_weight: Iterable[float] | None = None,
    ) -> Self:
        """Train on images.

        Args:
            X: N paths of image files, or an `ImageDataset`, which includes labels.
            y: N labels of one kind; as text they are the class names of the model.
            groups: N names of groups; images of one group, such as those of one camera or one
                patient, are not independent. None is an image on its own. By default, series are
                found in the images.
            sample_weight: N weights in training, of which only the ratios count; images of weight 0
                are left out. The estimated accuracy counts the others equally.

        Raises:
            DataError: Fewer than two classes have a readable image, or there are no labels.
            BackboneError: The backbone, stage, engine or precision is unknown.
        """
        if not isinstance(self.stage, str | Sequence):
            raise UserError(f"stage is {self.stage!r}; give a name, or a list of names")
        stages = (self.stage,) if isinstance(self.stage, str) else tuple(self.stage)
        if not isinstance(self.budget, int | float | None):
            raise UserError(f"budget is {self.budget!r}; give core-milliseconds, or None")
        settings = FitSettings(
            head=self.head,
            stages=() if self.stage == AUTO else stages,
            balance=self.balance,
            seed=self.seed,
        )
        dataset, label_type = labeled_dataset(X, y, groups=groups, sample_weight=sample_weight)
        extractor = with_quality(
            open_extractor(self.backbone, self.preprocessing, **self._extractor_options()),
            _enum_member(Quality, self.quality, "quality"),
            [self.views] if isinstance(self.views, str) else self.views,
            paths=dataset.paths,
        )
        costs = {} if self.budget is None else measure_costs(extractor, dataset.paths)
        extractor, budget = within_budget(extractor, costs, self.budget)
        if extractor.others and not self.views and is_large(dataset):
            trial = try_views(dataset, extractor, settings, budget=budget)
            extractor, budget = trial.extractor, trial.budget
        self._extractor = extractor
        found = fit(dataset, extractor, settings, budget=budget)
        self.fit_result_ = replace(found, model=replace(found.model, label_type=label_type))
        self._extractor = self._extractor.only(found.views)
        self._use(self.fit_result_.model)
        if conflicts := self.fit_result_.conflicts:
            warnings.warn(
                f"{pluralize(len(conflicts), 'image')} with conflicting labels excluded; see "
                "fit_result_.conflicts",
                HeadstartWarning,
                stacklevel=2,
            )
        if skipped := self.fit_result_.skipped:
            reasons = count_reasons(one.reason for one in skipped)
            warnings.warn(
                f"{pluralize(len(skipped), 'image was', 'images were')} excluded "
                f"({reasons}); the first is {skipped[0].path}, all are in "
                "fit_result_.skipped",
                HeadstartWarning,
                stacklevel=2,
            )
        return self

    def predict_proba(self, X: Images) -> Floats:
        """Return class probabilities.

        Args:
            X: N paths of image files, or an `ImageDataset`.

        Returns:
            (N, K) float32, columns in the order of `classes_`; rows sum to 1.

        Raises:
            DataError: An image cannot be read; `predictions` skips such images instead.
        """
        return self._all_predictions(image_paths(X)).probabilities

    def predict_log_proba(self, X: Images) -> Floats:
        """Return the natural logarithm of `predict_proba`, at least -88: finite in float32."""
        found = self.predict_proba(X)
        return np.log(np.maximum(found, np.finfo(np.float32).tiny))

    def predict_set(
        self, X: Images, *, coverage: float = 0.9, by_class: bool = False
    ) -> np.ndarray:
        """Return sets of classes that contain the true one with a chosen probability.

        Args:
            X: N paths of image files, or an `ImageDataset`.
            coverage: That probability, in (0, 1).
            by_class: Whether it is wanted for the images of each class, not only for all.

        Returns:
            (N, K) bool, columns in the order of `classes_`; every row has at least one class.
            The classes of the first image are `classes_[sets[0]]`.

        Raises:
            DataError: An image cannot be read, `coverage` is not between 0 and 1, or the model has
                no calibration images.
        """
        check_is_fitted(self, "model_")
        check_coverage(coverage)
        return self.model_.prediction_sets(self.predict_proba(X), coverage, by_class=by_class)

    def predict(self, X: Images) -> np.ndarray:
        """Return the most probable class of each of N images, as an (N,) array of `classes_`."""
        best = self.predict_proba(X).argmax(1)
        labels: np.ndarray = self.classes_[best]
        return labels

    def novelty(self, X: Images) -> Doubles:
        """Return how usual each image would be among images of the known classes.

        Args:
            X: N paths of image files, or an `ImageDataset`.

        Returns:
            (N,) in (0, 1], the share of images of the known classes that are at least as
            unlike the training images. To call those at most 0.05 unknown is wrong for 5% of the
            images of known classes.

        Raises:
            DataError: An image cannot be read, or there were too few training images to tell.
        """
        found = self._all_predictions(image_paths(X))
        if found.novelty is None:
            raise DataError(
                f"the model was trained on too few images to tell what it does not know; give "
                f"{MIN_IMAGES} or more"
            )
        return found.novelty

    def score(
        self,
        X: Images,
        y: Iterable[object] | None = None,
        sample_weight: Iterable[float] | None = None,
    ) -> float:
        """Return the accuracy on N images, in [0, 1].

        Args:
            X: N paths of image files, or an `ImageDataset`, which includes labels; if it has a
                test part, only that part is used.
            y: N labels for the paths; a label that the model does not know counts as an error.
            sample_weight: (N,) weight of each image; by default all weigh the same.

        Raises:
            DataError: There are no labels, an image cannot be read, or the numbers of images,
                labels and weights differ.
            NotFittedError: The classifier has not been fitted yet.
        """
        check_is_fitted(self, "model_")
        if isinstance(X, ImageDataset):
            if y is not None:
                raise DataError(
                    f"{X.name} has labels of its own; give its paths: score(X.paths, y)"
                )
            X = X.test_images()
            y = [X.classes[label] for label in X.labels]
        if y is None:
            raise DataError("paths need labels: score(paths, labels)")
        model, paths = self.model_, image_paths(X)
        truth = match_labels(y, model.classes, model.label_type)
        check_lengths(len(paths), len(truth), "label")
        if not paths:
            raise DataError("there is no image to score; give at least one")
        weights = None if sample_weight is None else checked_weights(sample_weight, len(paths))
        best = self.predict_proba(paths).argmax(1)
        correct = [model.classes[index] == name for index, name in zip(best, truth, strict=True)]
        return float(np.average(correct, weights=weights))

    def predictions(self, X: Images) -> Predictions:
        """Predict the images that can be read, and list the others."""
        check_is_fitted(self, "model_")
        if not hasattr(self, "_extractor"):
            self._extractor = self._open(self.model_)
        return predict(self.model_, self._extractor, image_paths(X))

    def _all_predictions(self, paths: list[Path]) -> Predictions:
        """Predict images that must all be readable."""
        found = self.predictions(paths)
        if found.skipped:
            reasons = count_reasons(one.reason for one in found.skipped)
            raise DataError(
                f"{len(found.skipped):,} of {pluralize(len(paths), 'image')} cannot be read "
                f"({reasons}); the first is {found.skipped[0].path}; remove "
                "them, or use predictions()"
            )
        return found

    def __getstate__(self) -> dict[str, Any]:
        # A compiled network cannot move to another process. It is compiled again there, after a
        # check of the weights found there.
        state: dict[str, Any] = dict(super().__getstate__())
        state.pop("_extractor", None)
        return state

    def save(self, folder: str | Path) -> None:
        """Write the model to a folder: a manifest, arrays and a model card, without pickle."""
        check_is_fitted(self, "model_")
        save_model(self.model_, Path(folder))

    @classmethod
    def load(
        cls,
        folder: str | Path,
        *,
        backbone: str | Path | Module | None = None,
        allow_download: bool = False,
        allow_code: bool = False,
        **options: Any,
    ) -> Self:
        """Load a model that `save` or `headstart fit` wrote, without running any code in it.

        Args:
            folder: The folder of the model.
            backbone: The network of your own that it was trained on: the same module, or the file.
            allow_download: Whether to download the backbone's weights if this machine lacks them.
            allow_code: As for `headstart.load_backbone`.
            options: `weights`, `engine`, `precision` or `cache`, as for the constructor.

        Raises:
            SavedModelError: The folder is not a model, is damaged or too new, or the backbone's
                weights on this machine are not those that the model was trained with.
        """
        model = load_model(Path(folder))
        self = cls(
            backbone=own_or_recorded(backbone, model.origin, options.get("cache")),
            preprocessing=model.origin.preprocessing,
            head=first_head(model),
            stage=AUTO if model.members else model.origin.stages,
            views=views_to_fit(model),
            balance=model.balanced,
            seed=model.seed,
            **options,
        )
        self._extractor = self._open(model, allow_download=allow_download, allow_code=allow_code)
        self._use(model)
        return self

    def _use(self, model: Model) -> None:
        self.model_ = model
        self.classes_ = decode_labels(model.classes, model.label_type)

    def _open(self, model: Model, **allowed: Any) -> Extractor:
        own = own_module(self.backbone, self.preprocessing)
        return build_model_extractor(model, backbone=own, **allowed, **self._extractor_options())

    def _extractor_options(self) -> dict[str, Any]:
        return {
            "weights": own_file(self.backbone, self.weights),
            "engine": _enum_member(EngineName, self.engine, "engine"),
            "precision": _enum_member(Precision, self.precision, "precision"),
            "cache": Path(self.cache) if self.cache else None,
        }


def _enum_member(kind: Any, value: str, option: str) -> Any:
    try:
        return kind(value)
    except ValueError:
        known = ", ".join(kind)
        raise BackboneError(f"there is no {option} {value!r}; choose one of {known}") from None
