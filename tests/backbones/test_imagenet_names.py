import re

import pytest

from headstart.backbones.imagenet_names import (
    _GROUPS,
    find_class,
    find_classes,
    imagenet_classes,
    search_classes,
)
from headstart.errors import DataError

IMAGENET = imagenet_classes()


@pytest.mark.parametrize("name", ["Siamese cat", "siamese CAT", "Siamese_cat", "  siamese  cat"])
def test_names_are_found_however_written(name):
    assert IMAGENET[find_class(name, IMAGENET)] == "Siamese cat"


def test_every_class_is_found_by_its_own_name():
    assert [find_class(name, IMAGENET) for name in IMAGENET] == list(range(1000))


@pytest.mark.parametrize(
    ("word", "index"), [("tabby cat", 281), ("Danaus plexippus", 323), ("Equus africanus", None)]
)
def test_synonyms(word, index):
    if index is None:
        with pytest.raises(DataError):
            find_class(word, IMAGENET)
    else:
        assert find_class(word, IMAGENET) == index


@pytest.mark.parametrize(
    ("slip", "hint"),
    [
        ("Siamese kat", "Siamese cat"),
        ("retriever", "golden retriever"),
        ("teapott", "teapot"),
        ("crane", "crane (bird)"),
    ],
)
def test_near_names_are_suggested(slip, hint):
    with pytest.raises(DataError, match=f"no class '{slip}'; did you mean .*'{re.escape(hint)}'"):
        find_class(slip, IMAGENET)


def test_names_like_nothing_get_a_list():
    with pytest.raises(DataError, match="no class 'xqzt'; its 2 classes are ant, bee"):
        find_class("xqzt", ("ant", "bee"))


def test_groups_are_imagenets_alone():
    assert find_classes("cat", IMAGENET) == tuple(range(281, 288))
    assert len(find_classes("dog", IMAGENET)) == 118
    assert find_classes("tench", IMAGENET) == (0,)
    assert find_classes("cat", ("cat", "dog")) == (0,)
    with pytest.raises(DataError, match="no class 'bird'"):
        find_classes("bird", ("cat", "dog"))
    with pytest.raises(DataError, match="did you mean 'dog'"):
        find_classes("dogg", IMAGENET)


@pytest.mark.parametrize("group", [g for g in _GROUPS if g not in {"cat", "ape"}])
def test_whatever_is_called_like_a_group_belongs_to_it(group):
    """Names that end in the group's word, but for those that WordNet files elsewhere."""
    elsewhere = {"African hunting dog", "hermit crab"}
    members = {IMAGENET[index] for index in find_classes(group, IMAGENET)}
    called = {n for n in IMAGENET if n.split()[-1] == group} - elsewhere
    assert called <= members


def test_imagenets_classes_have_numbers():
    assert (find_class("0", IMAGENET), find_class(" 999 ", IMAGENET)) == (0, 999)
    assert find_classes("281", IMAGENET) == (281,)
    with pytest.raises(DataError, match="no class '1000'"):
        find_class("1000", IMAGENET)


def test_numbers_are_names_in_any_other_data():
    assert find_class("7", ("1", "7")) == 1
    with pytest.raises(DataError, match="no class '0'"):
        find_class("0", ("cat", "dog"))
    with pytest.raises(DataError, match="no class '0'"):
        find_classes("0", IMAGENET, numbers=False)


def test_a_search_finds_starts_of_words_synonyms_groups_and_numbers():
    assert [IMAGENET[index] for index in search_classes("teapo")] == ["teapot"]
    assert search_classes("283") == (283,)
    assert set(range(281, 288)) < set(search_classes("Cat"))
    assert {"catamaran", "bullfrog"}.isdisjoint(IMAGENET[index] for index in search_classes("cat"))
    assert 323 in search_classes("danaus plexippus")
    assert 207 in search_classes("retriever")
    with pytest.raises(DataError, match="did you mean 'zebra'"):
        search_classes("zebrra")
