"""A cache of stage selections, so that the same arrays are not cross-validated twice.

A selection is stored under a digest of everything that it depends on, the features included. Its
file is a digest followed by safetensors: a damaged file is detected, and the selection computed
again.
"""

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from headstart.errors import HeadstartError
from headstart.heads.candidates import Candidate
from headstart.heads.selection import Selection, select
from headstart.heads.selection_problem import SelectionProblem
from headstart.system.cache_folder import cache_folder
from headstart.system.digests import DIGEST_BYTES, hasher
from headstart.system.files import atomic_write, read_regular
from headstart.types import ProgressCallback, no_progress

_KIND = "choices"
_FORMAT = "2"
"""To be changed when the same arrays lead to another selection."""
_MAX_BYTES = 16 * 2**20
"""Selections with more bytes of probabilities are not stored."""
_MAX_FILES = 100
"""Number of selections that are stored; the oldest are deleted."""
_SUFFIX = ".choice"
_SELECTION, _PROBABILITIES, _CORRECT = "selection", "probabilities", "correct by "


def select_cached(
    root: Path | None,
    problem: SelectionProblem,
    choices: Sequence[Candidate],
    *,
    head: str,
    progress: ProgressCallback = no_progress,
) -> Selection:
    """Select stages by cross-validation, or return the stored result for the same arguments.

    `root` is the cache folder, None to store nothing, and `head` the name of the head's family;
    otherwise see `headstart.heads.selection.select`. Selections with a family from outside
    headstart are not stored, because its code may change without headstart's version.
    """
    family, folds = problem.family, problem.folds
    ours = type(family).__module__.startswith("headstart.")
    inputs = {
        "format": _FORMAT,
        "versions": [version("headstart"), np.__version__],
        "head": [head, family.settings],
        "choices": [asdict(choice) for choice in choices],
        "classes": problem.classes,
    }
    path = None
    if root is not None and folds is not None and ours:
        per_image = np.stack([problem.y, folds, problem.row_weights])
        arrays = {**problem.values, "labels, folds and weights": per_image}
        if problem.clusters is not None:
            arrays["series"] = problem.clusters
        path = root / _KIND / f"{_digest(inputs, arrays)}{_SUFFIX}"
        if stored := _read(path):
            return stored
    selection = select(problem, choices, progress=progress)
    if root is not None and path is not None:
        _store(root, path, selection)
    return selection


def _digest(inputs: object, arrays: Mapping[str, np.ndarray]) -> str:
    digest = hasher(json.dumps(inputs).encode())
    for name, array in arrays.items():
        digest.update(json.dumps([name, array.shape, str(array.dtype)]).encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _read(path: Path) -> Selection | None:
    """Read what `_store` wrote; None if the file is missing or damaged."""
    try:
        content = read_regular(path, limit=2 * _MAX_BYTES, own=True)
        body = content[DIGEST_BYTES:]
        if hasher(body).digest() != content[:DIGEST_BYTES]:
            return None
        arrays = load(body)
        entries = json.loads(arrays[_SELECTION].tobytes())
        return Selection(
            candidate=Candidate(tuple(entries.pop("stages")), entries.pop("depth")),
            probabilities=arrays[_PROBABILITIES],
            correct_by_stage={stage: arrays[_CORRECT + stage] for stage in entries.pop("by_stage")},
            **entries,
        )
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None


def _store(root: Path, path: Path, selection: Selection) -> None:
    """Write a selection, or nothing if the cache cannot be written."""
    probabilities = selection.probabilities
    if probabilities is None or probabilities.nbytes > _MAX_BYTES:
        return
    correct = selection.correct_by_stage
    description = {
        **asdict(selection.candidate),
        "setting": selection.setting,
        "temperature": selection.temperature,
        "folds": selection.folds,
        "by_stage": list(correct),
    }
    arrays: dict[str, np.ndarray] = {
        _SELECTION: np.frombuffer(json.dumps(description).encode(), np.uint8),
        _PROBABILITIES: probabilities,
        **{_CORRECT + stage: right for stage, right in correct.items()},
    }
    with contextlib.suppress(OSError, HeadstartError):
        folder = cache_folder(root, _KIND)
        body = save(arrays)
        atomic_write(path, hasher(body).digest() + body, private=True)
        by_age = sorted(folder.glob(f"*{_SUFFIX}"), key=lambda file: file.stat().st_mtime)
        for old in by_age[:-_MAX_FILES]:
            old.unlink(missing_ok=True)
