from headstart.wording import counted


def test_one_is_singular():
    assert counted(1, "image") == "1 image"
    assert counted(0, "image") == "0 images"
    assert counted(1234, "copy", "copies") == "1,234 copies"
