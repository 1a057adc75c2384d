from headstart.system.text import join_names, pluralize


def test_many_names_are_counted():
    assert join_names(["a", "b"]) == "a, b"
    assert join_names([str(name) for name in range(1203)], most=2) == "0, 1 and 1,201 more"


def test_one_is_singular():
    assert pluralize(1, "image") == "1 image"
    assert pluralize(0, "image") == "0 images"
    assert pluralize(1234, "copy", "copies") == "1,234 copies"
