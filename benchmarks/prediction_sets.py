"""Coverage and size of prediction sets on folders with the parts train and test.

    python benchmarks/prediction_sets.py FOLDER [FOLDER ...] [--splits 200] [--write PAGE]

1. The score: average thresholds over random halves of the cross-validated predictions for the
   training images, which are exchangeable, so that every score has the coverage asked for.
2. The test part: `headstart fit` on the training part, `evaluate --coverage` on the test part.
3. Many splits: all images are divided anew; a head is trained on as many as the training part has,
   calibrated by cross-validation as `fit` does, and its sets are compared with the other images.
"""

import argparse
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from headstart.backbones import load_backbone
from headstart.datasets import open_dataset
from headstart.engines import make_plan
from headstart.evaluation.conformal import CalibrationSet, Coverage
from headstart.features.extractor import Extractor
from headstart.heads.calibration import probabilities
from headstart.heads.candidates import Candidate
from headstart.heads.families import head_family
from headstart.heads.rows import Rows
from headstart.heads.selection import Selection
from headstart.models.fit import fit, select_stages
from headstart.models.fit_settings import FitSettings
from headstart.models.prediction import evaluate
from headstart.models.train_test_split import SplitFeatures
from headstart.types import Doubles, Floats, Labels, Split

HALVES = 200
Score = Callable[[Doubles], Doubles]


def lac(p: Doubles) -> Doubles:
    """1 minus the probability (Sadinle et al. 2019)."""
    return 1 - p


def aps(p: Doubles) -> Doubles:
    """Sum of the probabilities down to the class (Romano et al. 2020)."""
    order = np.argsort(-p, axis=1, kind="stable")
    total = np.empty_like(p)
    np.put_along_axis(total, order, np.take_along_axis(p, order, 1).cumsum(1), 1)
    return total


def raps(p: Doubles) -> Doubles:
    """Aps with 0.02 for each class beyond the first (Angelopoulos et al. 2021)."""
    return aps(p) + 0.02 * (np.argsort(np.argsort(-p, axis=1, kind="stable"), axis=1))


def before(p: Doubles) -> Doubles:
    """Sum of the probabilities above that of the class."""
    return aps(p) - p


def margin(p: Doubles) -> Doubles:
    """The highest probability of another class, minus that of the class."""
    ranked = np.sort(p, axis=1)
    other = np.where(p == ranked[:, -1:], ranked[:, -2:-1], ranked[:, -1:])
    return other - p


