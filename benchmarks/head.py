"""Training of logistic regression heads against scikit-learn, and a head on a million images.

    python benchmarks/head.py [--large 1000000] [--rounds 3] [--write docs/heads.md]

The task is a grid of folds and regularization strengths, as in the selection of a stage. For each
solver and tolerance the table shows the time, and the largest difference of the held-out losses
from those of a solution with tolerance 1e-8. The features are synthetic: correlated and rectified
like those of a network, with overlapping classes. scikit-learn gets float32 features, standardized
once per fold, and starts each strength from the previous solution.
"""

import argparse
import platform
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from headstart.heads.logistic import LogisticFamily
from headstart.heads.logistic_solver import solve
from headstart.heads.rows import PIECE, Rows
from headstart.system.machine import cores
from headstart.types import Doubles, Floats, Labels

STRENGTHS = np.array([1e-4, 1e-3, 1e-2, 1e-1, 1.0])
FOLDS = 3
SIZES = ((1_000, 1_280, 2), (25_000, 1_280, 37))
TOLERANCES = (1e-3, 2e-4, 1e-5, 1e-7)
THEIR_TOLERANCES = (3e-4, 1e-4, 1e-5, 1e-6)
PAGE = """\
# Heads

`make bench-head` writes this page. It compares the time to solve logistic regression for
{folds} folds and {strengths} strengths (C from 1e-4 to 1) on generated features: the median of
{rounds} rounds (fewer for slow solvers), and the largest difference of a held-out log loss from
that of headstart's solution at tolerance 1e-9. Both start each strength from the previous solution.
headstart's tolerance is the share of the loss that the next step promises, scikit-learn's a bound
of the gradient.

{lines}

{large}

{machine}; {versions}.
"""


def features(images: int, width: int, classes: int) -> tuple[Floats, Labels]:
    """Return synthetic features (N, D) of overlapping classes, and their labels (N,)."""
    rng = np.random.default_rng(0)
    fall = np.sqrt(1 + np.arange(width, dtype=np.float32))[:, None]
    mixing = rng.standard_normal((width, width), np.float32) / fall
    centers = 0.12 * rng.standard_normal((classes, width), np.float32)
    y = rng.integers(0, classes, images)
    return np.maximum(
        (centers[y] + rng.standard_normal((images, width), np.float32)) @ mixing, 0
    ), y


