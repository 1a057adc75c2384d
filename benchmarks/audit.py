"""How well an audit finds flipped labels and changed copies, as Markdown.

    python benchmarks/audit.py labels FOLDER ... --seeds 5
    python benchmarks/audit.py copies FOLDER ...

A folder has one subfolder of images per class. If it has a part `train`, only that is used.
"""

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from confident_learning import ranked
from headstart.auditing import wrong_labels
from headstart.auditing.audit import Audit, audit
from headstart.auditing.copies import Copies
from headstart.auditing.measurements import measure_images
from headstart.datasets import ImageDataset, open_dataset
from headstart.evaluation.metrics import wilson
from headstart.features.extractor import Extractor, build_extractor
from headstart.types import Split
from near_copies import CHANGES, write_copies

_PRUNING = ("confident joint", "by class", "by noise rate")
_RANKING = ("margin", "self-confidence")


def training_images(folder: str) -> ImageDataset:
    """Open a folder, and leave out the test part."""
    dataset = open_dataset(folder)
    return replace(dataset.in_split(Split.TRAIN), splits=()) if dataset.splits else dataset


def flip(dataset: ImageDataset, share: float, seed: int) -> ImageDataset:
    """Give a share of the images another label at random."""
    rng = np.random.default_rng(seed)
    labels, count = dataset.labels.copy(), round(share * len(dataset))
    rows = rng.choice(len(dataset), count, replace=False)
    labels[rows] = (labels[rows] + rng.integers(1, len(dataset.classes), count)) % len(
        dataset.classes
    )
    return replace(dataset, labels=labels)


def _check(dataset: ImageDataset, extractor: Extractor, rounds: int) -> Audit:
    """Audit a data set with a number of rounds of training."""
    default, wrong_labels._ROUNDS = wrong_labels._ROUNDS, rounds
    try:
        return audit(dataset, extractor)
    finally:
        wrong_labels._ROUNDS = default


def score_labels(
    folder: str, extractor: Extractor, seeds: int, share: float
) -> dict[str, list[float]]:
    """Return precision among as many images as were flipped, by method, one number per seed."""
    clean = training_images(folder)
    found: dict[str, list[float]] = {}

    for seed in range(seeds):
        noisy = flip(clean, share, seed)
        wrong = noisy.labels != clean.labels
        # With one round, the probabilities are those of heads trained on the labels as they are.
        first, final = (_check(noisy, extractor, rounds) for rounds in (1, wrong_labels._ROUNDS))
        assert first.label_check is not None
        assert final.label_check is not None
        rows, labels = first.label_check.rows, first.label_check.labels
        p = first.label_check.probabilities.astype(np.float64)
        rankings: dict[str, np.ndarray] = {
            "headstart": np.argsort(final.label_check.of_labels, kind="stable"),
            "headstart, one round": np.argsort(first.label_check.of_labels, kind="stable"),
        }
        for prune in _PRUNING:
            for rank in _RANKING:
                rankings[f"confident learning, {prune}, {rank}"] = ranked(
                    p, labels, prune=prune, rank=rank
                )
        count = int(wrong.sum())
        for name, order in rankings.items():
            found.setdefault(name, []).append(float(wrong[rows[order[:count]]].mean()))
        reported = final.label_check.rows[final.label_check.doubtful]
        found.setdefault("reported, share of the flipped", []).append(
            float(wrong[reported].sum() / count)
        )
        found.setdefault("reported, precision", []).append(float(wrong[reported].mean()))
    return found


def labels_table(folders: Sequence[str], extractor: Extractor, seeds: int, share: float) -> str:
    """Return precisions of all methods on all folders as a Markdown table."""
    scores = {
        Path(folder).name: score_labels(folder, extractor, seeds, share) for folder in folders
    }
    names = list(scores)
    lines = ["| method | " + " | ".join(names) + " | mean |", "|---" * (len(names) + 2) + "|"]
    for method in next(iter(scores.values())):
        means = [float(np.mean(scores[name][method])) for name in names]
        spread = [
            f"{mean:.3f} ({min(scores[name][method]):.3f} to {max(scores[name][method]):.3f})"
            for name, mean in zip(names, means, strict=True)
        ]
        lines.append(f"| {method} | " + " | ".join(spread) + f" | {np.mean(means):.3f} |")
    return "\n".join(lines)


def copies_row(folder: str, limit: int) -> str:
    """Return precision, recall and F1 on originals with one changed copy each."""
    clean = training_images(folder)
    originals = list(clean.paths[:: max(1, len(clean) // limit)][:limit])
    labels = clean.labels[:: max(1, len(clean) // limit)][:limit]
    with tempfile.TemporaryDirectory() as folder_of_copies:
        # Names of files may repeat in different classes.
        copies, kinds = [], []
        for label in np.unique(labels):
            own = [path for path, one in zip(originals, labels, strict=True) if one == label]
            target = Path(folder_of_copies) / str(label)
            for path, kind in zip(own, write_copies(own, target, seed=int(label)), strict=True):
                copies.append(target / f"{path.stem}-{kind}.jpg")
                kinds.append(kind)
        ordered = [
            path for label in np.unique(labels)
            for path, one in zip(originals, labels, strict=True) if one == label
        ]  # fmt: skip
        measured = measure_images([*ordered, *copies])
    y = np.concatenate([np.sort(labels), np.sort(labels)])
    found = Copies.of(measured.thumbnails, y, [str(row) for row in measured.rows], seed=0)
    pairs = {tuple(pair) for pair in found.pairs.tolist()}
    true = {(row, row + len(ordered)): kind for row, kind in enumerate(kinds)}
    hits = pairs & set(true)
    recall = {
        kind: sum(true[pair] == kind for pair in hits) / max(1, kinds.count(kind))
        for kind in CHANGES
    }
    by_kind = " | ".join(f"{recall[kind]:.3f}" for kind in CHANGES)
    precision, whole = len(hits) / max(1, len(pairs)), len(hits) / len(true)
    interval = wilson(len(hits), len(true))
    f1 = 2 * len(hits) / (len(pairs) + len(true))
    return (
        f"| {Path(folder).name} | {len(true):,} | {f1:.3f} | {precision:.3f} | {whole:.3f} "
        f"({interval.low:.3f} to {interval.high:.3f}) | {by_kind} |"
    )


def copies_table(folders: Sequence[str], limit: int) -> str:
    """Return a Markdown table with a row for each folder."""
    columns = ["data", "originals", "F1", "precision", "recall", *CHANGES]
    lines = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    return "\n".join([*lines, *(copies_row(folder, limit) for folder in folders)])


def main() -> None:
    """Run the benchmark that is named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["labels", "copies"])
    parser.add_argument("folders", nargs="+")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--share", type=float, default=0.1, help="share of the labels to flip")
    parser.add_argument("--images", type=int, default=1_000, help="originals of each folder")
    options = parser.parse_args()
    if options.what == "copies":
        print(copies_table(options.folders, options.images))
        return
    extractor = build_extractor("efficientnet-lite0")
    print(labels_table(options.folders, extractor, options.seeds, options.share))


if __name__ == "__main__":
    main()
