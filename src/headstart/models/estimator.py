"""The classifier as a scikit-learn estimator."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from headstart.errors import HeadstartWarning, UserError
from headstart.features.cost import measure_costs
from headstart.images.preprocessing import Preprocessing
from headstart.models.budget import within_budget
from headstart.models.fit import first_head
from headstart.models.fit_settings import FitSettings
from headstart.models.image_inputs import labeled_images
from headstart.models.image_predictor import ImagePredictor
from headstart.models.image_sources import Images
from headstart.models.label_encoding import decode_labels
from headstart.models.network_options import enum_member
from headstart.models.own_backbone import open_extractor, own_or_recorded
from headstart.models.quality import views_to_fit, with_quality
from headstart.models.saved_model import load_model, save_model
from headstart.models.train_test_split import hold_out_warnings
from headstart.models.trained_model import Model
from headstart.models.training import excluded_texts, fit_views
from headstart.system.cache_folder import cache_root
from headstart.system.progress import progress
from headstart.types import AUTO, DEFAULT_BACKBONE, Quality

if TYPE_CHECKING:
    from torch.nn import Module

_LOADED = ("weights", "engine", "precision", "device", "cache", "verbose")
"""Options of `Classifier.load`; the other settings are those of the training."""


class Classifier(ImagePredictor, ClassifierMixin, BaseEstimator):  # type: ignore[misc] # no types
    """An image classifier: a frozen pre-trained network and a head trained on your images.

    Images are given as an `ImageDataset`, or as a list or generator of paths, Pillow images,
    arrays, bytes of image files and files opened in binary mode, also mixed. Arrays are RGB,
    (H, W, 3), or gray, (H, W), of uint8 or of floats from 0 to 1; an array may also hold several,
    (N, H, W, 3). OpenCV's are BGR: give `frame[..., ::-1]`. Pillow images are turned upright as
    their EXIF data says. Features are kept in the cache: fitting again, with other options or on
    another fold, does not run the network again.

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
        hold_out: Share of the images to hold out for testing, in [0, 1); 0 to cross-validate.
        allow_download: With quality "best", also try the networks of `headstart backbones --ladder`
            and download those that are not on this machine.
        allow_code: As for `headstart.load_backbone`.
        engine: "auto", "openvino" or "pytorch".
        precision: "auto", "f32" or "bf16".
        device: "auto", "cpu", "cuda" or "mps".
        cache: The cache folder; by default HEADSTART_CACHE or the platform's.
        seed: Random seed of the cross-validation folds.
        verbose: Whether to show progress; None does so in terminals and notebooks only.

    Attributes:
        classes_: (K,) classes as they were given (3 stays 3), sorted: also numbers by value.
        model_: The trained `headstart.Model`, with its estimated accuracy.
        fit_result_: The `headstart.FitResult` of the training, with the files that were skipped.

    Example:
        >>> from headstart import Classifier, open_dataset
        >>> classifier = Classifier().fit(open_dataset("photos/"))
        >>> classifier.predict(["new.jpg"]).tolist()
        ['cat']
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
        hold_out: float = 0.0,
        allow_download: bool = False,
        allow_code: bool = False,
        engine: str = AUTO,
        precision: str = AUTO,
        device: str = AUTO,
        cache: str | Path | None = None,
        seed: int = 0,
        verbose: bool | None = None,
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
        self.hold_out = hold_out
        self.allow_download = allow_download
        self.allow_code = allow_code
        self.engine = engine
        self.precision = precision
        self.device = device
        self.cache = cache
        self.seed = seed
        self.verbose = verbose

    def __repr__(self, N_CHAR_MAX: int = 700) -> str:
        if hasattr(self, "model_"):
            return repr(self.model_).replace("Model", "Classifier", 1)
        text: str = super().__repr__(N_CHAR_MAX)
        return text

    def fit(
        self,
        X: Images,
        y: Iterable[object] | None = None,
        groups: Iterable[object] | None = None,
        sample_weight: Iterable[float] | None = None,
    ) -> Self:
        """Train on images.

        Args:
            X: N images, as described above; an `ImageDataset` includes labels. Images in memory are
                kept as files in the cache.
            y: N labels of one kind; as text they are the class names of the model.
            groups: N names of groups; images of one group, such as those of one camera or one
                patient, are not independent. None is an image on its own. By default, series are
                found in the images.
            sample_weight: N weights in training, of which only the ratios count; images of weight 0
                are left out. The estimated accuracy counts the others equally.

        Raises:
            DataError: Fewer than two classes have a readable image, or there are no labels.
            BackboneError: The backbone, stage, engine or precision is unknown.
            StoreError: There are images in memory, and the cache cannot be written.

        Example:
            >>> from PIL import Image
            >>> paths = open_dataset("photos/").paths
            >>> images = [Image.open(path) for path in paths]
            >>> labels = [path.parent.name for path in paths]
            >>> Classifier().fit(images, labels).classes_.tolist()
            ['cat', 'dog']
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
            hold_out=self.hold_out,
            seed=self.seed,
        )
        given = labeled_images(
            X,
            y,
            cache=cache_root(Path(self.cache) if self.cache else None),
            groups=groups,
            sample_weight=sample_weight,
        )
        dataset = given.dataset
        for text in hold_out_warnings(dataset, self.hold_out):
            warnings.warn(text, HeadstartWarning, stacklevel=2)
        extractor = with_quality(
            open_extractor(
                self.backbone,
                self.preprocessing,
                allow_code=self.allow_code,
                **self._extractor_options(),
            ),
            enum_member(Quality, self.quality, "quality"),
            [self.views] if isinstance(self.views, str) else self.views,
            allow_download=self.allow_download,
            allow_code=self.allow_code,
            paths=dataset.paths,
        )
        costs = {} if self.budget is None else measure_costs(extractor, dataset.paths)
        extractor, budget = within_budget(extractor, costs, self.budget)
        with progress(verbose=self.verbose) as bars:
            found = fit_views(
                dataset, extractor, settings, budget=budget, named=bool(self.views), bars=bars.bar
            )
        found = given.named(found)
        self.fit_result_ = replace(found, model=replace(found.model, label_type=given.label_type))
        self._extractor = extractor.only(found.views)
        self._use(self.fit_result_.model)
        for text in excluded_texts(found):
            warnings.warn(text, HeadstartWarning, stacklevel=2)
        return self

    def save(self, folder: str | Path) -> None:
        """Write the model to a folder: a manifest, arrays and a model card, without pickle.

        Args:
            folder: The folder, which is replaced if it has a model.

        Example:
            >>> Classifier.load("model").save("copy-of-model")
        """
        check_is_fitted(self, "model_")
        save_model(self.model_, Path(folder))

    @classmethod
    def load(
        cls,
        folder: str | Path | Model,
        *,
        backbone: str | Path | Module | None = None,
        allow_download: bool = False,
        allow_code: bool = False,
        **options: Any,
    ) -> Self:
        """Load a model that `save` or `headstart fit` wrote, without running any code in it.

        Args:
            folder: The folder of the model, or the model itself.
            backbone: The network of your own that it was trained on: the same module, or the file.
            allow_download: Whether to download the backbone's weights if this machine lacks them.
            allow_code: As for `headstart.load_backbone`.
            options: `weights`, `engine`, `precision`, `device`, `cache` or `verbose`, as for the
                constructor.

        Raises:
            SavedModelError: The folder is not a model, is damaged or too new, or the backbone's
                weights on this machine are not those that the model was trained with.
            UserError: There is no such option.

        Example:
            >>> Classifier.load("model").predict(["new.jpg"]).tolist()
            ['cat']
        """
        if unknown := sorted(options.keys() - _LOADED):
            raise UserError(
                f"load takes no {unknown[0]!r}: what a model was trained with is stored in it; "
                f"options are {', '.join(_LOADED)}"
            )
        model = folder if isinstance(folder, Model) else load_model(Path(folder))
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
