"""What a trained classifier says about images: the part of the estimator that predicts."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sized
from dataclasses import replace
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import TransformerMixin
from sklearn.utils.validation import check_is_fitted

from headstart.datasets import ImageDataset
from headstart.errors import DataError
from headstart.evaluation.conformal import check_coverage
from headstart.heads.candidates import join_stages
from headstart.models.image_inputs import check_lengths, checked_weights
from headstart.models.image_sources import Images, image_sources, several_images
from headstart.models.label_encoding import match_labels
from headstart.models.model_backbone import build_model_extractor
from headstart.models.network_options import (
    NetworkOptions,
    check_all_read,
    feature_names,
    readable_features,
)
from headstart.models.online_prediction import OnlinePredictor
from headstart.models.own_backbone import own_module
from headstart.models.prediction import SHOWN, Predictions, predictions_from
from headstart.models.prediction_stream import ImagePrediction, PredictionStream
from headstart.models.trained_model import Model
from headstart.novelty.cross_fitting import MIN_IMAGES
from headstart.system.progress import progress
from headstart.types import Doubles, Floats

if TYPE_CHECKING:
    from headstart.features.extractor import Extractor


class ImagePredictor(TransformerMixin, NetworkOptions):  # type: ignore[misc] # sklearn has no types
    """Predicts images with a trained model.

    Attributes:
        classes_: (K,) the classes as they were given.
        model_: The trained model.
    """

    classes_: np.ndarray
    model_: Model
    verbose: bool | None

    def predict_proba(self, X: Images) -> Floats:
        """Return class probabilities.

        Args:
            X: N images; see `Classifier`.

        Returns:
            (N, K) float32, columns in the order of `classes_`; rows sum to 1.

        Raises:
            DataError: An image cannot be read; `predictions` skips such images instead.

        Example:
            >>> classifier = Classifier.load("model")
            >>> classifier.predict_proba(["new.jpg", "cat.png"]).shape
            (2, 2)
        """
        return self._all_predictions(X).probabilities

    def predict_log_proba(self, X: Images) -> Floats:
        """Return the natural logarithm of `predict_proba`, at least -88: finite in float32.

        Example:
            >>> bool((Classifier.load("model").predict_log_proba(["new.jpg"]) < 0).all())
            True
        """
        found = self.predict_proba(X)
        return np.log(np.maximum(found, np.finfo(np.float32).tiny))

    def predict_set(
        self, X: Images, *, coverage: float = 0.9, by_class: bool = False
    ) -> np.ndarray:
        """Return sets of classes that contain the true one with a chosen probability.

        Args:
            X: N images; see `Classifier`.
            coverage: That probability, in (0, 1).
            by_class: Whether it is wanted for the images of each class, not only for all.

        Returns:
            (N, K) bool, columns in the order of `classes_`; every row has at least one class.

        Raises:
            DataError: An image cannot be read, `coverage` is not between 0 and 1, or the model has
                no calibration images.

        Example:
            >>> classifier = Classifier.load("model")
            >>> sets = classifier.predict_set(["new.jpg"], coverage=0.8)
            >>> classifier.classes_[sets[0]].tolist()
            ['cat']
        """
        check_is_fitted(self, "model_")
        check_coverage(coverage)
        return self.model_.prediction_sets(self.predict_proba(X), coverage, by_class=by_class)

    def predict(self, X: Images) -> np.ndarray:
        """Return the most probable class of each of N images, as an (N,) array of `classes_`.

        Args:
            X: N images; see `Classifier`.

        Raises:
            DataError: An image cannot be read; `predictions` skips such images instead.

        Example:
            >>> from PIL import Image
            >>> classifier = Classifier.load("model")
            >>> image = Image.open("new.jpg")
            >>> classifier.predict(["new.jpg", image, np.asarray(image)]).tolist()
            ['cat', 'cat', 'cat']
        """
        best = self.predict_proba(X).argmax(1)
        labels: np.ndarray = self.classes_[best]
        return labels

    def predict_iter(self, images: Images, *, batch: int = 16) -> Generator[ImagePrediction]:
        """Predict images one after the other, however many come, in bounded memory.

        The answers are those of `predict_proba`, up to rounding; features are neither looked up nor
        stored.

        Args:
            images: See `Classifier`; a generator may go on forever. It runs in the caller's thread.
            batch: Number of images that are predicted together. More are faster; with 1, no image
                is taken before its prediction is asked for, as for the frames of a camera.

        Returns:
            A prediction for each image, in their order; for one that cannot be used, with the
            reason as `error`. If `images` raises an exception, it comes after the predictions of
            the images before.

        Raises:
            DataError: There are no images in what was given.
            UserError: `batch` is not a whole number of at least 1.

        Example:
            >>> frames = (np.full((48, 64, 3), level, np.uint8) for level in (20, 200))
            >>> stream = Classifier.load("model").predict_iter(frames, batch=1)
            >>> [found.image for found in stream]
            ['image 0', 'image 1']
            >>> next(Classifier.load("model").predict_iter(["absent.jpg"])).error
            'no such file'
        """
        check_is_fitted(self, "model_")
        predictor = OnlinePredictor(self.model_, self.extractor)
        stream = PredictionStream(predictor, self.classes_, batch=batch)
        return stream.predict(several_images(images))

    def novelty(self, X: Images) -> Doubles:
        """Return how usual each image would be among images of the known classes.

        Args:
            X: N images; see `Classifier`.

        Returns:
            (N,) in (0, 1], the share of images of the known classes that are at least as
            unlike the training images. To call those at most 0.05 unknown is wrong for 5% of the
            images of known classes.

        Raises:
            DataError: An image cannot be read, or there were too few training images to tell.

        Example:
            >>> bool(Classifier.load("model").novelty(["new.jpg"])[0] > 0.05)
            True
        """
        found = self._all_predictions(X)
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
            X: N images; see `Classifier`. An `ImageDataset` includes labels; if it has a test part,
                only that part is used.
            y: N labels for the images; a label that the model does not know counts as an error.
            sample_weight: (N,) weight of each image; by default all weigh the same.

        Raises:
            DataError: There are no labels, an image cannot be read, or the numbers of images,
                labels and weights differ.
            NotFittedError: The classifier has not been fitted yet.

        Example:
            >>> Classifier.load("model").score(["new.jpg"], ["cat"])
            1.0
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
            raise DataError("images need labels: score(images, labels)")
        truth = match_labels(y, self.model_.classes, self.model_.label_type)
        weights = None if sample_weight is None else checked_weights(sample_weight, len(truth))
        if isinstance(X, Sized):  # before any is predicted
            check_lengths(len(X), len(truth), "label")
        best = self.predict_proba(X).argmax(1)
        check_lengths(len(best), len(truth), "label")
        if not len(best):
            raise DataError("there is no image to score; give at least one")
        names = [self.model_.classes[index] for index in best]
        correct = [name == true for name, true in zip(names, truth, strict=True)]
        return float(np.average(correct, weights=weights))

    def predictions(self, X: Images) -> Predictions:
        """Predict the images that can be read, and list the others.

        Args:
            X: N images; see `Classifier`.

        Example:
            >>> found = Classifier.load("model").predictions(["new.jpg", "absent.jpg"])
            >>> found.rows.tolist(), found.skipped[0].reason
            ([0], 'no such file')
        """
        check_is_fitted(self, "model_")
        sources = image_sources(X)
        first = list(islice(sources, SHOWN))
        with progress(verbose=self.verbose) as bars:
            features = self.extractor.extract_stream(
                chain(first, sources),
                stages=self.model_.stages,
                progress=bars.bar("images", "images"),
            )
        return replace(predictions_from(self.model_, features), images=tuple(first))

    def transform(self, X: Images) -> Floats:
        """Return the features that the model's head uses.

        Args:
            X: N images; see `Classifier`.

        Returns:
            (N, D) float32, the stages of the model side by side.

        Raises:
            DataError: An image cannot be read.

        Example:
            >>> classifier = Classifier.load("model")
            >>> features = classifier.transform(["new.jpg", "cat.png"])
            >>> features.shape == (2, len(classifier.get_feature_names_out()))
            True
        """
        check_is_fitted(self, "model_")
        stages = self._stages()
        return join_stages(readable_features(self.extractor, X, stages).values, stages)

    def get_feature_names_out(self, input_features: object = None) -> np.ndarray:
        """Return the name of each of the D features of `transform`: its stage, and its place there.

        Args:
            input_features: Ignored; scikit-learn passes it.

        Example:
            >>> Classifier.load("model").get_feature_names_out()[0].endswith("_0")
            True
        """
        del input_features
        check_is_fitted(self, "model_")
        return np.array(feature_names(self.extractor, self._stages()), dtype=object)

    def _stages(self) -> list[str]:
        """Return the stages that the head uses; two of its members may use one."""
        return list(dict.fromkeys(self.model_.stages))

    def _all_predictions(self, X: Images) -> Predictions:
        """Predict images that must all be readable."""
        found = self.predictions(X)
        check_all_read(found.skipped, len(found.rows), instead=", or use predictions()")
        return found

    @property
    def extractor(self) -> Extractor:
        """What runs the model's networks, opened on first use."""
        check_is_fitted(self, "model_")
        if not hasattr(self, "_extractor"):
            self._extractor = self._open(self.model_)
        return self._extractor

    def _open(self, model: Model, **allowed: Any) -> Extractor:
        own = own_module(self.backbone, self.preprocessing)
        return build_model_extractor(model, backbone=own, **allowed, **self._extractor_options())
