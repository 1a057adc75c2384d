"""Put a model together from what training found: its members, its data, its accuracies."""

import numpy as np

from headstart.datasets.review import was_dropped
from headstart.features.extractor import Extractor
from headstart.features.views import view_and_stage
from headstart.heads.head import Head
from headstart.models.fit_settings import FitSettings
from headstart.models.members import ChosenMember, ChosenMembers
from headstart.models.train_test_split import SplitFeatures
from headstart.models.trained_model import (
    AccuracyEstimate,
    BackboneOrigin,
    Member,
    Model,
    TrainingData,
)
from headstart.types import EstimateMethod, Labels


def assemble_model(
    data: SplitFeatures,
    extractor: Extractor,
    settings: FitSettings,
    sample: Labels,
    chosen: ChosenMembers,
    head: Head,
    accuracies: tuple[AccuracyEstimate, AccuracyEstimate | None],
) -> Model:
    """Put a model together, still without a novelty detector and calibration images.

    Args:
        data: The images, divided into training and test.
        extractor: The views that were tried.
        settings: How the heads were trained.
        sample: Positions in `data.split.train` of the images that stages were selected on.
        chosen: The members.
        head: The trained head, of one member or of all.
        accuracies: The accuracy on new scenes, and on the same scenes.
    """
    split, series = data.split, data.split.series.subset(sample)
    clusters = series.groups if series else None
    train_paths = [data.dataset.paths[row] for row in split.train]
    members = [_member(one, data, extractor, sample, clusters) for one in chosen.members]
    choice = members[0].accuracy
    return Model(
        classes=split.classes,
        head=head,
        temperature=chosen.whole.temperature,
        setting=chosen.members[0].selection.setting,
        balanced=settings.balance,
        seed=settings.seed,
        origin=members[0].origin,
        members=tuple(members) if len(members) > 1 else (),
        data=_training_data(data),
        accuracy=accuracies[0],
        series=split.series.summary(train_paths),
        accuracy_same_scenes=accuracies[1],
        accuracy_by_stage={
            view_and_stage(stage)[1]: AccuracyEstimate.of(
                correct, EstimateMethod.CROSS_VALIDATION, clusters=clusters
            )
            for stage, correct in chosen.members[0].selection.correct_by_stage.items()
        },
        accuracy_of_choice=choice if choice.value is not None else None,
    )


def _member(
    chosen: ChosenMember,
    data: SplitFeatures,
    extractor: Extractor,
    sample: Labels,
    clusters: Labels | None,
) -> Member:
    """Describe a member of a model."""
    source = extractor if chosen.view is None else extractor.others[chosen.view]
    weights, plan, accuracy = source.backbone.weights, source.effective_plan, None
    if chosen.selection.probabilities is not None:
        correct = chosen.selection.probabilities.argmax(1) == data.split.labels[sample]
        accuracy = AccuracyEstimate.of(correct, EstimateMethod.CROSS_VALIDATION, clusters=clusters)
    return Member(
        origin=BackboneOrigin(
            backbone=source.backbone.name,
            weights=weights.digest,
            source=weights.source,
            license=weights.license,
            view=str(source.view) if source.view else None,
            stages=tuple(view_and_stage(stage)[1] for stage in chosen.selection.candidate.stages),
            engine=str(plan.engine),
            precision=str(plan.precision),
            preprocessing=source.backbone.stated,
        ),
        head=chosen.selection.head,
        weight=chosen.weight,
        accuracy=accuracy or AccuracyEstimate.unknown(),
    )


def _training_data(data: SplitFeatures) -> TrainingData:
    split = data.split
    digests = np.frombuffer(bytes.fromhex("".join(split.train_digests)), np.uint8)
    return TrainingData(
        name=data.dataset.name,
        license=data.dataset.license,
        images=tuple(np.bincount(split.labels, minlength=len(split.classes)).tolist()),
        duplicates=split.curated.duplicates,
        conflicts=len(split.curated.conflicts),
        skipped=len(data.skipped),
        dropped=sum(was_dropped(one) for one in data.skipped),
        relabeled=data.dataset.relabeled,
        digests=digests.reshape(-1, 16),
    )
