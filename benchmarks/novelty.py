"""What a novelty detector catches, for data sets that have a training and a test part.

    python -m benchmarks.novelty FOLDER... [--same A,B] [--photos FOLDER] [--methods]

Each folder is a data set. A model is fitted to its training part. The first table has the share of
its own test images that is called unknown at a rate of 0.05 (false alarms), the share of the images
of the other sets that is (all, and the set of which the least are), what the model card says of
ordinary photos, what is measured on the photos of --photos, and the size. `--same` names
two sets that show the same things, which are no unknowns to each other.

The second table leaves out each class in turn: AUROC and share caught on test images, of a model
that was trained without it, next to what the card of the whole model says. `--methods` adds the
methods that were compared, each on its own.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.special import logsumexp

from headstart.datasets import ImageDataset, open_dataset
from headstart.features.extractor import Extractor, build_extractor
from headstart.heads.calibration import probabilities
from headstart.heads.candidates import join_stages
from headstart.models.fit import fit
from headstart.models.fit_settings import FitSettings
from headstart.models.trained_model import Model
from headstart.novelty.calibration import ScoreDistribution
from headstart.novelty.cross_fitting import Novelty
from headstart.novelty.estimate import Detection
from headstart.system.text import join_names
from headstart.types import DEFAULT_BACKBONE, Doubles, Floats, Labels, Split

RATE = 0.05


@dataclass(frozen=True)
class ImageSet:
    """A data set with the features of all its images."""

    name: str
    data: ImageDataset
    values: Mapping[str, Floats]
    training: np.ndarray  # (N,) bool


def load(folder: Path, extractor: Extractor) -> ImageSet:
    """Compute all features of a data set."""
    dataset = open_dataset(str(folder))
    features = extractor.extract(dataset.paths)
    dataset = dataset.subset(features.rows)
    training = np.array([part is Split.TRAIN for part in dataset.splits], dtype=bool)
    return ImageSet(folder.name, dataset, features.values, training)


@dataclass(frozen=True)
class Fitted:
    """A model of the training part of a set, less a class."""

    model: Model
    baselines: Mapping[str, Doubles]  # scores of all images of the set

    @property
    def novelty(self) -> Novelty:
        """The detector and what the card says of it."""
        assert self.model.novelty is not None
        return self.model.novelty


def fit_without(images: ImageSet, left_out: int, extractor: Extractor, *, methods: bool) -> Fitted:
    """Fit a model to all classes but one; -1 leaves out none."""
    rows = np.flatnonzero(images.training & (images.data.labels != left_out))
    data = replace(images.data.subset(rows), splits=())
    model = fit(data, extractor, FitSettings()).model
    baselines: dict[str, Doubles] = {}
    if methods:
        logits = model.head.logits(join_stages(images.values, model.origin.stages))
        last = images.values[extractor.backbone.stages[-1].name]
        _, y = np.unique(images.data.labels[rows], return_inverse=True)
        distances = distance_scores(last, rows, y)
        logits /= model.temperature
        vim = virtual_logit(distances["residual"], logits, rows)
        baselines = {**head_scores(logits), **distances, "ViM": vim}
    return Fitted(model, baselines)


def head_scores(logits: Floats) -> dict[str, Doubles]:
    """Scores from the logits of the head (N, K): maximum probability, entropy, energy."""
    p = probabilities(logits).astype(float)
    return {
        "maximum probability": -p.max(1) - 1e-9 * logits.max(1),
        "entropy": -(p * np.log(np.maximum(p, 1e-30))).sum(1),
        "energy": -logsumexp(logits.astype(float), axis=1),
    }


def distance_scores(X: Floats, rows: Labels, y: Labels) -> dict[str, Doubles]:
    """Scores from distances on the last layer: Mahalanobis++, its relative form, 5-NN, residual."""
    unit = (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(float)
    means = np.stack([unit[rows][y == label].mean(0) for label in range(y.max() + 1)])
    own = mahalanobis(unit, means, unit[rows] - means[y]).min(1)
    center = unit[rows].mean(0)
    background = mahalanobis(unit, center[None], unit[rows] - center)[:, 0]
    nearest = np.sort(unit @ unit[rows].T, axis=1)
    _, _, directions = np.linalg.svd(unit[rows] - center, full_matrices=False)
    rest = (unit - center) - (unit - center) @ directions[:128].T @ directions[:128]
    return {
        "Mahalanobis++": own,
        "relative Mahalanobis++": own - background,
        "5 nearest neighbors": -nearest[:, -5],
        "residual": np.linalg.norm(rest, axis=1),
    }


def virtual_logit(residual: Doubles, logits: Floats, rows: Labels) -> Doubles:
    """Score of ViM (Wang et al. 2022): the residual as a logit of one more class, minus energy."""
    scale = logits[rows].max(1).mean() / residual[rows].mean()
    found: Doubles = scale * residual - logsumexp(logits.astype(float), axis=1)
    return found


def mahalanobis(X: Doubles, means: Doubles, within: Doubles, shrinkage: float = 0.1) -> Doubles:
    """Squared distances (N, K) with a shrunk covariance."""
    covariance = within.T @ within / len(within)
    width = len(covariance)
    shrunk = (1 - shrinkage) * covariance
    shrunk += shrinkage * np.trace(covariance) / width * np.eye(width)
    factor = np.linalg.cholesky(np.linalg.inv(shrunk))
    Z, M = X @ factor, means @ factor
    found: Doubles = (Z**2).sum(1)[:, None] - 2 * Z @ M.T + (M**2).sum(1)
    return found


def p_values(fitted: Fitted, values: Mapping[str, Floats], rows: np.ndarray) -> Doubles:
    """p-values of some rows of a set."""
    found = fitted.model.p_values({stage: values[stage][rows] for stage in values})
    assert found is not None
    return found


def detection(known: Floats, unknown: Floats) -> Detection:
    """AUROC of scores; higher is more unusual."""
    return Detection.of(ScoreDistribution.of(known), unknown.astype(np.float32), rate=RATE)


def first_table(
    sets: Sequence[ImageSet],
    whole: Mapping[str, Fitted],
    same: Sequence[frozenset[str]],
    photos: Mapping[str, Floats] | None,
) -> None:
    """Print false alarms and what is caught of other sets."""
    print("| set | stages | false alarms | other sets | least | card: photos | photos | MB |")
    print("|---|---|---|---|---|---|---|---|")
    for data in sets:
        fitted = whole[data.name]
        stages = fitted.model.origin.stages
        alarms = p_values(fitted, data.values, ~data.training) <= RATE
        caught = {
            other.name: p_values(fitted, other.values, np.ones(len(other.data), bool)) <= RATE
            for other in sets
            if other is not data and frozenset((data.name, other.name)) not in same
        }
        least = min(caught, key=lambda name: float(caught[name].mean()))
        every = np.concatenate(list(caught.values()))
        card = fitted.novelty.estimate.others
        new = "" if photos is None else share(fitted, photos)
        size = sum(array.nbytes for array in fitted.novelty.detector.arrays().values())
        print(
            f"| {data.name} | {join_names(stages)} | {alarms.mean():.3f} "
            f"({alarms.sum()} of {len(alarms)}) | {every.mean():.3f} | {caught[least].mean():.3f} "
            f"({least}) | {card['photos'].caught:.3f} | {new} | "
            f"{size / 1e6:.2f} |"
        )


def share(fitted: Fitted, photos: Mapping[str, Floats]) -> str:
    """Share of photos that are called unknown."""
    rows = np.ones(len(next(iter(photos.values()))), bool)
    return f"{(p_values(fitted, photos, rows) <= RATE).mean():.3f}"


def second_table(
    sets: Sequence[ImageSet], whole: Mapping[str, Fitted], extractor: Extractor, *, methods: bool
) -> None:
    """Print what is caught of classes left out."""
    print("| set | AUROC | caught | false alarms | card: AUROC | card: caught |")
    print("|---|---|---|---|---|---|")
    rows: dict[str, dict[str, list[float]]] = {}
    for data in sets:
        estimate = whole[data.name].novelty.estimate.left_out
        if estimate is None:
            continue
        found, alarms, scores = [], [], rows.setdefault(data.name, {})
        for label in np.unique(data.data.labels[data.training]):
            fitted = fit_without(data, label, extractor, methods=methods)
            own = data.data.labels == label
            # 1 - p orders images as their scores do, but for those beyond all held-out images.
            known = 1 - p_values(fitted, data.values, ~data.training & ~own)
            unknown = 1 - p_values(fitted, data.values, ~data.training & own)
            if len(unknown):
                auroc = detection(known.astype(np.float32), unknown.astype(np.float32)).auroc
                found.append((auroc, (1 - unknown <= RATE).mean()))
                alarms.append((1 - known <= RATE).mean())
                for name, score in fitted.baselines.items():
                    left, right = score[~data.training & ~own], score[~data.training & own]
                    one = detection(left.astype(np.float32), right.astype(np.float32))
                    scores.setdefault(name, []).append(one.auroc)
        auroc, caught = np.mean(found, axis=0)
        print(
            f"| {data.name} | {auroc:.3f} | {caught:.3f} | {np.mean(alarms):.3f} | "
            f"{estimate.auroc:.3f} | {estimate.caught:.3f} |",
            flush=True,
        )
    for name in next(iter(rows.values())) if methods else ():
        cells = " | ".join(f"{np.mean(rows[data][name]):.3f}" for data in rows)
        print(f"| {name}: {', '.join(rows)} | {cells} |")


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--same", action="append", default=[], help="A,B: sets of the same things")
    parser.add_argument("--photos", type=Path, help="folder of ordinary photos")
    parser.add_argument("--methods", action="store_true", help="add the methods compared")
    options = parser.parse_args()
    extractor = build_extractor(DEFAULT_BACKBONE)
    sets = [load(folder, extractor) for folder in options.folders]
    whole = {data.name: fit_without(data, -1, extractor, methods=False) for data in sets}
    photos = None
    if options.photos:
        photos = extractor.extract(sorted(options.photos.rglob("*.jpg"))).values
    first_table(sets, whole, [frozenset(pair.split(",")) for pair in options.same], photos)
    print()
    second_table(sets, whole, extractor, methods=options.methods)


if __name__ == "__main__":
    main()
