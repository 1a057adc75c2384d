"""The frozen network as a scikit-learn transformer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from headstart.backbones.stages import check_stages
from headstart.heads.candidates import join_stages
from headstart.images.preprocessing import Preprocessing
from headstart.models.image_sources import Images
from headstart.models.network_options import NetworkOptions, feature_names, readable_features
from headstart.models.own_backbone import open_extractor
from headstart.types import AUTO, DEFAULT_BACKBONE, Floats

if TYPE_CHECKING:
    from torch.nn import Module

    from headstart.features.extractor import Extractor


class Featurizer(TransformerMixin, NetworkOptions, BaseEstimator):  # type: ignore[misc] # no types
    """Turns images into the features that a frozen pre-trained network computes.

    Nothing is learned from the images, so that it may be used without `fit`. Features are kept in
    the cache: in a cross-validation the network runs once for each image.

    Args:
        backbone: As for `headstart.Classifier`.
        stage: Name of a stage of the network, or several names; "auto" for the last, the input of
            the network's own classifier. `headstart backbones` lists them.
        preprocessing: As for `headstart.Classifier`, as are the others.
        weights: A file with the backbone's weights.
        engine: "auto", "openvino" or "pytorch".
        precision: "auto", "f32" or "bf16".
        device: "auto", "cpu", "cuda" or "mps".
        cache: The cache folder; by default HEADSTART_CACHE or the platform's.

    Example:
        >>> from headstart import Featurizer, open_dataset
        >>> from sklearn.linear_model import LogisticRegression
        >>> from sklearn.pipeline import Pipeline
        >>> photos = open_dataset("photos/")
        >>> head = LogisticRegression(max_iter=1000)
        >>> pipeline = Pipeline([("features", Featurizer()), ("head", head)])
        >>> pipeline.fit(photos.paths, photos.labels).predict(["new.jpg"]).tolist()
        [0]
    """

    def __init__(
        self,
        backbone: str | Path | Module = DEFAULT_BACKBONE,
        *,
        stage: str | Sequence[str] = AUTO,
        preprocessing: Preprocessing | Mapping[str, Any] | None = None,
        weights: str | Path | None = None,
        engine: str = AUTO,
        precision: str = AUTO,
        device: str = AUTO,
        cache: str | Path | None = None,
    ) -> None:
        self.backbone = backbone
        self.stage = stage
        self.preprocessing = preprocessing
        self.weights = weights
        self.engine = engine
        self.precision = precision
        self.device = device
        self.cache = cache

    def fit(self, X: Images | None = None, y: object = None) -> Self:
        """Open the network; no image is read.

        Args:
            X: Ignored, as is `y`; scikit-learn passes them.
            y: Ignored.

        Raises:
            BackboneError: The backbone, stage, engine or precision is unknown.

        Example:
            >>> Featurizer().fit().get_feature_names_out()[-1]
            'head_1279'
        """
        del X, y
        self.__dict__.pop("_extractor", None)  # the options may have changed
        self._open()
        return self

    def transform(self, X: Images) -> Floats:
        """Return the features of images.

        Args:
            X: N images; see `headstart.Classifier`.

        Returns:
            (N, D) float32, averages over positions; several stages side by side.

        Raises:
            DataError: An image cannot be read.

        Example:
            >>> Featurizer(stage="blocks.2").transform(["new.jpg", "cat.png"]).shape
            (2, 40)
        """
        extractor, stages = self._open()
        return join_stages(readable_features(extractor, X, stages).values, stages)

    def get_feature_names_out(self, input_features: object = None) -> np.ndarray:
        """Return the name of each of the D features: its stage, and its place in that.

        Args:
            input_features: Ignored; scikit-learn passes it.

        Example:
            >>> Featurizer(stage="blocks.0").get_feature_names_out()[:2].tolist()
            ['blocks.0_0', 'blocks.0_1']
        """
        del input_features
        return np.array(feature_names(*self._open()), dtype=object)

    def _open(self) -> tuple[Extractor, list[str]]:
        """Return the network, opened on first use, and the stages wanted."""
        if not hasattr(self, "_extractor"):
            self._extractor = open_extractor(
                self.backbone, self.preprocessing, **self._extractor_options()
            )
        backbone = self._extractor.backbone
        if isinstance(self.stage, str):
            stages = [backbone.stages[-1].name if self.stage == AUTO else self.stage]
        else:
            stages = list(self.stage)
        check_stages(backbone.name, self._extractor.widths(), stages)
        return self._extractor, stages

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        return tags
