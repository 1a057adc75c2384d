"""Train a classifier: on a frozen network, or by fine-tuning it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.api.inputs import (
    Data,
    TrainedModel,
    check_settings,
    give_warnings,
    open_backbone,
    open_data,
    open_model_extractor,
)
from headstart.errors import UserError
from headstart.evaluation.breakdown import breakdown_warnings
from headstart.finetuning.settings import TuningSettings
from headstart.images.preprocessing import Preprocessing
from headstart.models.data_location import find_data_location
from headstart.models.estimator import Classifier
from headstart.models.saved_model import save_model
from headstart.models.train_test_split import hold_out_warnings
from headstart.system.cache_folder import cache_root
from headstart.system.progress import progress
from headstart.types import AUTO, DEFAULT_BACKBONE

if TYPE_CHECKING:
    from torch.nn import Module

    from headstart.finetuning.finetune import FineTuneResult


def fit(data: Data, *, out: str | Path | None = None, **settings: Any) -> Classifier:
    """Train a classifier on labeled images, and test it.

    Args:
        data: A data set, or the path or name of one, as for `headstart.open_dataset`.
        out: Folder to write the model to; None writes nothing.
        settings: Those of `headstart.Classifier`, such as `quality="best"`, `hold_out=0.2` or
            `verbose=False`.

    Returns:
        The fitted classifier: `predict` takes images, `model_` has the accuracy, and
            `fit_result_` the details: `recalls` by class, and `largest_class`, what always
            answering the largest class would get right. A warning says if that is not clearly less.

    Raises:
        DataError: The data cannot be read, or fewer than two classes have a readable image.
        BackboneError: The backbone, a stage, the engine or the precision is unknown.
        UserError: A setting is unknown or impossible.

    Example:
        >>> import headstart
        >>> classifier = headstart.fit("photos/")
        >>> classifier.predict(["new.jpg"]).tolist()
        ['cat']
    """
    check_settings(settings, Classifier, fit)
    classifier = Classifier(**settings)
    with progress(verbose=classifier.verbose) as bars:
        dataset = open_data(data, bars, cache=classifier.cache)
    classifier.fit(dataset)
    result = classifier.fit_result_
    weak = breakdown_warnings(result.largest_class, result.recalls, balanced=result.model.balanced)
    give_warnings([*classifier.extractor.warnings, *weak])
    if out is not None:
        classifier.save(out)
    return classifier


def finetune(
    data: Data,
    *,
    model: TrainedModel | None = None,
    settings: TuningSettings | None = None,
    backbone: str | Path | Module = DEFAULT_BACKBONE,
    preprocessing: Preprocessing | Mapping[str, Any] | None = None,
    balance: bool = False,
    hold_out: float | None = None,
    out: str | Path | None = None,
    allow_download: bool = False,
    verbose: bool | None = None,
    cache: str | Path | None = None,
    device: str = AUTO,
    **changes: Any,
) -> FineTuneResult:
    """Fine-tune the network, and add it to the model if their average is better.

    Args:
        data: The images that `model` was trained on; or, without one, labeled images.
        model: A model to start from, a fitted classifier or the folder of a model; by default a
            head is trained first, as `headstart.fit` does.
        settings: How to train.
        backbone: Without a `model`, the network: its name, its file, or a module.
        preprocessing: Without a `model`, how images are prepared for a network of your own, as for
            `headstart.Classifier`.
        balance: Without a `model`, weight all classes equally.
        hold_out: Share of the images to hold out for testing, in [0, 1); by default as `model` was
            trained on this machine, or 0.
        out: Folder to write the model to; None writes nothing.
        allow_download: Whether to download the weights of the model's network.
        verbose: Whether to show progress; None does so in terminals and notebooks only.
        cache: The cache folder, as for `headstart.Classifier`.
        device: Where the networks run, as for `headstart.Classifier`.
        changes: Single settings, such as `epochs=5`; see `headstart.TuningSettings`.

    Returns:
        The result: `model` is the better one of both or their average, and `kept` tells whether it
            is fine-tuned. `headstart.Classifier.load(result.model)` predicts with it; give it the
            `backbone` as well if that is a module.

    Raises:
        DataError: The data cannot be read, or fewer than two classes have a readable image.
        MissingExtraError: PyTorch is not installed.
        UserError: A setting is unknown or impossible, or contradicts another one.

    Example:
        >>> import headstart
        >>> result = headstart.finetune("photos/", epochs=1, views=1, depth=1, validation=0.4)
        >>> classifier = headstart.Classifier.load(result.model)
    """
    from headstart.finetuning.finetune import TuningProgress
    from headstart.finetuning.finetune import finetune as tune

    if model is not None and (balance or preprocessing is not None or backbone != DEFAULT_BACKBONE):
        raise UserError(
            "the model has a network and class weights; leave out backbone, preprocessing and "
            "balance"
        )
    check_settings(changes, TuningSettings, finetune)
    trained, share = None, hold_out
    runtime: dict[str, Any] = {"cache": cache} if cache else {}
    if device != AUTO:
        runtime["device"] = device
    if model is None:
        extractor = open_backbone(backbone, preprocessing, **runtime)
    else:
        trained, extractor = open_model_extractor(model, allow_download=allow_download, **runtime)
        if settings is None:
            changes = {"seed": trained.seed} | changes
        if hold_out is None:
            root = cache_root(Path(cache) if cache else None)
            known = find_data_location(root, trained.data)
            share = known.holdout if known else 0.0
    with progress(verbose=verbose) as bars:
        dataset = open_data(data, bars, cache=cache)
        give_warnings(hold_out_warnings(dataset, hold_out))
        result = tune(
            dataset,
            extractor,
            replace(settings or TuningSettings(), **changes),
            model=trained,
            balance=balance,
            hold_out=share or 0.0,
            progress=TuningProgress(
                images=bars.bar("images", "images"),
                candidates=bars.bar("choosing stages", "candidates"),
                views=bars.bar("augmented images", "images"),
                steps=bars.rounds("epoch", "steps"),
            ),
        )
    give_warnings(extractor.warnings)
    if out is not None:
        save_model(result.model, Path(out))
    return result
