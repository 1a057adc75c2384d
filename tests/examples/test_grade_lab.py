"""The tool that divides images for the lab, and grades models."""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from headstart import Classifier, build_report, open_dataset
from headstart.features import extractor
from headstart.types import Interval
from tests.conftest import files, tiny_backbone

pytestmark = pytest.mark.usefixtures("tiny_everywhere")
CLASSES = ("red", "green", "blue")


@pytest.fixture(scope="module")
def tool() -> Any:
    path = Path(__file__).parents[2] / "examples" / "grade_lab.py"
    spec = importlib.util.spec_from_file_location("grade_lab", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["grade_lab"] = module  # where dataclasses look for the names in annotations
    spec.loader.exec_module(module)
    return module


def paint(folder: Path, count: int, *, seed: int) -> Path:
    """Draw smooth noise, different in each image, with more of the color of the class."""
    rng = np.random.default_rng(seed)
    for channel, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            levels = rng.integers(0, 120, (7, 7, 3), np.uint8)
            levels[..., channel] += 100
            image = Image.fromarray(levels).resize((96, 96), Image.Resampling.BICUBIC)
            image.save(folder / name / f"{name}-{number}.png")
    return folder


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The images of the pupils and of the teacher, and a model; not to be changed."""
    root = tmp_path_factory.mktemp("lab")
    paint(root / "teacher", 8, seed=1)
    dataset = open_dataset(paint(root / "pupils", 12, seed=0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(extractor, "load_backbone", lambda name, **options: tiny_backbone())
        Classifier(cache=root / "cache").fit(dataset).save(root / "trained")
    return root


@pytest.fixture
def pupils(lab: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(lab / "pupils", tmp_path / "pupils"))


@pytest.fixture
def teacher(lab: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(lab / "teacher", tmp_path / "teacher"))


@pytest.fixture
def trained(lab: Path) -> Path:
    return lab / "trained"


def contents(folder: Path) -> set[bytes]:
    return {path.read_bytes() for path in files(folder)}


def copy_changed(source: Path, target: Path) -> None:
    with Image.open(source) as image:
        image.resize((80, 80)).save(target, quality=85)


def test_content_and_key_alone_divide(tool: Any, pupils: Path, tmp_path: Path):
    def divided(name: str, *more: str) -> set[bytes]:
        assert tool.main(["divide", str(pupils), str(tmp_path / name), *more]) == 0
        teacher = contents(tmp_path / name / "teacher")
        assert contents(tmp_path / name / "pupils") == contents(pupils) - teacher
        return teacher

    first = divided("lab")
    assert first == {one for one in contents(pupils) if hashlib.sha256(one).digest()[0] < 64}
    for path in files(pupils):
        path.rename(path.with_stem(f"renamed-{path.stem}"))
    assert divided("again") == first
    assert divided("keyed", "--key", "word") != first
    assert divided("more", "--share", "0.75") > first


def test_changed_copies_stay_together(tool: Any, pupils: Path, tmp_path: Path):
    originals = files(pupils)
    for path in originals:
        copy_changed(path, path.with_name(f"{path.stem}-copy.jpg"))
    assert tool.main(["divide", str(pupils), str(tmp_path / "lab"), "--share", "0.5"]) == 0
    parts = {path.stem: path.parts[-3] for path in files(tmp_path / "lab")}
    assert len(parts) == 72
    assert {*parts.values()} == {"pupils", "teacher"}
    assert all(parts[path.stem] == parts[f"{path.stem}-copy"] for path in originals)


def test_an_honest_model_gets_points_with_reasons(
    tool: Any, trained: Path, pupils: Path, teacher: Path, tmp_path: Path, capsys: Any
):
    table = tmp_path / "grades.csv"
    handed = tmp_path / "ada"
    shutil.copytree(trained, handed / "model")
    arguments = ["grade", str(teacher), str(handed), "--training", str(pupils)]
    assert tool.main([*arguments, "--csv", str(table)]) == 0
    out = capsys.readouterr().out
    expected = Classifier.load(trained).score(open_dataset(teacher))
    assert expected > 0.8
    assert f"accuracy     {expected:.3f} (" in out
    assert "1 of 1  runs         24 test images, 0 unreadable" in out
    assert "2 of 2  baseline     always answering one class is right in 0.333" in out
    with table.open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    names = ("runs", "baseline", "accuracy", "promise", "calibration")
    assert int(row["points"]) == sum(int(row[name]) for name in names) >= 7
    assert f"{handed}: {row['points']} of 10 points\n" in out


def test_a_promise_must_be_kept_and_narrow(tool: Any, trained: Path):
    classifier = Classifier.load(trained)
    labels = np.arange(20) // 10
    report = build_report(np.eye(2)[labels], labels, ["a", "b"])  # all right: 0.839 to 1
    for low, high, points in ((0.8, 1.0, 2), (0.71, 1.0, 2), (0.69, 1.0, 0), (0.7, 0.8, 0)):
        promise = replace(classifier.model_.accuracy, interval=Interval(low, high))
        classifier.model_ = replace(classifier.model_, accuracy=promise)
        found = {one.what: one for one in tool.marks(classifier, report, goal=0.9)}
        assert found["promise"].points == points
    assert found["promise"].reason.endswith("; at most 0.3 wide is asked for")


def test_the_same_model_twice_is_remarked(
    tool: Any, trained: Path, pupils: Path, teacher: Path, tmp_path: Path, capsys: Any
):
    ada, bob = tmp_path / "handed" / "ada", tmp_path / "handed" / "bob"
    shutil.copytree(trained, ada)
    shutil.copytree(trained, bob / "work" / "mine")  # found in any folder
    pattern = str(tmp_path / "handed" / "*")  # Windows hands it over as it is
    assert tool.main(["grade", str(teacher), pattern, "--training", str(pupils)]) == 0
    first, second = re.findall(r".* of 10 points.*", capsys.readouterr().out)
    assert first.startswith(f"{ada}: ")
    same = f": the same model as {ada}: the same images, options and seed, or a copy"
    assert second == first.replace(str(ada), str(bob)) + same


def test_accuracy_counts_between_the_largest_class_and_the_goal(tool: Any, trained: Path):
    classifier = Classifier.load(trained)
    right = np.arange(20) % 4 > 0  # 0.75, where the largest class is half of the images
    labels = np.arange(20) // 10
    p = np.eye(2)[np.where(right, labels, 1 - labels)]
    report = build_report(p, labels, ["a", "b"])
    for goal, points in ((0.5, 4), (0.75, 4), (0.9, 2), (1.0, 2), (1.5, 1)):
        found = {one.what: one for one in tool.marks(classifier, report, goal=goal)}
        assert found["accuracy"].points == points
    enough = float(tool.marks(classifier, report, goal=0.75)[2].reason.split()[-1])
    assert enough == pytest.approx(0.5 + 0.25 * 7 / 8, abs=0.001)
    assert found["calibration"].points == 0  # sure of everything, and wrong in a quarter


def test_a_model_that_knows_a_test_image_gets_none(
    tool: Any, trained: Path, pupils: Path, teacher: Path, capsys: Any
):
    stolen = files(pupils)[0]
    shutil.move(stolen, teacher / stolen.parent.name / "leaked.png")
    assert tool.main(["grade", str(teacher), str(trained), "--training", str(pupils)]) == 1
    out = capsys.readouterr().out
    assert "0 of 10 points: it was trained on 1 of the test images, such as leaked.png" in out


def test_a_model_of_other_images_gets_none(
    tool: Any, trained: Path, pupils: Path, teacher: Path, capsys: Any
):
    files(pupils)[0].unlink()
    assert tool.main(["grade", str(teacher), str(trained), "--training", str(pupils)]) == 1
    assert "trained on images that are not in the training folder: 1" in capsys.readouterr().out


def test_changed_copies_are_left_out_and_many_give_none(
    tool: Any, trained: Path, pupils: Path, teacher: Path, capsys: Any
):
    arguments = ["grade", str(teacher), str(trained), "--training", str(pupils)]
    first, *others = files(teacher)
    copy_changed(first, pupils / "red" / "copy.jpg")
    assert tool.main(arguments) == 0
    out = capsys.readouterr().out
    assert f"left out: {first} has a copy in the training folder" in out
    assert "23 test images" in out
    for number, path in enumerate(others[:4]):
        copy_changed(path, pupils / "red" / f"copy-{number}.jpg")
    assert tool.main(arguments) == 1
    out = capsys.readouterr().out
    assert "0 of 10 points: the training folder has copies of 5 of 24 test images" in out
    assert out.count("has a copy in the training folder") == 3
    assert "left out: 2 more\n" in out


def test_what_is_no_model_or_no_folder(
    tool: Any, trained: Path, pupils: Path, teacher: Path, tmp_path: Path, capsys: Any
):
    absent, empty = tmp_path / "absent", tmp_path / "empty"
    empty.mkdir()
    given = [str(empty), str(trained), "--training", str(pupils)]
    assert tool.main(["grade", str(teacher), *given]) == 1
    out = capsys.readouterr().out
    assert f"{empty}: 0 of 10 points: it cannot be tested: {empty} contains no model.json" in out
    assert "runs " in out  # the other model is graded all the same
    (empty / "model.zip").touch()
    shutil.copytree(trained, tmp_path / "two" / "first")
    shutil.copytree(trained, tmp_path / "two" / "second")
    given[1] = str(tmp_path / "two")
    assert tool.main(["grade", str(teacher), *given]) == 1
    out = capsys.readouterr().out
    assert f"it cannot be tested: {empty / 'model.zip'} is packed; unpack it" in out
    assert "it cannot be tested: it contains 2 models, first, second; leave one" in out
    assert tool.main(["grade", str(absent), str(trained), "--training", str(pupils)]) == 2
    assert f"error: there is no file or folder '{absent}'" in capsys.readouterr().err
    for more in (["--share", "1"], []):
        with pytest.raises(SystemExit) as stop:
            tool.main(["divide", str(pupils), str(teacher), *more])
        assert stop.value.code == 2
