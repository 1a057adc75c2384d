"""Groups of copies in a data set: identical images and near copies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from headstart.auditing.issue import Issue, IssueKind, LabeledImages
from headstart.auditing.near_copies import find_copies
from headstart.series.union_find import UnionFind
from headstart.types import Doubles, Labels


@dataclass(frozen=True, slots=True, kw_only=True)
class Copies:
    """Images that show the same picture.

    Attributes:
        groups: (N,) the group of each image: the lowest row in it.
        pairs: (P, 2) rows of images that are similar after alignment.
        similarities: (P,) their similarities, in [0, 1].
        identities: N strings, equal for images with equal pixels.
    """

    groups: Labels
    pairs: Labels
    similarities: Doubles
    identities: Sequence[str]

    @classmethod
    def of(
        cls, thumbnails: np.ndarray, labels: Labels, identities: Sequence[str], *, seed: int
    ) -> Copies:
        """Find the copies among N images; see `headstart.auditing.near_copies.find_copies`."""
        pairs, similarities = find_copies(thumbnails, labels, seed=seed)
        first: dict[str, int] = {}
        found = UnionFind(len(identities))
        found.link((row, first.setdefault(name, row)) for row, name in enumerate(identities))
        found.link(pairs.tolist())
        return cls(
            groups=found.groups(),
            pairs=pairs,
            similarities=similarities,
            identities=identities,
        )


def copy_issues(images: LabeledImages, copies: Copies) -> list[Issue]:
    """Return an issue for each image but the first of each group of copies."""
    order = np.argsort(copies.groups, kind="stable")
    starts = np.flatnonzero(np.diff(copies.groups[order], prepend=-1))
    nearest: dict[int, tuple[float, int]] = {}
    for (one, other), similarity in zip(
        copies.pairs.tolist(), copies.similarities.tolist(), strict=True
    ):
        for row, partner in ((one, other), (other, one)):
            nearest[row] = max(nearest.get(row, (0.0, row)), (similarity, partner))
    issues = []
    for members in np.split(order, starts[1:]):
        if len(members) > 1:
            issues += _group_issues(images, copies, members, nearest)
    return issues


def _group_issues(
    images: LabeledImages,
    copies: Copies,
    members: Labels,
    nearest: Mapping[int, tuple[float, int]],
) -> list[Issue]:
    """Compare each image of a group but the first with the one that it is most similar to.

    `nearest` has the highest similarity of a row, and the row of that image.
    """
    first, *others = sorted(members.tolist(), key=lambda row: images.paths[row])
    labels, counts = np.unique(images.labels[members], return_counts=True)
    clear = len(labels) > 1 and 2 * counts.max() > len(members)
    majority = images.classes[labels[counts.argmax()]] if clear else ""
    equal: dict[str, list[int]] = {}
    for row in (first, *others):
        equal.setdefault(copies.identities[row], []).append(row)
    issues = []
    for row in others:
        twin = next((one for one in equal[copies.identities[row]] if one != row), None)
        score, partner = nearest[row] if twin is None else (1.0, twin)
        same = twin is not None
        found = "the same pixels as" if same else f"similarity {score:.3f}:"
        evidence = [f"{found} {images.paths[partner]}"]
        if len(members) > 2:
            evidence.append(f"a group of {len(members):,}")
        if images.label(row) != images.label(partner):
            evidence.append(f"which is labeled {images.label(partner)}")
        if images.splits and images.splits[row] != images.splits[partner]:
            evidence.append(f"which is in the {images.splits[partner]} part")
        issues.append(
            images.issue(
                row,
                IssueKind.COPY,
                score,
                ", ".join(evidence),
                suggested_label=majority if majority != images.label(row) else "",
                other_path=images.paths[partner],
            )
        )
    return issues
