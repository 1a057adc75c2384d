"""What a folder of images without class folders is, and what to do with it."""

import json
import re
import shlex
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from headstart.datasets.file_names import likely_classes, word_of
from headstart.datasets.folder_layout import FolderLayout
from headstart.datasets.folder_tables import table_command
from headstart.datasets.image_tree import ImageTree
from headstart.images.formats import EXTENSIONS
from headstart.system.files import head_of
from headstart.system.text import join_names, pluralize

_BOX: Final = re.compile(rb"\d+( +[-+.\deE]+){4,}\s*(\n|$)")
_HEAD: Final = 4096  # bytes of an annotation that tell what it is
_TRIED: Final = 20  # annotations of a kind, or folders, that are opened


def explain_unlabeled(tree: ImageTree, layout: FolderLayout) -> str | None:
    """Return what to do with images that have no class folders; None if there are no images."""
    images = [path for folder in tree.folders.values() for path in folder.images]
    if not images:
        return None
    if annotated := _annotations(tree, images):
        return (
            f"{tree.root} contains {annotated}; headstart classifies whole images: cut the objects "
            f"out or choose images of one object, and make one folder per class, such as "
            f"{tree.root}/cats and {tree.root}/dogs"
        )
    what = _what(tree, layout, len(images))
    if command := table_command(tree, layout):
        return f"{what}; if the table has their classes, run: {command}"
    flat = [*layout.splits] or [*layout.classes, layout.base]
    for parts in flat:
        folder = tree.folders[parts]
        if words := likely_classes(folder.images):
            example = next(path.name for path in folder.images if word_of(path))
            command = shlex.join(["headstart", "fit", str(folder.path), "--classes-from", "name"])
            return (
                f"{what}; if their names are their classes ({join_names(words, 5)}: the word "
                f"before the number, as in {example}), run: {command} --out MODEL"
            )
    where = tree.root.joinpath(*next(iter(layout.splits), layout.base))
    beside = (
        f"; or, if it is one class, give {tree.root.parent}" if _may_be_class(tree.root) else ""
    )
    return (
        f"{what}; make one folder per class, such as {where}/cats and {where}/dogs, with its "
        f"images in it{beside}"
    )


def _may_be_class(folder: Path) -> bool:
    """Whether a folder beside it has images, too, as if both were classes."""
    with suppress(OSError):
        others = [one for one in folder.parent.iterdir() if one.is_dir() and one != folder]
        return any(
            file.suffix.lower() in EXTENSIONS
            for other in others[:_TRIED]
            for file in other.iterdir()
        )
    return False


def _what(tree: ImageTree, layout: FolderLayout, count: int) -> str:
    parts = [
        f"{tree.folders[one].path} ({pluralize(len(tree.folders[one].images), 'image')})"
        for one in layout.splits
        if one in layout.unused
    ]
    if not parts:
        return f"{tree.root} contains {pluralize(count, 'image')} but no class folders"
    return (
        f"{join_names(parts, 4)} {'has' if len(parts) == 1 else 'have'} no class folders: parts of "
        "a data set are not classes"
    )


def _annotations(tree: ImageTree, images: Iterable[Path]) -> str | None:
    """Return what the other files are if they mark objects or areas in images."""
    others = [path for folder in tree.folders.values() for path in folder.others]
    stems = {path.stem for path in images}

    def of_kind(*endings: str) -> Iterator[tuple[Path, bytes]]:
        chosen = [path for path in others if path.suffix.lower() in endings]
        for path in sorted(chosen, key=lambda one: one.stem not in stems)[:_TRIED]:
            yield path, head_of(path, _HEAD)

    for path, head in of_kind(".txt"):
        if path.stem in stems and _BOX.match(head):
            return f"boxes of objects for each image (YOLO, {path})"
    for path, head in of_kind(".xml", ""):
        if b"<annotation" in head and b"<object" in head:
            return f"boxes of objects for each image (Pascal VOC, {path})"
    for path, head in of_kind(".json"):
        if path.stem in stems and b'"shapes"' in head:
            return f"outlines of objects for each image (LabelMe, {path})"
        if _is_coco(path, head):
            return f"boxes or outlines of objects (COCO, {path})"
    return None


def _is_coco(path: Path, head: bytes) -> bool:
    named = re.search(r"coco|instances|annotation|bbox", f"{path.parent.name}/{path.name}".lower())
    if not head.lstrip().startswith(b"{"):
        return False
    if len(head) < _HEAD:  # all of it
        try:
            keys = set(json.loads(head))
        except (ValueError, RecursionError):
            return False
        return {"images", "annotations"} <= keys
    known = (b'"images"', b'"annotations"', b'"categories"', b'"info"')
    return named is not None and any(key in head for key in known)
