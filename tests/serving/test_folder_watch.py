"""Images that are in a folder, and those that arrive, get one row each."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest

from headstart import Classifier
from headstart.errors import DataError
from headstart.models.answers import AnswerRule
from headstart.models.model_backbone import build_model_extractor
from headstart.models.online_prediction import OnlinePredictor
from headstart.models.trained_model import Model
from headstart.serving import folder_watch
from headstart.serving.folder_watch import FolderWatch
from headstart.serving.prediction_log import PredictionLog
from tests.conftest import files

pytestmark = pytest.mark.usefixtures("tiny_everywhere")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_watch, "SETTLED", 0.1)
    monkeypatch.setattr(folder_watch, "PATIENCE", 0.0)


@pytest.fixture
def trained(photos: Path) -> Model:
    paths = files(photos)
    return Classifier().fit(paths, [path.parent.name for path in paths]).model_


@pytest.fixture
def inbox(tmp_path: Path, new_photos: Path) -> Path:
    return Path(shutil.copytree(new_photos / "checks", tmp_path / "inbox"))


@pytest.fixture
def log(tmp_path: Path) -> Iterator[PredictionLog]:
    with PredictionLog(tmp_path / "log.csv") as log:
        yield log


@pytest.fixture
def watch(trained: Model, inbox: Path, log: PredictionLog) -> FolderWatch:
    predictor = OnlinePredictor(trained, build_model_extractor(trained))
    return FolderWatch(inbox, predictor, trained, log, rule=AnswerRule(unknown=0.05))


def test_what_is_there_gets_a_row_once(watch: FolderWatch, inbox: Path, log: PredictionLog):
    (inbox / "broken.png").write_text("no picture")
    (inbox / ".hidden.jpg").write_text("no picture")
    (inbox / "notes.txt").write_text("no picture")
    first = list(watch.existing(Event()))
    images = [path.name for path in files(inbox) if path.name not in (".hidden.jpg", "notes.txt")]
    assert sorted(one.row.image for one in first) == sorted(images)
    assert {one.row.label for one in first if not one.row.error} == {"checks"}
    assert [one.row.error for one in first if one.row.error] == ["not an image"]
    again = list(watch.existing(Event()))
    assert [one.row for one in again] == [one.row for one in first]
    assert not any(one.is_new for one in again)
    assert len(log) == len(first) == 5


def test_a_changed_image_is_another_one(watch: FolderWatch, inbox: Path, new_photos: Path):
    list(watch.existing(Event()))
    changed = files(inbox)[0]
    shutil.copy(files(new_photos / "stripes")[0], changed)
    (new,) = [one for one in watch.existing(Event()) if one.is_new]
    assert (new.path.name, new.row.label) == (changed.name, "stripes")
    assert new.earlier_answers == {"checks"}
    shutil.copy(new_photos / "checks" / changed.name, changed)  # as it was first
    (back,) = [one for one in watch.existing(Event()) if one.is_new]
    assert (back.row.answer, back.row.model) == ("checks", watch._model)
    assert back.earlier_answers == {"checks", "stripes"}


@pytest.mark.parametrize("poll", [False, True], ids=["notified", "polling"])
def test_what_arrives_gets_a_row_once_it_is_complete(
    watch: FolderWatch, inbox: Path, new_photos: Path, poll: bool
):
    stop, rows = Event(), {}
    late = files(new_photos / "noise")
    for one in watch.arriving(stop, poll=poll):
        rows[one.row.image] = one.row
        if len(rows) == 4:  # all that was there
            (inbox / "camera").mkdir(exist_ok=True)
            shutil.copy(late[0], inbox / "camera" / late[0].name)
        if len(rows) == 5:
            stop.set()
    assert rows[f"camera/{late[0].name}"].label == "noise"
    assert len(rows) == 5


def test_a_file_that_grows_is_waited_for(tmp_path: Path):
    path = tmp_path / "a.jpg"
    path.write_bytes(b"1")
    before = folder_watch._states([path], {})
    assert folder_watch._states([path], before) == before
    path.write_bytes(b"12")
    after = folder_watch._states([path], before)
    assert after[path].since > before[path].since
    path.unlink()
    assert folder_watch._states([path], after) == {}


def test_an_unreadable_file_may_still_be_written(
    watch: FolderWatch, inbox: Path, log: PredictionLog, monkeypatch: pytest.MonkeyPatch
):
    broken = inbox / "late.jpg"
    broken.write_bytes(files(inbox)[0].read_bytes()[:500])
    monkeypatch.setattr(folder_watch, "PATIENCE", 30.0)
    said: list[Path] = []
    watch._on_unread = lambda path, _: said.append(path)
    for _ in range(2):
        assert broken not in [one.path for one in watch.existing(Event())]
    assert said == [broken]
    os.utime(broken, (0, 0))
    assert [one.row.error != "" for one in watch.existing(Event()) if one.is_new] == [True]
    assert not [one for one in watch.existing(Event()) if one.is_new]
    assert len(log) == 5


def test_it_stops_before_the_next_images(watch: FolderWatch, log: PredictionLog):
    stop = Event()
    stop.set()
    assert list(watch.existing(stop)) == []
    assert len(log) == 0


def test_a_folder_that_is_removed_ends_it(watch: FolderWatch, inbox: Path):
    arriving = watch.arriving(Event())
    next(arriving)
    shutil.rmtree(inbox)
    with pytest.raises(DataError, match="is gone"):
        list(arriving)
