"""Which of the images found may be used: no copy twice, no picture with two labels.

A picture that stands on both sides of a split makes any accuracy a lie, and one with two labels
has none. Identity is that of what the network sees: the same bytes, or other bytes and the same
pixels. Copies that were re-saved with loss, resized or mirrored are other pictures here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headstart.types import Conflict, Labels


@dataclass(frozen=True, slots=True)
class UniqueImages:
    """What is left.

    Attributes:
        rows: indices of the images to use, sorted by digest: the order of the files on the disk,
            or in a list, changes nothing that is computed from them.
        duplicates: how many copies were left out.
        conflicts: what was left out because its label is unclear.
    """

    rows: Labels
    duplicates: int
    conflicts: tuple[Conflict, ...]


def curate(
    digests: Sequence[str],
    labels: Labels,
    paths: Sequence[object],
    classes: Sequence[str],
    *,
    identities: Sequence[str],
    last: np.ndarray | None = None,
) -> UniqueImages:
    """Leave out copies and conflicts.

    Args:
        digests: N digests of the images' bytes.
        labels: (N,) indices into `classes`.
        paths: N, named in conflicts.
        classes: names.
        identities: N names, the same for pictures that cannot be told from each other.
        last: (N,) bool; of several copies one is kept where this is true, if there is one. For
            test images: the copy in the training part goes, and the test stays as it was.
    """
    groups: dict[str, list[int]] = defaultdict(list)
    for row, identity in enumerate(identities):
        groups[identity].append(row)
    kept, duplicates, conflicts = [], 0, []
    for rows in groups.values():
        names = {classes[labels[row]] for row in rows}
        if len(names) > 1:
            found = sorted((str(paths[row]), classes[labels[row]]) for row in rows)
            conflicts.append(Conflict(tuple(p for p, _ in found), tuple(n for _, n in found)))
            continue
        preferred = [row for row in rows if last is not None and last[row]] or rows
        kept.append(min(preferred, key=lambda row: (digests[row], str(paths[row]))))
        duplicates += len(rows) - 1
    kept.sort(key=lambda row: digests[row])
    conflicts.sort(key=lambda conflict: conflict.paths)
    return UniqueImages(np.array(kept, dtype=np.int64), duplicates, tuple(conflicts))
