import pytest

from headstart.datasets.class_names import class_name, similar_names_text, spelled_as
from headstart.datasets.dataset import ImageEntry, build_dataset


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cafe\u0301", "caf\u00e9"),
        (" .cat\n", " .cat\n"),
        ("Fehler \udcc3\udca4", "Fehler \u00e4"),  # UTF-8 in the locale of LC_ALL=C
        ("b\udcff", r"b\udcff"),
        ("a\\b", "a\\b"),
        ("a\\b\udcff", r"a\\b\udcff"),
        (r"b\udcff", r"b\\udcff"),
        (r"b\\udcff", r"b\\\\udcff"),
    ],
)
def test_spellings(name, expected):
    assert class_name(name) == expected
    class_name(name).encode()


def test_different_bytes_are_different_classes():
    names = ["b\udcff", "b\udcfe", r"b\udcff", r"b\\udcff", "b\\\udcff", "b\ufffd", "b\\", "b"]
    assert len({class_name(name) for name in names}) == len(names)


def test_a_data_set_has_one_class_for_both_spellings(tmp_path):
    entries = [ImageEntry(tmp_path / name, name) for name in ("cafe\u0301", "dog", "caf\u00e9")]
    found = build_dataset("x\udcff", entries, [])
    assert (found.name, found.classes) == (r"x\udcff", ("caf\u00e9", "dog"))
    assert found.labels.tolist() == [0, 0, 1]


def test_the_spelling_of_a_model_is_taken_over():
    names = ["caf\u00e9", "th\u00e9", "dog"]
    assert spelled_as(names, ["cafe\u0301", "dog"]) == {
        "caf\u00e9": "cafe\u0301",
        "th\u00e9": "th\u00e9",
        "dog": "dog",
    }


def test_names_that_look_alike_are_named():
    assert similar_names_text(["cat", "dog", "cats", "do g"]) is None
    assert similar_names_text(["Cat", "cat", "dog", " dog", "bird"]) == (
        "4 classes differ only in upper and lower case or blanks: 'Cat' and 'cat', 'dog' and ' dog'"
        "; if they are the same, give them one name"
    )
    many = [name for number in range(12) for name in (f"a{number}", f"A{number}")]
    assert " and 2 more; if" in (similar_names_text(many) or "")
