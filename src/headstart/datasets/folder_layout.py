"""What the folders of a data set mean: classes, splits, both in either order, or neither.

    cats/1.jpg                    one folder per class
    birds/owls/2.png              a nested folder is the class "birds/owls"
    train/cats/1.jpg              splits of classes (train, val, test, and other names for them)
    cats/train/1.jpg              classes of splits
    seg_train/seg_train/cats/     the same word around the names of the splits, or twice
    photos/v2/cats/1.jpg          folders around everything are passed through
    cats/images/1.jpg             the same folder in every class is passed through

Two parts of a data set never become two classes.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final
from unicodedata import normalize

from headstart.datasets.dataset import parse_split
from headstart.datasets.image_tree import ImageTree, Parts
from headstart.errors import DataError
from headstart.system.text import join_names, pluralize
from headstart.types import ClassLevel, Split

_CONTAINERS: Final = frozenset(
    {"image", "images", "img", "imgs", "jpegimages", "jpg", "jpeg", "png", "photo", "photos"}
    | {"picture", "pictures", "pic", "pics", "data", "dataset", "files", "rgb", "frames"}
)
_MASKS: Final = re.compile(
    r"(gt|segs?|labels?|mattes?)|.*(mask|groundtruth|segment|annotation|trimap).*"
)
_UNLABELED: Final = frozenset(
    {"unlabeled", "unlabelled", "unsup", "pred", "predict", "prediction", "predictions"}
)
_NEVER_CLASSES: Final = frozenset(
    {"val", "validation", "validate", "eval", "evaluation", "test", "testing", "holdout"}
    | {"unlabeled", "unlabelled"}
)
"""Names of folders without class folders that are no classes beside two others.