def scores_compared(p: Floats, y: Labels, coverage: float) -> Iterator[str]:
    """Yield coverage and mean size by each score, the predicted class always included."""
    n, p64 = len(y), p.astype(np.float64)
    for score in (lac, aps, raps, before, margin):
        values, rng, found = score(p64), np.random.default_rng(0), []
        own = values[np.arange(n), y]
        for _ in range(HALVES):
            rows = rng.permutation(n)
            known, new = np.sort(own[rows[: n // 2]]), rows[n // 2 :]
            above = len(known) - np.searchsorted(known, values[new], side="left")
            sets = (1 + above) / (len(known) + 1) > 1 - coverage + 1e-9
            raw = sets[np.arange(len(new)), y[new]].mean()
            sets[np.arange(len(new)), p[new].argmax(1)] = True
            found.append((raw, sets[np.arange(len(new)), y[new]].mean(), sets.sum(1).mean()))
        raw, covered, size = np.mean(found, axis=0)
        yield f"{score.__name__} {raw:.3f} / {covered:.3f}, {size:.2f}"


def cross_validated(
    data: SplitFeatures, candidate: Candidate, labels: Labels, rows: Labels, mine: Labels
) -> Selection:
    """Cross-validate a head on some of the images."""
    return select_stages(
        {stage: data.features.values[stage][rows[mine]] for stage in candidate.stages},
        labels[mine],
        [data.features.digests[row] for row in rows[mine]],
        FitSettings(),
        choices=[candidate],
        classes=len(data.split.classes),
    )


def many_splits(
    data: SplitFeatures, candidate: Candidate, labels: Labels, rows: Labels, splits: int
) -> Iterator[str]:
    """Yield a row for each coverage, over random divisions of all images."""
    family = head_family("logistic")
    values = [data.features.values[stage] for stage in candidate.stages]
    classes, train = len(data.split.classes), len(data.split.train)
    found: dict[tuple[float, bool], list[tuple[float, float, float, Doubles]]] = {}
    for seed in range(splits):
        shuffled = np.random.default_rng(seed).permutation(len(rows))
        mine, new = np.sort(shuffled[:train]), shuffled[train:]
        chosen = cross_validated(data, candidate, labels, rows, mine)
        assert chosen.probabilities is not None
        X = Rows(tuple(values), rows[mine])
        weights = np.ones(train, np.float32)
        head = family.fit_rows(X, labels[mine], weights, chosen.setting, classes=classes)
        logits = head.logits(Rows(tuple(values), rows[new]).whole())
        p, truth = probabilities(logits, chosen.temperature), labels[new]
        calibration = CalibrationSet.of(chosen.probabilities, labels[mine])
        for coverage in (0.8, 0.9, 0.95):
            for by_class in (False, True):
                sets = calibration.sets(p, coverage, by_class=by_class)
                hits = sets[np.arange(len(truth)), truth]
                each = np.array([hits[truth == k].mean() for k in range(classes)])
                alone = calibration.p_values(p, by_class=by_class)[np.arange(len(truth)), truth]
                raw = float((alone > 1 - coverage + 1e-9).mean())
                entry = (raw, float(hits.mean()), float(sets.sum(1).mean()), each)
                found.setdefault((coverage, by_class), []).append(entry)
    for (coverage, by_class), entries in found.items():
        alone, hits, sizes, each = (np.array(column) for column in zip(*entries, strict=True))
        low, high = np.quantile(hits, [0.05, 0.95])
        yield (
            f"| {data.dataset.name} | {coverage:g}{' by class' if by_class else ''} "
            f"| {alone.mean():.3f} | {hits.mean():.3f} ({low:.3f} to {high:.3f}) "
            f"| {np.nanmean(each, axis=0).min():.3f} | {sizes.mean():.2f} |"
        )


def main() -> None:
    """Run the benchmark and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--splits", type=int, default=200)
    parser.add_argument("--cache", type=Path, help="cache folder; a temporary one by default")
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    scores = [
        "| set | coverage | coverage of the score alone / with the predicted class, mean size |",
        "|---|---|---|",
    ]
    tested = [
        "| set | asked for | coverage on `test` | lowest class | mean size |",
        "|---|---|---|---|---|",
    ]
    splits = [
        "| set | asked for | score alone | coverage (5% to 95% of splits) | lowest class | size |",
        "|---|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as temporary:
        cache = options.cache or Path(temporary)
        extractor = Extractor(backbone=load_backbone(), plan=make_plan(), cache=cache)
        for folder in options.folders:
            dataset = open_dataset(str(folder))
            settings = FitSettings()
            model = fit(dataset, extractor, settings).model
            found = evaluate(model, extractor, dataset.in_split(Split.TEST))
            for coverage in (0.8, 0.9, 0.95, 0.99):
                for by_class in (False, True):
                    sets = model.prediction_sets(found.probabilities, coverage, by_class=by_class)
                    one = Coverage.of(sets, found.labels, coverage, classes=model.classes)
                    lowest = min(each.value for each in one.by_class.values())
                    tested.append(
                        f"| {dataset.name} | {coverage:g}{' by class' if by_class else ''} "
                        f"| {one.value:.3f} ({one.interval.low:.3f} to {one.interval.high:.3f}) "
                        f"| {lowest:.3f} | {one.mean_set_size:.2f} |"
                    )
            data = SplitFeatures.extract(dataset, extractor, settings)
            rows = np.concatenate([data.split.train, data.split.test])
            labels = np.concatenate([data.split.labels, data.split.test_labels])
            candidate = Candidate(model.origin.stages, 0)
            train = np.arange(len(data.split.train))
            selection = cross_validated(data, candidate, labels, rows, train)
            assert selection.probabilities is not None
            for coverage in (0.9, 0.95):
                compared = scores_compared(selection.probabilities, labels[train], coverage)
                scores.append(f"| {dataset.name} | {coverage:g} | {'; '.join(compared)} |")
            splits += many_splits(data, candidate, labels, rows, options.splits)
            text = "\n\n".join("\n".join(table) for table in (scores, tested, splits))
            print(text, flush=True)
            if options.write:
                options.write.write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
