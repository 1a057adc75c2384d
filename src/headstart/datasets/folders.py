"""Folders of images whose names, or the tables beside them, say the classes.

`headstart.datasets.image_tree` finds the files, `headstart.datasets.folder_layout` tells what the
folders mean. Files next to the class folders (a README, a table) are ignored; images among them
are reported, because they have no class.
"""

from pathlib import Path
from typing import Final

from headstart.datasets.dataset import ImageDataset, ImageEntry, build_dataset
from headstart.datasets.file_names import entries_by_name
from headstart.datasets.folder_layout import FolderLayout, is_container, recognize
from headstart.datasets.folder_tables import open_metadata, table_command
from headstart.datasets.image_tree import ImageTree, Parts, read_tree
from headstart.datasets.tables import NO_OPTIONS, TableOptions
from headstart.datasets.unlabeled_folders import explain_unlabeled
from headstart.datasets.unpacking import is_archive
from headstart.errors import DataError
from headstart.images.formats import file_refusal
from headstart.system.text import count_reasons, join_names, pluralize
from headstart.types import ClassLevel, Skipped, Split

_LAYOUT: Final = "make one folder per class, such as {0}/cats and {0}/dogs, with its images in it"
_NO_CLASS: Final = "no class: it is not in a class folder"
_EMPTY: Final = "no images in this folder"


def open_folder(
    root: Path,
    *,
    name: str = "",
    level: ClassLevel = ClassLevel.PATH,
    table_options: TableOptions = NO_OPTIONS,
    within: Path | None = None,
    cache: Path | None = None,
    require_classes: int = 2,
) -> ImageDataset:
    """Read a folder of labeled images without opening the images.

    Args:
        root: the folder.
        name: the name of the data set; by default the folder's.
        level: what names the class of an image.
        table_options: how a table among the images is read; refused if there is none.
        within: the folder that every image must be in, if the source is not trusted.
        cache: the cache folder, for images inside of tables; by default the platform's.
        require_classes: the smallest number of classes to accept.

    Raises:
        DataError: the folder cannot be read, has too few classes, or is another kind of data set.
    """
    try:
        tree = read_tree(root)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DataError(f"cannot read the folder {root}: {reason}") from error
    name = name or root.resolve().name or str(root)
    layout = None
    if level is ClassLevel.NAME:
        entries, skipped = entries_by_name(tree)
        found = build_dataset(name, entries, (*tree.skipped, *skipped))
    else:
        layout = recognize(tree, level)
        found = _dataset(tree, layout, name)
        if _without_class_folders(found, layout, training=require_classes > 1):
            labeled = open_metadata(
                tree,
                layout,
                table_options,
                name=name,
                within=within,
                cache=cache,
                require_classes=require_classes,
            )
            if labeled is not None:
                return labeled
            if why := explain_unlabeled(tree, layout):
                raise DataError(why)
    if table_options.given:
        raise DataError(
            "--image-column, --label-column, --image-folder, --image-suffix and --group-by "
            f"column:NAME apply to tables, and {root} is not a table and has none among its images"
        )
    if len(found.classes) < require_classes:
        command = layout and table_command(tree, layout)
        also = f"; if the table has their classes, run: {command}" if command else ""
        raise DataError(_too_few_classes(found, tree, level) + also)
    return found


def _without_class_folders(found: ImageDataset, layout: FolderLayout, *, training: bool) -> bool:
    """Whether no folder names a class, or none of the training part does where one is needed."""
    if not found.classes or (len(found.classes) == 1 and is_container(found.classes[0])):
        return True
    return training and Split.TRAIN in layout.splits.values() and Split.TRAIN not in found.splits


def _dataset(tree: ImageTree, layout: FolderLayout, name: str) -> ImageDataset:
    entries: list[ImageEntry] = []
    skipped = [*tree.skipped]
    with_images = {parts[:depth] for parts in tree.image_folders() for depth in _depths(parts)}
    reported = {folder for one in tree.skipped for folder in Path(one.path).parents}
    for parts, reason in layout.unused.items():
        # A folder without images says why itself if something in it is reported.
        if parts in with_images or tree.folders[parts].path not in reported:
            skipped.append(Skipped(str(tree.folders[parts].path), reason))
    for parts, folder in tree.folders.items():
        if parts in layout.classes:
            label, split = layout.classes[parts]
            entries += [ImageEntry(path, label, split) for path in folder.images]
        elif parts in layout.loose:
            skipped += [Skipped(str(path), _NO_CLASS) for path in folder.images]
            continue
        if _is_reported(parts, layout):
            skipped += [Skipped(str(path), _reason(path)) for path in folder.others]
            if folder.empty:
                skipped.append(Skipped(str(folder.path), _EMPTY))
    return build_dataset(name, entries, skipped)


def _is_reported(parts: Parts, layout: FolderLayout) -> bool:
    """Whether files in a folder that are no images are worth a word."""
    depth = len(layout.base)
    below = len(parts) > depth and parts[:depth] == layout.base
    return below and not any(parts[:depth] in layout.unused for depth in _depths(parts))


def _depths(parts: Parts) -> range:
    """Return the depths of a folder and of those it is in."""
    return range(len(parts) + 1)


def _reason(path: Path) -> str:
    return "an archive inside the data; unpack it first" if is_archive(path) else file_refusal(path)


def _too_few_classes(found: ImageDataset, tree: ImageTree, level: ClassLevel) -> str:
    root = tree.root
    hint = _LAYOUT.format(root)
    unclassified = [one for one in found.skipped if one.reason == _NO_CLASS]
    empty = [one.path for one in found.skipped if found.classes and one.reason == _EMPTY]
    counted = [one.reason for one in found.skipped if one.path not in empty]
    reasons = f" ({count_reasons(counted)})" if counted else ""
    packed = [path for one in tree.folders.values() for path in one.others if is_archive(path)]
    if found.classes:
        unreadable = [str(path) for path in tree.unreadable]
        also = f"; cannot read {join_names(unreadable, 3)}" if unreadable else ""
        also += f"; there are no images in {join_names(empty, 3)}" if empty else ""
        problem = f"{root} contains images of only one class ('{found.classes[0]}'){reasons}{also}"
        hint = "it needs at least two folders, one per class"
        if level is ClassLevel.NAME:
            hint = "at least two different words before the numbers in their names are needed"
    elif unclassified and len(unclassified) == len(found.skipped):
        problem = f"{root} contains {pluralize(len(unclassified), 'image')} but no class folders"
    elif packed and not tree.image_folders():
        names = join_names([path.name for path in packed])
        problem = f"{root} contains no images, but {pluralize(len(packed), 'archive')} ({names})"
        hint = f"give one of them, such as {packed[0]}, or unpack them"
    elif found.skipped:
        first = found.skipped[0]
        problem = f"{root} contains no usable images{reasons}, such as {first.path}"
    else:
        problem = f"{root} contains no images"
    return f"{problem}; {hint}"