"train" is also a vehicle, "valid" has an opposite.
"""
_NO_SPLIT: Final = "no split: it is not in a train, validation or test folder"


def is_container(label: str) -> bool:
    """Whether the name of a folder, the last one of a path, says that it has images, not which."""
    return _plain(label.rpartition("/")[2]) in _CONTAINERS


@dataclass(frozen=True, slots=True)
class FolderLayout:
    """What each folder of a tree means.

    Attributes:
        base: the folder that contains the class or split folders.
        classes: class and split of the images directly in each class folder.
        loose: folders that may contain images beside class folders.
        unused: folders that are reported as a whole, with the reason.
        splits: the folders of the splits.
    """

    base: Parts
    classes: dict[Parts, tuple[str, Split | None]] = field(default_factory=dict)
    loose: tuple[Parts, ...] = ()
    unused: dict[Parts, str] = field(default_factory=dict)
    splits: dict[Parts, Split] = field(default_factory=dict)


def recognize(tree: ImageTree, level: ClassLevel) -> FolderLayout:
    """Tell classes and splits apart.

    The level says which part of nested folders names the class: one that is given also says that
    a lone folder "train" beside others is a class.

    Raises:
        DataError: The folders are those of another kind of data set, or could mean two things.
    """
    images = tree.image_folders()
    base = _content_root(images, ())
    tops = _children(images, base)
    _refuse_masks(tree, base, tops)
    beside = {parts[:-1] for parts in images if parts and is_container(parts[-1])}
    masks = {one for one in images if one and _is_mask(one[-1]) and one[:-1] in beside}
    images = {parts: count for parts, count in images.items() if parts not in masks}
    if splits := _split_folders(tree, base, tops, level):
        layout = _of_splits(tree, images, base, splits)
    else:
        layout = _of_classes(tree, images, base, tops)
    return replace(layout, unused=layout.unused | dict.fromkeys(masks, "masks, not photos"))


def _content_root(images: Collection[Parts], top: Parts, *, known: Collection[str] = ()) -> Parts:
    """Return the innermost folder that contains everything below `top` in more than one folder.

    `known` are names of folders that are classes even if they contain all others.
    """
    while True:
        inner = [parts for parts in images if parts[: len(top)] == top]
        names = {parts[len(top) : len(top) + 1] for parts in inner}
        if len(names) != 1 or names == {()}:
            return top
        (name,) = next(iter(names))
        wrapped = (*top, name)
        doubled = bool(top) and _plain(name) == _plain(top[-1])
        if name in known or (parse_split(name) and not doubled):
            return top
        if not doubled and (len(inner) < 2 or wrapped in images):
            return top
        top = wrapped


def _children(images: Iterable[Parts], base: Parts) -> list[str]:
    """Return the names of the folders in a folder that contain images at any depth."""
    depth = len(base)
    return sorted(
        {parts[depth] for parts in images if len(parts) > depth and parts[:depth] == base}
    )


def _is_mask(name: str) -> bool:
    return _MASKS.fullmatch(_plain(name)) is not None


def _refuse_masks(tree: ImageTree, base: Parts, tops: list[str]) -> None:
    """Refuse images beside their masks, directly or in each split."""
    parts = [name for name in tops if parse_split(name)]
    for where in (base, *((*base, name) for name in parts)):
        names = _children(tree.image_folders(), where)
        masks = [name for name in names if _is_mask(name)]
        others = [name for name in names if name not in masks and not parse_split(name)]
        if masks and others and all(map(is_container, others)):
            folder = tree.root.joinpath(*where)
            raise DataError(
                f"{folder} has {join_names(others)} beside {join_names(masks)}: images and their "
                "masks, for segmentation; headstart classifies whole images, so make one folder "
                f"per class, such as {tree.root}/cats and {tree.root}/dogs, with its images in it"
            )


def _split_folders(
    tree: ImageTree, base: Parts, tops: list[str], level: ClassLevel
) -> dict[str, Split]:
    """Return the folders that are splits; empty if the folders are classes.

    "train" can also be a class of vehicles. So folders count as splits only if there are two
    different ones, or one with class folders and no other folders.
    """
    stems: dict[str, dict[str, Split]] = defaultdict(dict)
    for name in tops:
        for stem, split in _split_in(name):
            stems[stem][name] = split
    complete = [stem for stem, group in stems.items() if len(set(group.values())) > 1]
    plain = stems.get("", {})
    if "" in complete:
        return plain
    if len(complete) > 1:
        names = [name for stem in complete for name in stems[stem]]
        raise DataError(
            f"{tree.root.joinpath(*base)} has {join_names(names)}: classes and splits in one name; "
            "make a folder for each split, such as train and test, with one folder per class in it"
        )
    if complete:
        return stems[complete[0]]
    everything = {name: split for group in stems.values() for name, split in group.items()}
    if plain and len(everything) == len(tops) and len(set(everything.values())) > 1:
        return everything
    others = [name for name in tops if name not in plain and _plain(name) not in _UNLABELED]
    nested = any(_children(tree.image_folders(), (*base, name)) for name in plain)
    if not others:
        return plain
    if not nested:
        return {}
    if level is not ClassLevel.PATH:
        return {}
    folder, part = tree.root.joinpath(*base), next(iter(plain))
    raise DataError(
        f"{folder} has '{part}', which contains class folders, beside {join_names(others)}: put "
        f"the other images into train and test folders as well, give {folder / part} alone, or "
        f"use --classes-from first if '{part}' is a class like the others"
    )


def _split_in(name: str) -> list[tuple[str, Split]]:
    """Return the split in a folder's name, with the rest of it: "seg_train" is ("seg", TRAIN)."""
    if split := parse_split(name):
        return [("", split)]
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[^\W\d_]+|\d+", name)
    found = [(place, split) for place, word in enumerate(words) if (split := parse_split(word))]
    if len(found) != 1:
        return []
    place, split = found[0]
    return [("-".join([*words[:place], "*", *words[place + 1 :]]).casefold(), split)]


def _of_splits(
    tree: ImageTree, images: Mapping[Parts, int], base: Parts, splits: dict[str, Split]
) -> FolderLayout:
    layout = FolderLayout(base)
    inner: dict[str, dict[Parts, str]] = {}
    first_classes: set[str] = set()
    # The training part first: its class folders tell those of the others from wrappers.
    for name in sorted(splits, key=lambda one: (splits[one] is not Split.TRAIN, one)):
        top = _content_root(images, (*base, name), known=first_classes)
        layout.splits[top] = splits[name]
        inner[name] = _labels(images, top)
        if splits[name] is Split.TRAIN:
            first_classes |= {label.split("/")[0] for label in inner[name].values()}
    trained = {
        label for name in splits if splits[name] is Split.TRAIN for label in inner[name].values()
    }
    for (top, split), name in zip(layout.splits.items(), inner, strict=True):
        labels = set(inner[name].values())
        stranger = len(labels) == 1 and trained and labels.isdisjoint(trained)
        if split is not Split.TRAIN and stranger:
            layout.unused[top] = f"no labels: '{labels.pop()}' is not a class of the training part"
        elif labels:
            layout.classes.update({parts: (label, split) for parts, label in inner[name].items()})
        elif count := sum(n for parts, n in images.items() if parts[: len(top)] == top):
            layout.unused[top] = f"no labels: {pluralize(count, 'image')} without class folders"
    for parts in tree.folders:
        if parts[:-1] != base or len(parts) == len(base) or parts[-1] in splits:
            continue
        plain = parse_split(parts[-1])
        layout.unused[parts] = "no class folders in this folder" if plain else _NO_SPLIT
    loose = (base, *(top for top in layout.splits if top not in layout.unused))
    return FolderLayout(base, layout.classes, loose, layout.unused, layout.splits)


