"""Which backbone transfers best to these images, measured on no more of them than it takes.

The cheapest backbone runs over all files first: as in `headstart fit`, its features tell which
files are copies and which labels contradict each other. All others run on what is left, in the same
folds, which depend on digests alone; so results can be compared image by image.

Successive halving (Jamieson & Talwalkar 2016, "Non-stochastic best arm identification and
hyperparameter optimization") saves the passes of hopeless backbones. While four or more are left,
all are measured on a draw of two hundred images, or ten a class if that is more, which doubles from
round to round. Of the worse half those leave that another one, no dearer, measurably beats on the
same images. So nothing leaves that is within noise of the best, nor what is cheaper than all that
beat it: the one may be recommended, the other stand on the frontier. With three or fewer left, or
once a draw would be more than half of the images, all that are left are measured on everything.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from headstart.comparison.backbone_trial import BackboneTrial, EvaluationImages
from headstart.comparison.cost import Cost, measure_cost
from headstart.comparison.recommendation import frontier, recommend
from headstart.comparison.result import Comparison, ExcludedBackbone
from headstart.datasets import ImageDataset
from headstart.datasets.splits import draw, fold_of
from headstart.errors import BackboneError, MissingExtraError
from headstart.evaluation.paired_tests import Right, paired
from headstart.features.extractor import Extractor
from headstart.models.fit import FitSettings
from headstart.models.train_test_split import TrainTestSplit, usable
from headstart.system.machine import cores
from headstart.types import ProgressBarFactory, Skipped, no_progress_bars

_FIRST, _FIRST_OF_CLASS = 200, 10
"""Images of the first round; of fewer, intervals are wider than what backbones differ by."""
_FEW = 3
"""Entrants that are all measured on everything: halving three saves one pass at most."""
_SURE = 2.575829
"""Quantile of the normal distribution for 99%: many pairs over many rounds have many chances to
differ by accident."""

Meter = Callable[[Extractor], Cost]


def compare(
    dataset: ImageDataset,
    extractors: Sequence[Extractor],
    *,
    balance: bool = False,
    seed: int = 0,
    left_out: Sequence[ExcludedBackbone] = (),
    meter: Meter | None = None,
    bars: ProgressBarFactory | None = None,
) -> Comparison:
    """Measure what heads on several backbones are worth for a data set.

    Args:
        dataset: images with labels; where it has parts, only that for training is compared on.
        extractors: the backbones. Give them a cache: every round asks for features anew.
        balance: weigh classes equally, however many images each has.
        seed: of folds and draws.
        left_out: backbones that could not even be loaded, to be listed with the others.
        meter: measures what running a backbone costs; by default in a process of its own.
        bars: makes progress bars.

    Raises:
        DataError: fewer than two classes have a readable image, no class has two images, or files
            change meanwhile.
        BackboneError: no backbone can be run.
    """
    started = time.perf_counter()
    contest = _Race(
        recipe=FitSettings(balance=balance, seed=seed),
        bars=bars or no_progress_bars,
        left_out=list(left_out),
    )
    contest.enter(extractors, meter or _in_a_process)
    dataset = usable(dataset)
    ground, part, skipped = contest.survey(dataset)
    contest.play(ground)
    measured = sorted(
        [*contest.playing, *contest.retired], key=lambda one: (one.milliseconds, one.name)
    )
    rows = tuple(one.row(ground) for one in measured)
    folds = contest.playing[0].folds
    return Comparison(
        data=dataset.name,
        classes=ground.classes,
        images=len(ground),
        duplicates=part.curated.duplicates,
        conflicts=part.curated.conflicts,
        skipped=skipped,
        backbones=rows,
        frontier=frontier(rows),
        recommendation=recommend(
            rows, fold_of(ground.digests, ground.labels, folds=folds, seed=seed)
        ),
        left_out=tuple(contest.left_out),
        folds=folds,
        seed=seed,
        cores=cores(),
        seconds=time.perf_counter() - started,
        warnings=tuple(text for one in measured for text in one.extractor.warnings),
    )


@dataclass(slots=True, kw_only=True)
class _Race:
    """The course of `compare`.

    Attributes:
        recipe: how heads are trained.
        bars: makes progress bars.
        playing: those that may still win, the cheapest first.
        retired: those that left early.
        left_out: those that could not be measured.
    """

    recipe: FitSettings
    bars: ProgressBarFactory
    left_out: list[ExcludedBackbone]
    playing: list[BackboneTrial] = field(default_factory=list)
    retired: list[BackboneTrial] = field(default_factory=list)

    def enter(self, extractors: Sequence[Extractor], meter: Meter) -> None:
        """Measure what each costs."""
        on_costs = self.bars("measuring speed and memory", "backbones")
        for done, extractor in enumerate(extractors):
            on_costs(done, len(extractors))
            name = extractor.backbone.name
            try:
                cost = meter(extractor)
            except (BackboneError, MissingExtraError) as error:
                self.left_out.append(ExcludedBackbone(name, str(error)))
                continue
            bar = self.bars(name, "images")
            self.playing.append(BackboneTrial(extractor=extractor, cost=cost, on_images=bar))
        on_costs(len(extractors), len(extractors))
        self.playing.sort(key=lambda one: (one.milliseconds, one.name))

    def survey(
        self, dataset: ImageDataset
    ) -> tuple[EvaluationImages, TrainTestSplit, tuple[Skipped, ...]]:
        """Run the cheapest over all files, and find what can be compared on."""
        while self.playing:
            try:
                features = self.playing[0].extract(dataset.paths)
            except (BackboneError, MissingExtraError) as error:
                self._leave_out(self.playing[0], error)
                continue
            skipped = (*dataset.skipped, *features.skipped)
            dataset = dataset.subset(features.rows)
            part = TrainTestSplit.of(dataset, features, hold_out=0.0, seed=self.recipe.seed)
            ground = EvaluationImages(
                paths=tuple(dataset.paths[row] for row in part.train),
                digests=tuple(features.digests[row] for row in part.train),
                labels=part.labels,
                classes=part.classes,
            )
            return ground, part, (*skipped, *part.skipped)
        raise BackboneError(
            "no backbone can be compared: "
            + "; ".join(f"{one.name}: {one.reason}" for one in self.left_out)
        )

    def play(self, ground: EvaluationImages) -> None:
        """Rounds of growing size, the last one on everything."""
        size = max(_FIRST, _FIRST_OF_CLASS * len(ground.classes))
        while len(self.playing) > _FEW and 2 * size <= len(ground):
            self._round(
                ground, draw(ground.digests, ground.labels, size=size, seed=self.recipe.seed)
            )
            for one in _hopeless(self.playing):
                self.playing.remove(one)
                self.retired.append(one)
            size *= 2
        self._round(ground, np.ones(len(ground), dtype=bool))

    def _round(self, ground: EvaluationImages, inside: Right) -> None:
        on_candidates = self.bars("choosing stages", "candidates")
        for one in list(self.playing):
            try:
                one.measure(ground, inside, self.recipe, on_candidates=on_candidates)
            except (BackboneError, MissingExtraError) as error:
                self._leave_out(one, error)
        if not self.playing:
            raise BackboneError(
                "no backbone could be run to the end: "
                + "; ".join(f"{one.name}: {one.reason}" for one in self.left_out)
            )

    def _leave_out(self, one: BackboneTrial, error: Exception) -> None:
        self.playing.remove(one)
        self.left_out.append(ExcludedBackbone(one.name, str(error)))


def _hopeless(playing: Sequence[BackboneTrial]) -> list[BackboneTrial]:
    """Those of the worse half that one no dearer measurably beats."""
    results = [(one, one.right) for one in playing if one.right is not None]
    results.sort(key=lambda pair: -int(pair[1].sum()))
    return [
        one
        for one, right in results[(len(results) + 1) // 2 :]
        if any(
            other.milliseconds <= one.milliseconds and paired(better, right, z=_SURE).better
            for other, better in results
        )
    ]


def _in_a_process(extractor: Extractor) -> Cost:
    return measure_cost(extractor.backbone, extractor.plan, asked=extractor.asked)
