from pathlib import Path

from headstart.cli.result_files import result_bases

ENDINGS = [".png", "-grad-cam.png", "-integrated-gradients.png"]


def test_names_never_meet(tmp_path: Path):
    """Equal stems, names on systems that fold case, a sheet and an overlay of another picture."""
    paths = [Path(name) for name in ("a/cat.png", "b/Cat.jpg", "a/cat-grad-cam.png", "cat-2.png")]
    found = list(result_bases(tmp_path, paths, [".png", "-grad-cam.png"]))
    assert [one.name for one in found] == ["cat", "Cat-2", "cat-grad-cam-2", "cat-2-2"]
    files = [file for one in found for file in (f"{one}.png", f"{one}-grad-cam.png")]
    assert len({str(file).casefold() for file in files}) == 8


def test_the_longest_names_never_meet_either(tmp_path: Path):
    paths = [Path(f"{'n' * 248}{ending}") for ending in (".png", ".jpg", "x.png")]
    found = list(result_bases(tmp_path, paths, ENDINGS))
    files = [Path(f"{one}{ending}") for one in found for ending in (ENDINGS[0], ENDINGS[-1])]
    for file in files:
        file.touch()
    assert len(set(files)) == len(list(tmp_path.glob("*.png"))) == 6
