"""The linear probe that fine-tuning starts from, and the images behind it."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from headstart.backbones.stages import LOGITS
from headstart.datasets import ImageDataset
from headstart.errors import UserError
from headstart.features.extraction import Features
from headstart.features.extractor import Extractor
from headstart.features.views import View, view_and_stage
from headstart.finetuning.settings import TuningRecipe
from headstart.heads.blend import BlendedHead
from headstart.heads.logistic import LinearHead
from headstart.models.fit import fit
from headstart.models.fit_result import FitResult
from headstart.models.fit_settings import FitSettings
from headstart.models.train_test_split import SplitFeatures
from headstart.models.trained_model import Model
from headstart.system.text import join_names
from headstart.types import Floats, ProgressCallback, no_progress


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
    head = None if model is None else first_member(model).head
    if head is not None and not isinstance(head, LinearHead):
        raise UserError(
            f"the model has a {head.kind} head, which has no gradient; fit a model with "
            "--head logistic and start from that"
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


def first_member(model: Model) -> Model:
    """Return the model of the first of several members alone; the model itself if it has one."""
    if not isinstance(model.head, BlendedHead):
        return model
    return replace(
        model,
        head=model.head.members[0],
        temperature=float(model.head.temperatures[0]),
        members=(),
        accuracy=model.members[0].accuracy,
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

    With several views, that is a model of several members, of which the first is the probe; the
    images have the features of its view.

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
    """
    assert probe.cross_validated is not None
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
