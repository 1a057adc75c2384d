"""Groups of copies in a data set: identical images and near copies."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from typing import Final

import numpy as np

from headstart.auditing.issue import Issue, IssueKind, LabeledImages
from headstart.series.near_copies import find_copies
from headstart.series.series import Series
from headstart.series.union_find import UnionFind
from headstart.system.text import join_names
from headstart.types import Doubles, Labels

_NAMED: Final = 3
_SAME_SHOT: Final = 0.95
"""Similarity of a copy to its original where both are of one series. Of 247 copies that were
cropped, mirrored or recolored, the lowest has 0.956; of 38 pairs of a series of shelves, two thirds
are below."""


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
        """Find the copies among N images; see `headstart.series.near_copies.find_copies`."""
        pairs, similarities = find_copies(thumbnails, labels, seed=seed)
        return cls(
            groups=_groups(pairs, identities),
            pairs=pairs,
            similarities=similarities,
            identities=identities,
        )

    def outside(self, series: Series, rows: Labels, labels: Labels) -> Copies:
        """Return the copies without the pairs of a series that is listed as a whole.

        A series whose photos hardly differ stays: it consists of copies. Of any other, pairs with
        the same label are left out, so that a burst is one finding. Those with different labels
        stay: one of the labels is probably wrong.

        Args:
            series: Which of the images at `rows` are of one scene.
            rows: (M,) rows of the images that were searched for series.
            labels: (N,) labels of all images.
        """
        found = {
            self.identities[row]: rows[group]
            for row, group in zip(rows, series.groups, strict=True)
        }
        scene = np.array([found.get(one, row) for row, one in enumerate(self.identities)], int)
        left, right = self.pairs.T
        within, differ = scene[left] == scene[right], labels[left] != labels[right]
        same_shot = within & (differ | (self.similarities >= _SAME_SHOT))
        groups = _groups(self.pairs[same_shot], self.identities)
        bursts = scene[groups != groups[scene]]  # a scene is named by one of its rows
        kept = ~within | differ | ~np.isin(scene[left], bursts)
        pairs = self.pairs[kept]
        return replace(
            self,
            groups=_groups(pairs, self.identities),
            pairs=pairs,
            similarities=self.similarities[kept],
        )

    def neighbors(self) -> dict[int, list[tuple[float, int]]]:
        """Return for each row that has a copy the (similarity, row) of those it is linked to."""
        found: dict[int, list[tuple[float, int]]] = defaultdict(list)
        same = [(*pair, 1.0) for pair in _identical(self.identities)]
        pairs = zip(*self.pairs.T.tolist(), self.similarities.tolist(), strict=True)
        for one, other, similarity in (*same, *pairs):
            found[one].append((similarity, other))
            found[other].append((similarity, one))
        return found

    def conflicts(self, labels: Labels) -> list[list[int]]:
        """Return the rows of each image that has several of the labels (N,)."""
        same: dict[str, list[int]] = {}
        for row, name in enumerate(self.identities):
            same.setdefault(name, []).append(row)
        return [rows for rows in same.values() if len({*labels[rows].tolist()}) > 1]


def _identical(identities: Sequence[str]) -> list[tuple[int, int]]:
    """Return the row of each image that an earlier one equals, and the row of the first of them."""
    first: dict[str, int] = {}
    same = [(row, first.setdefault(name, row)) for row, name in enumerate(identities)]
    return [(row, one) for row, one in same if row != one]


def _groups(pairs: Labels, identities: Sequence[str]) -> Labels:
    found = UnionFind(len(identities))
    found.link(_identical(identities))
    found.link(pairs.tolist())
    return found.groups()


def conflict_issues(
    images: LabeledImages, copies: Copies, likely: Mapping[int, str]
) -> list[Issue]:
    """Return an issue for each of the identical images with different labels.

    Args:
        images: All images.
        copies: The copies among them.
        likely: Row of the first of such images -> its most probable class, where it is known.
    """
    issues = []
    for rows in copies.conflicts(images.labels):
        (most, count), *_ = Counter(images.label(row) for row in rows).most_common()
        best, known = most if 2 * count > len(rows) else "", likely.get(rows[0])
        if known in {images.label(row) for row in rows}:
            best = known
        found = f"; predicted without them: {known}" if known else ""
        for row in rows:
            others = [images.paths[one] for one in rows if images.label(one) != images.label(row)]
            labels = {images.label(one) for one in rows} - {images.label(row)}
            issues.append(
                images.issue(
                    row,
                    IssueKind.LABEL_CONFLICT,
                    1.0,
                    f"the same pixels as {join_names(others, _NAMED)}, labeled "
                    f"{join_names(sorted(labels), _NAMED)}{found}",
                    suggested_label="" if best == images.label(row) else best,
                    other_path=others[0],
                )
            )
    return issues


def copy_issues(images: LabeledImages, copies: Copies) -> list[Issue]:
    """Return an issue for each image but the first of each group of copies.

    Identical images with different labels are left to `conflict_issues`.
    """
    conflicting = {row for rows in copies.conflicts(images.labels) for row in rows}
    order = np.argsort(copies.groups, kind="stable")
    starts = np.flatnonzero(np.diff(copies.groups[order], prepend=-1))
    neighbors = copies.neighbors()
    issues = []
    for members in np.split(order, starts[1:]):
        if len(members) > 1:
            issues += _group_issues(images, copies, members, neighbors)
    paths = {images.paths[row] for row in conflicting}
    return [one for one in issues if one.path not in paths]


def _group_issues(
    images: LabeledImages,
    copies: Copies,
    members: Labels,
    neighbors: Mapping[int, list[tuple[float, int]]],
) -> list[Issue]:
    """Compare each image of a group but the first with the one that links it to the first."""
    first = min(members.tolist(), key=lambda row: images.paths[row])
    labels, counts = np.unique(images.labels[members], return_counts=True)
    clear = len(labels) > 1 and 2 * counts.max() > len(members)
    majority = images.classes[labels[counts.argmax()]] if clear else ""
    issues = []
    for row, (similarity, partner) in _partners(first, neighbors).items():
        same = copies.identities[row] == copies.identities[partner]
        score = 1.0 if same else similarity
        found = "the same pixels as" if same else f"similarity {score:.3f}:"
        evidence = [f"{found} {images.paths[partner]}"]
        if len(members) > 2:
            evidence.append(f"one of {len(members):,} similar images")
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


def _partners(
    first: int, neighbors: Mapping[int, list[tuple[float, int]]]
) -> dict[int, tuple[float, int]]:
    """Return the (similarity, row) that each other row of a group is compared with.

    They are a maximum spanning tree (Prim 1957), so no pair is listed in both directions.
    """
    found: dict[int, tuple[float, int]] = {}
    queue = [(-1.0, first, first)]
    while queue:
        negative, row, partner = heappop(queue)
        if row not in found:
            found[row] = (-negative, partner)
            for similarity, other in neighbors[row]:
                heappush(queue, (-similarity, other, row))
    del found[first]
    return found