def _of_classes(
    tree: ImageTree, images: Mapping[Parts, int], base: Parts, tops: list[str]
) -> FolderLayout:
    labels = _labels(images, base)
    depth = len(base)
    nested = {parts[depth] for parts in images if len(parts) > depth + 1 and parts[:depth] == base}
    never = [name for name in tops if name not in nested and _plain(name) in _NEVER_CLASSES]
    unused = {}
    if len(tops) - len(never) > 1:
        for name in never:
            count = pluralize(images[*base, name], "image")
            unused[*base, name] = f"no labels: {count} without class folders"
    labels = {parts: label for parts, label in labels.items() if parts not in unused}
    if (swapped := _splits_in_classes(labels)) is not None:
        return FolderLayout(base, swapped, (base,), unused)
    _refuse_parts_as_classes(tree, base, labels.values())
    classes: dict[Parts, tuple[str, Split | None]] = {
        parts: (label, None) for parts, label in labels.items()
    }
    return FolderLayout(base, classes, (base,), unused)


def _labels(images: Iterable[Parts], top: Parts) -> dict[Parts, str]:
    """Return the class of each folder below `top`: its path from there."""
    depth = len(top)
    paths = {parts: parts[depth:] for parts in images if parts[:depth] == top and parts != top}
    last = {path[-1] for path in paths.values()}
    wrapped = len(last) == 1 and is_container(*last) and len(paths) > 1
    if wrapped and all(len(path) > 1 for path in paths.values()):
        paths = {parts: path[:-1] for parts, path in paths.items()}
    # Composed accents, as in `class_name`, so that parts of one data set can be compared.
    return {parts: normalize("NFC", "/".join(path)) for parts, path in paths.items()}


def _splits_in_classes(
    labels: Mapping[Parts, str],
) -> dict[Parts, tuple[str, Split | None]] | None:
    """Return classes and splits if every class folder is divided into splits; None if not."""
    swapped: dict[Parts, tuple[str, Split | None]] = {}
    for parts, label in labels.items():
        name, _, last = label.rpartition("/")
        split = parse_split(last)
        if split is None or not name or any(parse_split(one) for one in name.split("/")):
            return None
        swapped[parts] = (name, split)
    return swapped if len({split for _, split in swapped.values()}) > 1 else None


def _refuse_parts_as_classes(tree: ImageTree, base: Parts, labels: Iterable[str]) -> None:
    """Refuse classes that are two parts of the same one, such as "cats/train" and "cats/test"."""
    parts: dict[tuple[str, ...], dict[str, Split]] = defaultdict(dict)
    for label in labels:
        path = label.split("/")
        for place, name in enumerate(path):
            for stem, split in _split_in(name):
                rest = (*path[:place], f"*{stem}", *path[place + 1 :])
                # Two data sets of one kind need not have the same classes inside.
                parts[rest[: place + 1]][label] = split
    for found in parts.values():
        if len(set(found.values())) > 1:
            folder = tree.root.joinpath(*base)
            first = next(iter(found)).split("/")
            inside = f", such as {folder / first[0]}" if len(first) > 1 else ""
            raise DataError(
                f"{folder}: {join_names(list(found), 4)} are parts of a data set, not classes; "
                f"give a folder with train and test in it{inside}, and one folder per class in each"
            )


def _plain(name: str) -> str:
    """Return a name in lower case, without blanks and punctuation."""
    return re.sub(r"[\W_]+", "", name.casefold())
