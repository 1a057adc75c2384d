"""Find series: images that are nearer to each other than independent photos are.

Nothing has to be known about the photos. Two scales come from the data themselves:

- *The nearest image of another class* is another scene. Images of the same class that are nearer
  than 99.5% of those distances, in middle layers and in the last one, may show one scene.
- *A gap.* Photos of one scene are near to each other and far from the rest of their class; in a
  uniform class (the digit 1, a forest from above) distances increase gradually. So a group counts
  only if the next image is clearly farther away.

Copies that were resized, mirrored, recolored or saved again are clearest in the last layer: they
are each other's nearest neighbors by far. In a class whose photos all look alike, pixels decide
(`headstart.series.repeated_shots`). Pictures without contrast (open water, empty frames)
never count, because all of them look alike. docs/decisions/0014-series.md has the measurements.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

import numpy as np

from headstart.series.neighbors import (
    Neighbors,
    Space,
    class_spread,
    nearest,
    other_class_distances,
)
from headstart.series.repeated_shots import Thumbnails, find_repeated_shots
from headstart.series.union_find import UnionFind
from headstart.system.machine import one_blas_thread
from headstart.types import Floats, Labels

_NULL = 0.005
"""Share of the images whose nearest neighbor of another class is nearer than the threshold."""
_GAP, _COPY_GAP = 1.1, 1.3
"""A group in middle layers, or copies in the last one, are this much nearer to each other than to
the next image: with 1.1, none of six sets without series has over 2% of its images in one."""
_EVIDENCE = 0.05
"""With this share of the images in clear series, less clear ones are accepted too: photos of one
scene from several sides are chains without a gap."""
_COMPLETE_GAP = 1.5
"""A group with such a gap is complete; no further image is linked to it."""
_LESS_CLEAR = (1.1, 1.2)
"""Distances in middle layers and in the last one, relative to their thresholds, below which less
clear ones are."""
_SPREADS = (0.4, 0.67)
"""Images of one scene are at most this far apart in middle layers and in the last one, relative to
the farther images of their class. Otherwise all images of a class that is unlike the others would
be a series."""
_NEIGHBORS = 20
_COPIES = 8
"""Number of neighbors among which copies are sought."""
_MIN_WIDTH = 64
"""With fewer features in the last layer, distances have gaps by chance; nothing is found."""
_MIN_IMAGES = 50
"""With fewer images, the thresholds are unreliable; only the clearest copies are found."""

IsBlank: TypeAlias = Callable[[int], bool]
"""Tells whether the image of a row has too little contrast to recognize a scene."""
Evidence: TypeAlias = Callable[[Labels, Labels], np.ndarray]
"""Given the rows (P,) and (P,) of pairs, returns (P,) bool: whether their names or capture times
follow each other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pairs:
    """Pairs of near images of the same class.

    Attributes:
        left: (P,) the row with the lower number.
        right: (P,) the other row.
        middle: (P,) their distance in middle layers, relative to its threshold.
        last: (P,) their distance in the last layer, relative to its threshold.
    """

    left: Labels
    right: Labels
    middle: Floats
    last: Floats


def find_groups(
    values: Mapping[str, Floats],
    labels: Labels,
    *,
    is_blank: IsBlank,
    evidence: Evidence | None = None,
    thumbnails: Thumbnails | None = None,
) -> Labels:
    """Group images of the same scene.

    Args:
        values: Stage name -> features (N, width) of all stages, shallow to deep.
        labels: (N,) class indices.
        is_blank: Tells whether a row's image has too little contrast. It is called once for a
            few images of each group that was found.
        evidence: Tells whether the names or capture times of pairs follow each other.
        thumbnails: Reads images, to compare their pixels.

    Returns:
        (N,) the group of each image: the lowest row in it.
    """
    count = len(labels)
    stages = list(values.values())
    if count < 2 or not stages or stages[-1].shape[1] < _MIN_WIDTH:
        return np.arange(count)
    is_blank = cache(is_blank)
    found = UnionFind(count)
    with one_blas_thread():
        last = Space.of(stages[-1:])
        gap = _COPY_GAP if count >= _MIN_IMAGES else _COMPLETE_GAP
        near = nearest(last, count=_COPIES + 1)
        found.link(_copies(near, _SPREADS[1] * class_spread(last, labels), gap=gap))
        if count >= _MIN_IMAGES and len(stages) > 2:
            start, end = len(stages) // 4, round(0.6 * len(stages))
            middle = Space.of(stages[start:end])
            pairs = _near_pairs(middle, last, labels)
            if pairs is not None:
                _link_scenes(found, pairs, labels, is_blank, evidence)
            if thumbnails is not None:
                found.link(find_repeated_shots(middle, found.groups(), labels, thumbnails).tolist())
    groups = _without_uniform_classes(found.groups(), labels)
    return _without_blank(groups, is_blank)


def _copies(near: Neighbors, spread: Floats, *, gap: float) -> list[tuple[int, int]]:
    """Return pairs of mutual neighbors that are followed by a gap, whatever their classes.

    `spread` (N,) is the largest distance of a copy from each image.
    """
    distances = np.maximum(near.distances[:, : _COPIES + 1], np.float32(1e-4))
    if distances.shape[1] < 2:
        return []
    nearer, farther = distances[:, :-1], distances[:, 1:]
    # With fewer images than neighbors, distances are infinite: nothing follows, so there is no gap.
    ratios = np.divide(farther, nearer, out=np.zeros_like(nearer), where=farther < np.inf)
    ratios[nearer > spread[:, None]] = 0
    clear = ratios.max(1) >= gap
    sizes = np.where(clear, ratios.argmax(1) + 1, 0)
    sets = [set(row[:size].tolist()) for row, size in zip(near.rows, sizes, strict=True)]
    return [(i, j) for i, one in enumerate(sets) for j in one if i < j and i in sets[j]]


