"""Compare backbones on the same images, running the less accurate ones on only a few of them.

The cheapest backbone runs over all files first: as in `headstart fit`, its features show which
files are copies and which labels contradict each other. All others run on the remaining images, in
the same folds, which depend on file contents alone; so results can be compared image by image.

Successive halving (Jamieson & Talwalkar 2016, "Non-stochastic best arm identification and
hyperparameter optimization") saves most passes of the less accurate ones. While four or more
backbones remain, all are measured on a sample of two hundred images, or ten per class if that is
more, which doubles from round to round. Of the worse half, a backbone is eliminated if another one
that costs no more is significantly more accurate on the same images. So a backbone stays if it is
within noise of the best, or cheaper than all that beat it: it may still be recommended or
Pareto-optimal. Once three or fewer remain, or a sample would exceed half of the images, all that
remain are measured on all images.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from headstart.comparison.backbone_trial import BackboneTrial
from headstart.comparison.cost import measure_cost
from headstart.comparison.evaluation_images import EvaluationImages
from headstart.comparison.recommendation import frontier, recommend
from headstart.comparison.result import Comparison, ExcludedBackbone
from headstart.datasets import ImageDataset
from headstart.datasets.splits import assign_folds, stratified_sample
from headstart.errors import BackboneError, MissingExtraError
from headstart.evaluation.breakdown import LargestClass
from headstart.evaluation.paired_tests import Right, paired_difference
from headstart.features.cost import measure_costs
from headstart.features.extractor import Extractor
from headstart.models.fit_settings import FitSettings
from headstart.models.train_test_split import train_test_parts
from headstart.system.machine import cores
from headstart.types import ProgressBarFactory, no_progress_bars

_FIRST_SAMPLE, _FIRST_SAMPLE_PER_CLASS = 200, 10
"""Images of the first round; on fewer, intervals are wider than the differences of backbones."""
_FINALISTS = 3
"""Backbones that are all measured on all images: halving three saves one pass at most."""
_Z = 2.575829
"""Quantile of the normal distribution for 99%: with many pairs over many rounds, some differ by
accident at 95%."""


def compare(
    dataset: ImageDataset,
    extractors: Sequence[Extractor],
    *,
    balance: bool = False,
    seed: int = 0,
    left_out: Sequence[ExcludedBackbone] = (),
    bars: ProgressBarFactory = no_progress_bars,
) -> Comparison:
    """Measure the accuracy and the cost of heads on several backbones, and recommend one.

    Args:
        dataset: labeled images; if it is split, only the training part is used.
        extractors: the backbones. Give them a cache: every round requests features again.
        balance: weight all classes equally, regardless of their number of images.
        seed: random seed of folds and samples.
        left_out: backbones that could not be loaded, to be listed with the others.
        bars: creates progress bars; none by default.

    Raises:
        DataError: fewer than two classes have a readable image, no class has two images, or files
            change during the comparison.
        BackboneError: no backbone can be run.
    """
    started = time.perf_counter()
    settings = FitSettings(balance=balance, seed=seed)
    parts = train_test_parts(dataset)
    trials = _measure_costs(extractors, parts.paths, left_out, bars)
    trials, images = _select_images(trials, parts, seed)
    trials = _halve(trials, images, settings, bars)
    measured = sorted([*trials.remaining, *trials.eliminated], key=_by_cost)
    results = tuple(trial.result(images) for trial in measured)
    folds = trials.remaining[0].folds
    recommendation = recommend(
        results, assign_folds(images.keys, images.labels, folds=folds, seed=seed)
    )
    (recommended,) = (one for one in results if one.name == recommendation.backbone)
    return Comparison(
        data=dataset.name,
        classes=images.classes,
        images=len(images),
        series=images.series,
        duplicates=images.duplicates,
        conflicts=images.conflicts,
        skipped=images.skipped,
        backbones=results,
        frontier=frontier(results),
        recommendation=recommendation,
        left_out=trials.excluded,
        folds=folds,
        seed=seed,
        cores=cores(),
        seconds=time.perf_counter() - started,
        warnings=tuple(
            dict.fromkeys(text for trial in measured for text in trial.extractor.warnings)
        ),
        largest_class=LargestClass.of(
            images.labels,
            np.where(recommended.right, images.labels, -1),  # no class: only right ones count
            images.classes,
            clusters=recommended.clusters,
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trials:
    """The state of successive halving."""

    remaining: tuple[BackboneTrial, ...]  # cheapest first
    eliminated: tuple[BackboneTrial, ...] = ()  # significantly worse on a sample
    excluded: tuple[ExcludedBackbone, ...]  # could not be loaded or run

    def reasons(self) -> str:
        """Return the reasons for all exclusions, in one line."""
        return "; ".join(f"{one.name}: {one.reason}" for one in self.excluded)

    def attempt(self, step: Callable[[BackboneTrial], BackboneTrial]) -> _Trials:
        """Apply a step to all remaining backbones, excluding those that cannot be run."""
        done, excluded = [], list(self.excluded)
        for trial in self.remaining:
            try:
                done.append(step(trial))
            except (BackboneError, MissingExtraError) as error:
                excluded.append(ExcludedBackbone(trial.name, str(error)))
        return replace(self, remaining=tuple(done), excluded=tuple(excluded))


def _measure_costs(
    extractors: Sequence[Extractor],
    paths: Sequence[Path],
    left_out: Sequence[ExcludedBackbone],
    bars: ProgressBarFactory,
) -> _Trials:
    """Measure each backbone in a process of its own, and decoding on some of the images."""
    on_costs = bars("measuring speed and memory", "backbones")
    trials, excluded = [], list(left_out)
    for done, extractor in enumerate(extractors):
        on_costs(done, len(extractors))
        try:
            cost = measure_cost(
                extractor.backbone,
                extractor.effective_plan,
                requested=extractor.requested_engine,
                view=extractor.view,
            )
        except (BackboneError, MissingExtraError) as error:
            excluded.append(ExcludedBackbone(extractor.name, str(error)))
            continue
        networks = {extractor.name: cost.milliseconds}
        for whole in measure_costs(extractor, paths, networks=networks).values():
            cost = replace(cost, milliseconds=whole.total)
        bar = bars(extractor.name, "images")
        trials.append(BackboneTrial(extractor=extractor, cost=cost, on_images=bar))
    on_costs(len(extractors), len(extractors))
    return _Trials(remaining=tuple(sorted(trials, key=_by_cost)), excluded=tuple(excluded))


def _select_images(
    trials: _Trials, dataset: ImageDataset, seed: int
) -> tuple[_Trials, EvaluationImages]:
    """Run the cheapest backbone over all files to find the images to compare on."""
    while trials.remaining:
        cheapest, *others = trials.remaining
        try:
            features, cheapest = cheapest.extract(dataset.paths)
        except (BackboneError, MissingExtraError) as error:
            failed = ExcludedBackbone(cheapest.name, str(error))
            trials = replace(trials, remaining=tuple(others), excluded=(*trials.excluded, failed))
            continue
        remaining = (cheapest, *others)
        return replace(trials, remaining=remaining), EvaluationImages.of(dataset, features, seed)
    raise BackboneError(f"no backbone can be compared: {trials.reasons()}")


def _halve(
    trials: _Trials, images: EvaluationImages, settings: FitSettings, bars: ProgressBarFactory
) -> _Trials:
    """Measure on samples of growing size, then the remaining backbones on all images."""
    on_candidates = bars("choosing stages", "candidates")

    def measured(trials: _Trials, inside: Right) -> _Trials:
        trials = trials.attempt(
            lambda one: one.measure(images, inside, settings, on_candidates=on_candidates)
        )
        if not trials.remaining:
            raise BackboneError(f"no backbone could be measured: {trials.reasons()}")
        return trials

    size = max(_FIRST_SAMPLE, _FIRST_SAMPLE_PER_CLASS * len(images.classes))
    while len(trials.remaining) > _FINALISTS and 2 * size <= len(images):
        sample = stratified_sample(images.keys, images.labels, size=size, seed=settings.seed)
        trials = measured(trials, sample)
        beaten = _beaten(trials.remaining)
        trials = replace(
            trials,
            remaining=tuple(one for one in trials.remaining if one not in beaten),
            eliminated=(*trials.eliminated, *beaten),
        )
        size *= 2
    return measured(trials, np.ones(len(images), dtype=bool))


def _beaten(trials: Sequence[BackboneTrial]) -> list[BackboneTrial]:
    """Return the worse half's backbones significantly worse than one that costs no more."""
    results = [(one, one.correct) for one in trials if one.correct is not None]
    results.sort(key=lambda pair: -int(pair[1].sum()))
    return [
        one
        for one, correct in results[(len(results) + 1) // 2 :]
        if any(
            other.cost.milliseconds <= one.cost.milliseconds
            and paired_difference(better, correct, clusters=one.clusters, z=_Z).better
            for other, better in results
        )
    ]


def _by_cost(trial: BackboneTrial) -> tuple[float, str]:
    return trial.cost.milliseconds, trial.name
