from headstart.system.text import counted, listed


def test_many_names_are_counted():
    assert listed(["a", "b"]) == "a, b"
    assert listed([str(name) for name in range(1203)], most=2) == "0, 1 and 1,201 more"


def test_one_is_singular():
    assert counted(1, "image") == "1 image"
    assert counted(0, "image") == "0 images"
    assert counted(1234, "copy", "copies") == "1,234 copies"
