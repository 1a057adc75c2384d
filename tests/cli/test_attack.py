import shutil
from pathlib import Path

import pytest
from PIL import Image

from headstart.cli.attack import _beside
from tests.cli.conftest import Cli, one_sentence

pytestmark = pytest.mark.slow


def test_a_cat_becomes_a_dog(cli: Cli, cat: Path, tmp_path: Path):
    out = tmp_path / "new" / "dog.png"
    document = cli("attack", cat, "--to", "dog", "--out", out, "--json").document
    assert document["success"] is True
    assert document.keys() >= {"before", "after", "linf", "l2", "steps", "seconds"}
    assert document["before"]["label"] in {"tabby", "tiger cat", "Egyptian cat"}
    assert 0 < document["linf"] <= 4 / 255 + 1e-9
    again = cli("classify", out, "--top", 1, "--json").document["predictions"][0]
    assert {key: again[key] for key in ("label", "probability")} == document["after"]
    with Image.open(document["comparison"]) as picture:
        assert picture.width > 3 * 390  # three images fill the page


def test_tells_people(cli: Cli, cat: Path, tmp_path: Path):
    out = tmp_path / "a.png"
    done = cli("attack", cat, "--out", out, "--method", "pgd", "--steps", 20, "--jpeg")
    assert done.code == 0
    assert f"read back from {out}" in done.out
    assert f"read back from {tmp_path / 'a-quality90.jpg'}" in done.out
    assert (tmp_path / "a-quality90.jpg").is_file()


def test_the_smallest_change_is_the_default_of_l2(cli: Cli, cat: Path, tmp_path: Path):
    arguments = ["attack", cat, "--norm", "l2", "--steps", 5, "--out", tmp_path / "a.png"]
    document = cli(*arguments, "--json").document
    assert document["method"] == "minimum-norm"
    within = cli(*arguments, "--epsilon", 2, "--json").document
    assert within["method"] == "apgd"
    assert within["l2"] <= 2


def test_failure_exits_with_1_and_writes_what_it_has(cli: Cli, cat: Path, tmp_path: Path):
    out = tmp_path / "a.png"
    done = cli(
        "attack", cat, "--to", "airliner", "--method", "fgsm", "--epsilon", "1/255",
        "--out", out, "--json",
    )  # fmt: skip
    assert done.code == 1
    assert done.document["success"] is False
    assert "try a larger --epsilon" in done.err
    assert out.is_file()


def test_a_model(cli: Cli, model: Path, new_photos: Path, tmp_path: Path):
    image = new_photos / "checks" / "100.jpg"
    arguments = ["attack", image, "--model", model, "--out", tmp_path / "a.png"]
    document = cli(
        *arguments, "--to", "stripes", "--epsilon", "8/255", "--steps", 30, "--json"
    ).document
    assert (document["before"]["label"], document["after"]["label"]) == ("checks", "stripes")
    wrong = cli(*arguments, "--to", "stripe")
    assert wrong.code == 2
    assert "did you mean 'stripes'" in wrong.err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--epsilon", "0"], "must be above 0 and at most 1"),
        (["--epsilon", "1.5"], "pixels range from 0 to 1; for 1.5 of 255 levels write 1.5/255"),
        (["--epsilon", "-4/255"], "give a finite number, 0 or more, such as 4/255"),
        (["--epsilon", "nan"], "is not a number"),
        (["--epsilon", "4/0"], "is not a number"),
        (["--epsilon", "four"], "is not a number"),
        (["--epsilon", "0.5/255"], "less than one level"),
        (["--epsilon", "0.001"], "less than one level"),
        (["--to", "Persian kat"], "did you mean 'Persian cat'"),
        (["--to", "cat"], "already"),
        (["--method", "minimum-norm"], "not linf; choose the norm l2"),
        (["--method", "pgd", "--norm", "l2"], "needs an epsilon"),
        (["--backbone", "efficientnet-lite9"], "there is no backbone"),
        (["--epsilon", "1e400"], "is not a number"),
        (["--method", "fgsm", "--steps", "3"], "fgsm has no setting 'steps'"),
        (["--momentum", "0.5"], "apgd has no setting 'momentum'"),
        (["--norm", "l2", "--restarts", "3"], "minimum-norm has no setting 'restarts'"),
        (["--model", "efficientnet-lite0"], "is not a folder"),
    ],
)
def test_mistakes_are_a_sentence_and_exit_code_2(cli: Cli, cat: Path, tmp_path, more, message):
    done = cli("attack", cat, "--out", tmp_path / "a.png", *more)
    assert done.code == 2
    assert one_sentence(done)
    assert message in done.err


def test_files_that_cannot_be_used(cli: Cli, cat: Path, tmp_path: Path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff nothing")
    photo = Path(shutil.copy(cat, tmp_path / "photo-comparison.png"))
    for image, out, message in [
        (broken, tmp_path / "a.png", "damaged"),
        (tmp_path / "none.jpg", tmp_path / "a.png", "no such file"),
        (cat, tmp_path / "a.jpg", "does not end in .png"),
        (cat, cat, "exists and is not an image of headstart"),
        (photo, tmp_path / "photo.png", "is the input image"),
    ]:
        force = ["--force"] if message == "is the input image" else []
        done = cli("attack", image, "--to", "dog", "--out", out, *force)
        assert done.code == 2
        assert one_sentence(done)
        assert message in done.err
        assert message == "is the input image" or str(image) in done.err or image == cat


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_is_a_number_of_32_bits(cli: Cli, cat: Path, tmp_path: Path, seed: int):
    done = cli("attack", cat, "--out", tmp_path / "a.png", "--seed", seed)
    assert done.code == 2
    assert "--seed" in done.err


def test_the_longest_names_are_written(tmp_path: Path):
    out = tmp_path / f"{'o' * 251}.png"
    for ending in ("-comparison.png", "-quality90.jpg"):
        found = _beside(out, ending)
        found.touch()
        assert found.name.endswith(f"o{ending}")
