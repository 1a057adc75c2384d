"""Try further views of a large data set cheaply: which of them are worth a pass over all images?

Where the first view makes almost no error, no further one can pay. Otherwise the views are tried on
a sample of the training images that doubles from round to round (successive halving, Jamieson &
Talwalkar 2016), and a view is left out once the members chosen on the sample do without it. What is
computed is stored, so that the views that stay are not computed twice on the sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from headstart.datasets import ImageDataset
from headstart.datasets.splits import stratified_sample
from headstart.evaluation.metrics import clustered_interval
from headstart.features.extractor import Extractor
from headstart.features.views import View
from headstart.models.budget import Budget
from headstart.models.fit import select_members
from headstart.models.fit_settings import FitSettings
from headstart.models.train_test_split import SplitFeatures
from headstart.system.text import join_names
from headstart.types import ProgressCallback, Split, no_progress

_LARGE: Final = 1_000
"""Training images beyond which a pass takes longer than a trial."""
_FIRST_SAMPLE, _PER_CLASS = 500, 10
"""Images of the first round."""
_SHARE: Final = 4
"""Smallest ratio of all images to those of a sample; a larger sample saves too little."""
_NEGLIGIBLE: Final = 0.005
"""Error below which a better model cannot be told from this one."""


@dataclass(frozen=True, slots=True)
class ViewTrial:
    """The views that are worth a pass over all images.

    Attributes:
        extractor: Those views.
        budget: What they may cost together; None if it does not matter.
        reason: A sentence about those that are left out; None if none are.
    """

    extractor: Extractor
    budget: Budget | None = None
    reason: str | None = None


def is_large(dataset: ImageDataset) -> bool:
    """Whether a data set has so many images for training that views are tried on a sample."""
    return _training_images(dataset) > _LARGE


def _training_images(dataset: ImageDataset) -> int:
    return sum(part is Split.TRAIN for part in dataset.splits) if dataset.splits else len(dataset)


def try_views(
    dataset: ImageDataset,
    extractor: Extractor,
    settings: FitSettings,
    *,
    budget: Budget | None = None,
    on_images: ProgressCallback = no_progress,
    on_candidates: ProgressCallback = no_progress,
) -> ViewTrial:
    """Try the further views of an extractor; its first view is computed for all images.

    Args:
        dataset: Images with labels.
        extractor: The views. Without a cache all of them stay, as a trial would be computed twice.
        settings: How heads are trained.
        budget: What the views may cost together; None if it does not matter.
        on_images: Called with (done, total) images, anew for each sample.
        on_candidates: Called with (done, total) candidates, anew for each sample.

    Raises:
        DataError: Fewer than two classes have a readable training image.
    """
    if not extractor.others or extractor.cache is None:
        return ViewTrial(extractor, budget)
    places = {view: place for place, view in enumerate(extractor.by_view)}

    def budget_of(views: Sequence[View | None]) -> Budget | None:
        return budget and budget.of([places[view] for view in views])

    first = extractor.only([None])
    data = SplitFeatures.extract(dataset, first, settings, progress=on_images)
    split, keys = data.split, data.split.keys(data.features)
    chosen, sample = select_members(data, first, settings, on_candidates=on_candidates)
    if chosen.whole.probabilities is not None:
        series = split.series.subset(sample)
        correct = chosen.whole.probabilities.argmax(1) == split.labels[sample]
        error = 1 - clustered_interval(correct, series.groups if series else None).low
        if error < _NEGLIGIBLE:
            return ViewTrial(
                first,
                budget_of([None]),
                f"the first view errs on at most {error:.1%} of images: no further view pays",
            )
    kept, size = list(extractor.by_view), max(_FIRST_SAMPLE, _PER_CLASS * len(split.classes))
    alone = replace(settings, hold_out=0.0)
    while len(kept) > 1 and _SHARE * size <= len(keys):
        drawn = stratified_sample(keys, split.labels, size=size, seed=settings.seed)
        some, views = data.dataset.subset(split.train[drawn]), extractor.only(kept)
        tried = SplitFeatures.extract(some, views, alone, progress=on_images)
        members, _ = select_members(
            tried, views, alone, budget=budget_of(kept), on_candidates=on_candidates
        )
        needed = {member.view for member in members.members}
        kept = [view for view in kept if view is None or view in needed]
        size *= 2
    dropped = [str(view) for view in extractor.others if view not in kept]
    reason = f"not worth a pass over all images: {join_names(dropped)}" if dropped else None
    return ViewTrial(extractor.only(kept), budget_of(kept), reason)