def _near_pairs(middle: Space, last: Space, labels: Labels) -> _Pairs | None:
    """Return the pairs of a class that are near in middle layers; None if there are none."""
    limits = [
        _limit(space, labels, spread)
        for space, spread in zip((middle, last), _SPREADS, strict=True)
    ]
    if not min(limits) > 0:
        return None
    near = nearest(middle, count=_NEIGHBORS, labels=labels)
    left, place = np.nonzero(near.distances < _COMPLETE_GAP * limits[0])
    if not len(left):
        return None
    right = near.rows[left, place]
    ends = np.unique(np.stack((np.minimum(left, right), np.maximum(left, right))), axis=1)
    return _Pairs(
        left=ends[0],
        right=ends[1],
        middle=middle.distances(*ends) / limits[0],
        last=last.distances(*ends) / limits[1],
    )


def _limit(space: Space, labels: Labels, spread: float) -> np.float32:
    """Return the distance below which images are nearer than those of different classes are.

    It is 0 if that cannot be known, and at most a share `spread` of the spread of a class.
    """
    others = other_class_distances(space, labels)
    if not len(others):
        return np.float32(0)
    cap = spread * np.median(class_spread(space, labels))
    return np.float32(min(np.quantile(others, _NULL), cap))


def _link_scenes(
    found: UnionFind,
    pairs: _Pairs,
    labels: Labels,
    is_blank: IsBlank,
    evidence: Evidence | None,
) -> None:
    """Link pairs of the same class that are near, as far as there is evidence of series."""
    found.link(_groups_with_gap(pairs, len(found), gap=_GAP))
    clear = _without_blank(_without_uniform_classes(found.groups(), labels), is_blank)
    share = len(_members(clear)) / len(found)
    less_clear = (pairs.middle < _LESS_CLEAR[0]) & (pairs.last < _LESS_CLEAR[1])
    if share < _EVIDENCE:
        if evidence is None:
            return
        less_clear[less_clear] = evidence(pairs.left[less_clear], pairs.right[less_clear])
    complete = np.zeros(len(found), bool)
    complete[np.array(_groups_with_gap(pairs, len(found), gap=_COMPLETE_GAP), int).ravel()] = True
    less_clear &= ~(complete[pairs.left] | complete[pairs.right])
    found.link(zip(pairs.left[less_clear].tolist(), pairs.right[less_clear].tolist(), strict=True))


def _groups_with_gap(pairs: _Pairs, count: int, *, gap: float) -> list[tuple[int, int]]:
    """Return links of groups in a class that are nearer to each other than to the next image.

    Single linkage: pairs are linked from the nearest on. When a group is about to be linked to
    another image at `gap` times the distance that it was formed at, it was a group with a gap.
    """
    distance = np.maximum(pairs.middle, pairs.last)
    usable = np.flatnonzero(distance < _COMPLETE_GAP)
    usable = usable[np.argsort(distance[usable], kind="stable")]
    forest, height = UnionFind(count), np.zeros(count)
    members: dict[int, list[int]] = {}
    links: list[tuple[int, int]] = []

    def keep(group: int, next_distance: float) -> None:
        rows = members.get(group)
        if rows and height[group] < 1 and next_distance >= gap * max(height[group], 1e-3):
            links.extend((rows[0], row) for row in rows[1:])

    for pair in usable:
        a, b = forest.find(int(pairs.left[pair])), forest.find(int(pairs.right[pair]))
        if a == b:
            continue
        at = float(distance[pair])
        keep(a, at)
        keep(b, at)
        joined = [*members.pop(a, [a]), *members.pop(b, [b])]
        forest.link([(a, b)])
        root = forest.find(a)
        members[root], height[root] = joined, at
    for group in list(members):
        keep(group, np.inf)
    return links


def _members(groups: Labels) -> Labels:
    """Return the rows whose group has more than one image."""
    sizes = np.bincount(groups, minlength=len(groups))
    return np.flatnonzero(sizes[groups] > 1)


def _without_uniform_classes(groups: Labels, labels: Labels) -> Labels:
    """Dissolve groups that contain a whole class: nothing tells one scene from a uniform class."""
    kept = groups.copy()
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        if len(rows) > 1 and (groups[rows] == groups[rows[0]]).all():
            kept[rows] = rows
    # A group of several classes may have lost its lowest row.
    for group in np.unique(kept[kept != np.arange(len(kept))]):
        rows = np.flatnonzero(kept == group)
        kept[rows] = rows[0]
    return kept


def _without_blank(groups: Labels, is_blank: IsBlank) -> Labels:
    """Dissolve the groups of which most of the images looked at are blank."""
    kept = groups.copy()
    rows = _members(groups)
    for group in np.unique(groups[rows]):
        inside = rows[groups[rows] == group]
        looked_at = inside[np.linspace(0, len(inside) - 1, min(3, len(inside)), dtype=np.int64)]
        if 2 * sum(is_blank(int(row)) for row in looked_at) >= len(looked_at):
            kept[inside] = inside
    return kept
