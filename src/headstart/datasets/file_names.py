"""Classes in the names of files: cat.0.jpg, dog_12.png, Abyssinian_1.jpg, n02085620_7.jpg."""

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from headstart.datasets.dataset import ImageEntry, parse_split
from headstart.datasets.image_tree import ImageTree
from headstart.types import Skipped, Split

_NUMBERED: Final = re.compile(r"(.*?[^\W\d_].*?)[\s._()-]*\d+[\s._()-]*")
_CAMERAS: Final = re.compile(
    r"(dscn?|dscf|dji|img|image|images|pict?|pic|photo|picture|frame|frames|gopr|gp|mvi|vid|video"
    r"|movie|scan|screenshot|screen ?shot|capture|snapshot|cam|camera|file|page|slide|untitled"
    r"|unnamed|download|sample|example|test|train|val|valid|data|whatsapp image|pxl|pano|burst|mg"
    r"|sam|cimg|p|imgp|pb|f|l|r|s|x|no|nr|num|index|id|item|output|out|result|crop|tile|patch|part"
    r"|copy|copie|kopie|new|rotated|augmented|aug|flipped|left|right|front|back|day|session)",
    re.IGNORECASE,
)


def word_of(path: Path) -> str | None:
    """Return what is before the number at the end of a file's name; None without either."""
    found = _NUMBERED.fullmatch(path.stem if path.suffix[1:2].isalpha() else path.name)
    return found[1] if found else None


def likely_classes(paths: Iterable[Path]) -> tuple[str, ...]:
    """Return the words in the names of files if these look like classes, else nothing.

    That is, nearly every name is a word and a number, there are at least two words, each occurs
    twice or more, and none is what cameras and programs write.
    """
    words = [word_of(path) for path in paths]
    counts = Counter(word for word in words if word)
    if sum(counts.values()) < 0.95 * len(words) or len(counts) < 2 or min(counts.values()) < 2:
        return ()
    generic = any(_CAMERAS.fullmatch(re.sub(r"[\W\d_]+", " ", word).strip()) for word in counts)
    return () if generic else tuple(sorted(counts))


def entries_by_name(tree: ImageTree) -> tuple[list[ImageEntry], list[Skipped]]:
    """Return the images of a tree labeled by the words in their names, and those without.

    Folders that are named after splits divide the images; words that only occur outside of the
    training part are no classes.
    """
    splits = {
        parts: next((split for one in parts if (split := parse_split(one))), None)
        for parts in tree.image_folders()
    }
    divided = len(set(splits.values()) - {None}) > 1
    entries, skipped = [], []
    for parts, split in splits.items():
        for path in tree.folders[parts].images:
            word = word_of(path)
            if word is None:
                skipped.append(Skipped(str(path), "no class: its name is not a word and a number"))
            elif divided and split is None:
                skipped.append(Skipped(str(path), "no split: it is in none of the splits' folders"))
            else:
                entries.append(ImageEntry(path, word, split if divided else None))
    trained = {one.label for one in entries if one.split is Split.TRAIN}
    if not divided or not trained:
        return entries, skipped
    strange = [one for one in entries if one.label not in trained]
    skipped += [
        Skipped(str(one.path), f"no class: '{one.label}' is not one of the training part")
        for one in strange
    ]
    return [one for one in entries if one.label in trained], skipped