def ours(X: Floats, y: Labels, tolerance: float) -> Doubles:
    """Return headstart's held-out losses in nats, (FOLDS * strengths,)."""
    out = np.arange(len(y)) % FOLDS == np.arange(FOLDS)[:, None]
    weights = (~out).astype(np.float32)
    classes = int(y.max()) + 1
    maps = solve(
        X, y, weights, STRENGTHS, classes=classes, tolerance=tolerance, max_iterations=3000
    )
    losses = []
    for problem in range(FOLDS * len(STRENGTHS)):
        rows = out[problem // len(STRENGTHS)]
        logits = maps.part(slice(problem, problem + 1)).logits(X[rows])[0].astype(np.float64)
        losses.append(-log_softmax(logits, axis=0)[y[rows], np.arange(rows.sum())].mean())
    return np.array(losses)


def theirs(X: Floats, y: Labels, tolerance: float) -> Doubles:
    """Return scikit-learn's held-out losses in nats, (FOLDS * strengths,)."""
    losses = []
    for fold in range(FOLDS):
        rows = np.arange(len(y)) % FOLDS == fold
        scaler = StandardScaler().fit(X[~rows])
        train, test = scaler.transform(X[~rows]), scaler.transform(X[rows])
        model = LogisticRegression(max_iter=3000, tol=tolerance, warm_start=True)
        for strength in STRENGTHS:
            model.set_params(C=strength).fit(train, y[~rows])
            found = model.predict_log_proba(test)[np.arange(rows.sum()), y[rows]]
            losses.append(-found.mean(dtype=np.float64))
    return np.array(losses)


def timed(work: Callable[[], Doubles]) -> tuple[float, Doubles]:
    """Return the seconds and the result of a call."""
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def search(size: tuple[int, int, int], rounds: int) -> list[str]:
    """Return the rows of the table for one size."""
    X, y = features(*size)
    reference = ours(X, y, 1e-9)
    lines = []
    for name, solver, tolerances in (
        ("headstart", ours, TOLERANCES),
        ("scikit-learn", theirs, THEIR_TOLERANCES),
    ):
        for tolerance in tolerances:
            seconds: list[float] = []
            while len(seconds) < rounds and sum(seconds) < 60:
                took, losses = timed(partial(solver, X, y, tolerance))
                seconds.append(took)
            apart = np.abs(losses - reference).max()
            cells = [
                f"{size[0]:,} x {size[1]:,}, {size[2]}",
                name,
                f"{tolerance:g}",
                f"{statistics.median(seconds):.2f}",
                f"{apart:.5f}",
            ]
            lines.append(f"| {' | '.join(cells)} |")
            print(lines[-1], flush=True)
    return lines


def large(images: int, width: int, classes: int) -> str:
    """Return a sentence about a head on features in a memory-mapped file."""
    X, y = features(50_000, width, classes)
    noise = np.random.default_rng(1)
    labels = np.empty(images, np.int64)
    with tempfile.TemporaryDirectory() as folder:
        mapped = np.memmap(f"{folder}/X", np.float32, "w+", shape=(images, width))
        for start in range(0, images, PIECE):
            rows = noise.integers(0, len(y), min(PIECE, images - start))
            moved = noise.standard_normal((len(rows), width), np.float32)
            mapped[start : start + PIECE] = np.maximum(X[rows] + moved, 0)
            labels[start : start + PIECE] = y[rows]
        del X
        rows = Rows((mapped,), np.random.default_rng(2).permutation(images))
        labels, ones = labels[rows.chosen], np.ones(images, np.float32)
        with recorded_memory() as memory:
            started = time.perf_counter()
            head = LogisticFamily().fit_rows(rows, labels, ones, 0.01, classes=classes)
            seconds = time.perf_counter() - started
        right = [head.logits(rows.at(span)).argmax(1) == labels[span] for span in rows.spans()]
    return (
        f"A head on {images:,} x {width:,} features ({4 * images * width / 1e9:.1f} GB in a file), "
        f"{classes} classes, C = 0.01: {seconds:.0f} s, with at most {max(memory) / 1e9:.1f} GB "
        f"of memory in addition "
        f"to the mapped file; accuracy on the training images {np.concatenate(right).mean():.3f}."
    )


@contextmanager
def recorded_memory() -> Iterator[list[int]]:
    """Record the anonymous memory of this process in bytes twice a second; Linux only."""
    seen, done = [0], threading.Event()

    def record() -> None:
        while not done.wait(0.5):
            text = Path("/proc/self/status").read_text()
            seen.append(1024 * int(text.split("RssAnon:")[1].split()[0]))

    thread = threading.Thread(target=record)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()


def main() -> None:
    """Run the benchmark, print the results and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--large", type=int, default=1_000_000, help="images of the large head; 0 skips it"
    )
    parser.add_argument("--rounds", type=int, default=3, help="repetitions of each measurement")
    parser.add_argument("--write", type=Path, help="Markdown file to write")
    options = parser.parse_args()
    sentence = large(options.large, 1_280, 100) if options.large else ""
    print(sentence, flush=True)
    lines = [
        "| images x features, classes | solver | tolerance | seconds | largest error |",
        "|---|---|---|---|---|",
    ]
    for size in SIZES:
        lines += search(size, options.rounds)
    if options.write:
        page = document(lines, sentence, options.rounds)
        options.write.write_text(page, encoding="utf-8")


def document(lines: Sequence[str], sentence: str, rounds: int) -> str:
    """Return the page: the results and how they were measured."""
    versions = [f"{name} {version(name)}" for name in ("headstart", "scikit-learn", "numpy")]
    return PAGE.format(
        folds=FOLDS,
        strengths=len(STRENGTHS),
        rounds=rounds,
        lines="\n".join(lines),
        large=sentence,
        machine=f"{cores()} cores, {platform.machine()}, Python {platform.python_version()}",
        versions=", ".join(versions),
    )


if __name__ == "__main__":
    main()
