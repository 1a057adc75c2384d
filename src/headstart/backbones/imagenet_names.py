"""ImageNet's classes, and how to find classes by what a user calls them."""

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from importlib.util import find_spec

from headstart.backbones.vision_ops import import_timm
from headstart.errors import DataError
from headstart.system.text import join_names

# Groups of WordNet 3.0 with many classes of ImageNet, as (first, last) of their indices: the
# classes are ordered by WordNet's numbers, so related ones are neighbors.
_GROUPS: Mapping[str, Sequence[tuple[int, int]]] = {
    "ape": [(365, 369)],
    "bear": [(294, 297)],
    "beetle": [(300, 307)],
    "big cat": [(288, 293)],
    "bird": [(7, 24), (80, 100), (127, 146)],
    "butterfly": [(321, 326)],
    "cat": [(281, 287)],  # "cat, true cat": domestic and wild; lions are "big cat" there
    "crab": [(118, 121)],
    "dog": [(151, 268)],  # dingo, dhole and wolves are not
    "fox": [(277, 280)],
    "lizard": [(38, 48)],
    "monkey": [(370, 382)],
    "shark": [(2, 4)],
    "snake": [(52, 68)],
    "spider": [(72, 77)],
    "turtle": [(33, 37)],
    "wolf": [(269, 272)],  # including the coyote
}


@cache
def imagenet_classes() -> tuple[str, ...]:
    """Return the names of the 1,000 classes of ILSVRC 2012, in the order of the logits.

    The names are the first of WordNet's synonyms. Three pairs of classes share theirs and carry a
    qualifier here ("crane (bird)", "crane (machine)"), so that every name is unique.
    """
    text = (files("headstart.backbones") / "imagenet_classes.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())


def find_class(name: str, classes: Sequence[str]) -> int:
    """Return the index of one class.

    Case is ignored, and "_" is the same as a space. ImageNet's classes may be given by a synonym,
    or by their index from 0 to 999.

    Raises:
        DataError: there is no such class; the message suggests similar names.
    """
    found = _named(name, classes)
    if found is None:
        found = _numbered(name, classes)
    if found is None:
        raise _unknown(name, classes)
    return found


def find_classes(name: str, classes: Sequence[str], *, numbers: bool = True) -> tuple[int, ...]:
    """Return the indices of a class, as in `find_class`, or of all in a group ("cat", "dog").

    Args:
        name: a class, an index or a group.
        classes: the network's classes.
        numbers: whether ImageNet's classes may be given by index. Not for names of folders: those
            of digits are called 0 to 9.

    Raises:
        DataError: there is no such class or group.
    """
    found = _named(name, classes)
    if found is None and numbers:
        found = _numbered(name, classes)
    if found is not None:
        return (found,)
    group = plain(name)
    if tuple(classes) == imagenet_classes() and group in imagenet_groups():
        return imagenet_groups()[group]
    raise _unknown(name, classes, groups=True)


@cache
def imagenet_groups() -> Mapping[str, tuple[int, ...]]:
    """Return the indices of the classes of each group, such as "cat" and "dog"."""
    return {
        group: tuple(i for first, last in ranges for i in range(first, last + 1))
        for group, ranges in _GROUPS.items()
    }


def search_classes(word: str) -> tuple[int, ...]:
    """Return the indices of ImageNet's classes that a word or an index stands for.

    These are the classes that have it as a word of their name or, if timm is installed, of a
    synonym, and all of the group with this name; if there is none, those with a word that starts
    with it.

    Raises:
        DataError: there is none; the message suggests similar names.
    """
    classes = imagenet_classes()
    number = _numbered(word, classes)
    if number is not None:
        return (number,)
    names = [(plain(name), index) for index, name in enumerate(classes)]
    names += _synonyms().items() if find_spec("timm") else ()
    start = rf"\b{re.escape(plain(word))}"
    found = set(imagenet_groups().get(plain(word), ()))
    for pattern in (rf"{start}\b", start):
        found.update(index for name, index in names if re.search(pattern, name))
        if found:
            return tuple(sorted(found))
    raise _unknown(word, classes, groups=True)


def _named(name: str, classes: Sequence[str]) -> int | None:
    if name in classes:
        return classes.index(name)
    wanted = plain(name)
    same = [index for index, one in enumerate(classes) if plain(one) == wanted]
    if len(same) == 1:
        return same[0]
    return _synonyms().get(wanted) if tuple(classes) == imagenet_classes() else None


def _numbered(name: str, classes: Sequence[str]) -> int | None:
    digits = name.strip()
    if digits.isascii() and digits.isdigit() and tuple(classes) == imagenet_classes():
        return int(digits) if int(digits) < len(classes) else None
    return None


def _unknown(name: str, classes: Sequence[str], *, groups: bool = False) -> DataError:
    words = {plain(one): one for one in classes}
    if tuple(classes) == imagenet_classes():
        words = {**{word: classes[index] for word, index in _synonyms().items()}, **words}
        words |= {word: word for word in _GROUPS if groups}
    wanted = plain(name)
    # Suggest classes with this word in their name ("retriever"), and similar spellings.
    containing = [words[word] for word in words if wanted and wanted in re.findall(r"\w+", word)]
    similar = [words[word] for word in get_close_matches(wanted, words, n=3, cutoff=0.7)]
    close = list(dict.fromkeys([*containing[:3], *similar]))[:4]
    if close:
        hint = f"did you mean {' or '.join(repr(one) for one in close)}?"
    else:
        hint = f"its {len(classes):,} classes are {join_names(classes, 8)}"
    return DataError(f"the network has no class {name!r}; {hint}")


def plain(name: str) -> str:
    """Return a name as it is compared: lower case, with single spaces."""
    return " ".join(name.replace("_", " ").casefold().split())


@cache
def _synonyms() -> Mapping[str, int]:
    """Return the class of every WordNet synonym that belongs to a single class."""
    described = import_timm("synonyms of class names").data.ImageNetInfo().label_descriptions()
    found: dict[str, set[int]] = {}
    for index, words in enumerate(described):
        for word in words.split(", "):
            found.setdefault(plain(word), set()).add(index)
    return {word: indices.pop() for word, indices in found.items() if len(indices) == 1}
