"""Choices of stages that were made before: the same arrays are not cross-validated twice.

A choice is kept under a digest of all that goes into it, the features themselves included, so that
no old one can be taken for another's. A file is a digest of the rest, then arrays as safetensors:
what a disk has changed is found out, and computed again.
"""

from __future__ import annotations

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
from headstart.heads.families import head_family
from headstart.heads.selection import Selection, select
from headstart.system.cache_folder import cache_folder
from headstart.system.digests import DIGEST_BYTES, hasher
from headstart.system.files import write_file
from headstart.types import Floats, Labels, ProgressCallback

_KIND = "choices"
_FORMAT = "1"
"""Changes when the same arrays lead to another choice."""
_LARGEST = 16 * 2**20
"""Bytes of probabilities that are kept at most."""
_MOST = 100
"""Choices that are kept; the oldest go."""
_ENDING = ".choice"
_SELECTION, _PROBABILITIES, _CORRECT = "selection", "probabilities", "correct by "


def chosen(
    root: Path | None,
    values: Mapping[str, Floats],
    y: Labels,
    folds: Labels | None,
    *,
    head: str,
    choices: Sequence[Candidate],
    classes: int,
    row_weights: Floats,
    progress: ProgressCallback | None = None,
) -> Selection:
    """What `select` says, or said when it was asked the same before.

    Args:
        root: the cache folder; None keeps nothing.
        values: see `select`, as for what follows.
        y: (N,) labels.
        folds: (N,) or None.
        head: name of the head family; choices of families from outside headstart are not kept,
            because their code may change without its version.
        choices: one or more candidates.
        classes: how many.
        row_weights: (N,).
        progress: called with (done, total) candidates.
    """
    family = head_family(head)
    question = {
        "format": _FORMAT,
        "versions": [version("headstart"), np.__version__],
        "head": [head, family.settings],
        "choices": [asdict(choice) for choice in choices],
        "classes": classes,
    }
    path = None
    ours = type(family).__module__.startswith("headstart.")
    if root is not None and folds is not None and ours:
        arrays = {**values, "labels, folds and weights": np.stack([y, folds, row_weights])}
        path = root / _KIND / f"{_digest(question, arrays)}{_ENDING}"
        if found := _read(path):
            return found
    selection = select(
        values,
        y,
        folds,
        family=family,
        choices=choices,
        classes=classes,
        row_weights=row_weights,
        progress=progress,
    )
    if root is not None and path is not None:
        _keep(root, path, selection)
    return selection


def _digest(question: object, arrays: Mapping[str, np.ndarray]) -> str:
    digest = hasher(json.dumps(question).encode())
    for name, array in arrays.items():
        digest.update(json.dumps([name, array.shape, str(array.dtype)]).encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _read(path: Path) -> Selection | None:
    """What `_keep` wrote; None if there is nothing, or it is damaged."""
    try:
        content = path.read_bytes()
        body = content[DIGEST_BYTES:]
        if hasher(body).digest() != content[:DIGEST_BYTES]:
            return None
        arrays = load(body)
        known = json.loads(arrays[_SELECTION].tobytes())
        return Selection(
            candidate=Candidate(tuple(known.pop("stages")), known.pop("depth")),
            probabilities=arrays[_PROBABILITIES],
            correct_by_stage={stage: arrays[_CORRECT + stage] for stage in known.pop("by_stage")},
            **known,
        )
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None


def _keep(root: Path, path: Path, selection: Selection) -> None:
    """Write a choice; where that cannot be done, nothing is lost."""
    probabilities = selection.probabilities
    if probabilities is None or probabilities.nbytes > _LARGEST:
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
        write_file(path, hasher(body).digest() + body)
        by_age = sorted(folder.glob(f"*{_ENDING}"), key=lambda one: one.stat().st_mtime)
        for old in by_age[:-_MOST]:
            old.unlink(missing_ok=True)
