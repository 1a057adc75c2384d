"""The linear probe that fine-tuning starts from, and the images behind it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from headstart.backbones.stages import LOGITS
from headstart.datasets import ImageDataset
from headstart.errors import DataError, UserError
from headstart.features.extraction import Features
from headstart.features.extractor import Extractor
from headstart.features.views import View, view_and_stage
from headstart.finetuning.settings import TuningRecipe
from headstart.heads.blend import BlendedHead
from headstart.heads.logistic import LinearHead, LogisticFamily
from headstart.models.fit import SECOND_HEADS, fit
from headstart.models.fit_result import FitResult
from headstart.models.fit_settings import FitSettings
from headstart.models.train_test_split import SplitFeatures
from headstart.models.trained_model import Model
from headstart.system.text import join_names
from headstart.types import Floats, ProgressCallback, no_progress

_LOGISTIC: Final = LinearHead.kind


def probe_stages(
    model: Model | None, stages: Sequence[str], recipe: TuningRecipe | None
) -> tuple[str, ...]:
    """Return the stages that feed the probe's head; empty to choose by cross-validation.

    The stages of a model to start from are kept, unless it has several members, of which each has
    its own; the classifier recipe uses the network's own logits instead of any stage.

    Raises:
        UserError: the model's head cannot be trained further, the model is already fine-tuned, or
            it has several members and the recipe replaces their stages.
    """
    # Of several views, second heads alone may have been chosen.
    trainable = {_LOGISTIC, *([SECOND_HEADS[_LOGISTIC]] if model and model.members else [])}
    if model is not None and trainable.isdisjoint(one.head for one in model.all_members):
        raise UserError(
            f"the model has a {model.head.kind} head, and only logistic ones can be trained "
            "further; fit a model with --head logistic --quality fast and start from that"
        )
    if model is not None and model.tuning is not None:
        raise UserError(
            "the model is already fine-tuned; start from the original model, with more --epochs"
        )
    several = model is not None and bool(model.members)
    if recipe is TuningRecipe.CLASSIFIER:
        if several:
            raise UserError(
                f"--recipe {recipe} trains a head on the outputs of one network, and the model has "
                "several views; start from a model that was fit with --quality fast"
            )
        return (LOGITS,)
    if several:
        return ()
    return tuple(stages) if model is None else model.origin.stages


def check_view(extractor: Extractor) -> None:
    """Check that the first view of an extractor shows an image as one input of the network.

    Raises:
        UserError: It shows it in parts, or more than once.
    """
    if extractor.view and not extractor.view.frame.differentiable:
        raise UserError(
            f"fine-tuning trains a network on images that it sees at once, and the first view of "
            f"the model, {extractor.view}, shows them in parts; start from a model whose first "
            "view does not, such as one that was fit with --quality fast"
        )


def start_of(probe: FitResult) -> Model:
    """Return a model of the one head that training starts from.

    It is the logistic head on the first view; of several the one with the largest weight. If there
    is none, it is a head of another family, with the default setting and no temperature, so that a
    logistic head can be trained on its stages.
    """
    model, heads = probe.model, [(probe.model.head, probe.model.temperature)]
    if isinstance(model.head, BlendedHead):
        heads = list(zip(model.head.members, model.head.temperatures.tolist(), strict=True))
    members, family = model.all_members, LogisticFamily()
    place = max(
        (place for place, view in enumerate(probe.views) if view == probe.views[0]),
        key=lambda place: (members[place].head == _LOGISTIC, members[place].weight),
    )
    head, temperature = heads[place]
    suits = members[place].head == _LOGISTIC
    return replace(
        model,
        head=head,
        temperature=temperature if suits else 1.0,
        setting=probe.settings[place] if suits else family.settings[family.default],
        origin=members[place].origin,
        members=(),
        accuracy=members[place].accuracy,
    )


def train_probe(
    dataset: ImageDataset,
    extractor: Extractor,
    fit_settings: FitSettings,
    model: Model | None,
    *,
    on_images: ProgressCallback = no_progress,
    on_candidates: ProgressCallback = no_progress,
) -> tuple[FitResult, SplitFeatures]:
    """Train a probe as `headstart.models.fit.fit` does, and return it with its images.

    With several views, that is a model of several members, of which one on the first view is the
    probe; the images have the features of this view.

    Raises:
        UserError: the images have other classes than `model`, or their test part contains images
            that it was trained on.
    """
    probe = fit(dataset, extractor, fit_settings, on_images=on_images, on_candidates=on_candidates)
    images = SplitFeatures.extract(dataset, extractor, fit_settings)
    if model is not None:
        _check_images(model, images)
        probe = replace(probe, model=_with_all_stages(probe.model, model))
    return probe, replace(images, features=_of_view(images.features, probe.views[0]))


def cross_validated(probe: FitResult, images: int) -> Floats:
    """Return cross-validated probabilities of all N training images, (N, K).

    Those of images outside of the sample that stages were selected on are equal: they tell nothing.

    Raises:
        DataError: Nothing could be held out.
    """
    if probe.cross_validated is None:
        raise DataError(
            "all images of each class are one series, so nothing can be held out to compare the "
            "fine-tuned network with the members of the model; give images of more series, or "
            "start from a model that was fit with --quality fast"
        )
    classes = len(probe.model.classes)
    found = np.full((images, classes), 1 / classes, np.float32)
    found[probe.sample] = probe.cross_validated
    return found


def _of_view(features: Features, view: View | None) -> Features:
    """Return the features of one view by the plain names of its stages."""
    wanted = None if view is None else str(view)
    named = {view_and_stage(name): array for name, array in features.values.items()}
    return replace(
        features, values={stage: one for (of, stage), one in named.items() if of == wanted}
    )


def _check_images(model: Model, images: SplitFeatures) -> None:
    if images.split.classes != model.classes:
        raise UserError(
            f"the model was trained on the classes {join_names(model.classes, 8)}, but these "
            f"images have {join_names(images.split.classes, 8)}; give the images that it was "
            "trained on, or start from the images alone"
        )
    digests = tuple(images.features.digests[row] for row in images.split.test)
    if seen := int(model.data.contains(digests).sum()):
        raise UserError(
            f"{seen} of the {len(digests)} test images were used to train the model; remove "
            "--seed and --holdout, or start from the images alone"
        )


def _with_all_stages(probe: Model, model: Model) -> Model:
    """Add the accuracies of the stages that only `model` compared, if its images are the same."""
    same = np.array_equal(probe.data.digests, model.data.digests) and all(
        model.accuracy_by_stage.get(stage, accuracy) == accuracy
        for stage, accuracy in probe.accuracy_by_stage.items()
    )
    accuracies = {**model.accuracy_by_stage, **probe.accuracy_by_stage}
    return replace(probe, accuracy_by_stage=accuracies) if same else probe
