"""The file of predictions survives crashes, and is not mistaken for another."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.errors import HeadstartError, UserError
from headstart.serving.prediction_log import LoggedPrediction, PredictionLog

ROW = LoggedPrediction(
    time="2026-01-01T00:00:00+00:00",
    image='a, "b"\r\n\u2028\x1c.jpg',
    digest="0" * 32,
    label="cat",
    probability=0.5,
    novelty=0.25,
    known=False,
    answer="unknown",
    model="1" * 32,
)
BROKEN = LoggedPrediction(time=ROW.time, image="b.jpg", digest="1" * 32, error="not an image")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "log.csv"


def test_rows_are_found_again(path: Path):
    with PredictionLog(path) as log:
        log.append([ROW, BROKEN])
        assert log.row(ROW.image, ROW.digest) == ROW
    with PredictionLog(path) as again:
        assert len(again) == 2
        assert again.row(ROW.image, ROW.digest) == ROW
        assert again.row("b.jpg", BROKEN.digest) == BROKEN
        assert again.row(ROW.image, BROKEN.digest) is None


def test_the_last_row_of_an_image_is_about_what_is_there(path: Path):
    first, second = (replace(ROW, digest=digit * 32, answer=digit) for digit in "12")
    with PredictionLog(path) as log:
        log.append([first, second])
        assert log.row(ROW.image, first.digest) is None
    with PredictionLog(path) as again:
        assert again.row(ROW.image, second.digest) == second
        assert again.earlier_answers(ROW.image) == {"1"}
        again.append([first])  # the first file is back
        assert again.row(ROW.image, first.digest) == first
        assert again.earlier_answers(ROW.image) == {"1", "2"}
        assert again.earlier_answers("other.jpg") == frozenset()
        assert len(again) == 3


def test_rows_of_other_models_are_counted(path: Path):
    with PredictionLog(path) as log:
        log.append([ROW, replace(ROW, image="b.jpg", model="2" * 32)])
    with PredictionLog(path) as again:
        assert [again.count_of_others(digit * 32) for digit in "123"] == [1, 1, 2]


@given(cut=st.integers(1, 60))
def test_an_incomplete_last_row_is_removed(tmp_path_factory: pytest.TempPathFactory, cut: int):
    path = tmp_path_factory.mktemp("log") / "log.csv"
    with PredictionLog(path) as log:
        log.append([ROW])
        log.append([BROKEN])
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    with PredictionLog(path) as log:
        assert len(log) == 1
        log.append([BROKEN])
    assert path.read_bytes() == whole


def test_a_file_without_a_whole_header_begins_anew(path: Path):
    with PredictionLog(path):
        pass
    header = path.read_bytes()
    path.write_bytes(header[:10])
    with pytest.raises(UserError, match="is not a file of 'headstart watch'"):
        PredictionLog(path)


@pytest.mark.parametrize("content", ["my notes\n", "image,label\na.jpg,cat\n"])
def test_other_files_are_left_alone(path: Path, content: str):
    path.parent.mkdir()
    path.write_text(content)
    with pytest.raises(UserError, match="choose another file"):
        PredictionLog(path)
    assert path.read_text() == content


@pytest.mark.parametrize(("columns", "missing"), [("", "answer"), ("answer,", "model")])
def test_a_file_of_an_earlier_version_is_left_alone(path: Path, columns: str, missing: str):
    path.parent.mkdir()
    path.write_text(f"time,image,digest,label,probability,novelty,known,{columns}error\n")
    with pytest.raises(UserError, match=f"by an earlier version, without the column '{missing}'"):
        PredictionLog(path)
    assert missing not in path.read_text()


def test_a_row_that_was_changed_is_named(path: Path):
    with PredictionLog(path) as log:
        log.append([ROW])
    path.write_text(path.read_text().replace("0.25", "unusual"))
    with pytest.raises(UserError, match="has been changed"):
        PredictionLog(path)


def test_two_do_not_write_to_one_file(path: Path):
    with PredictionLog(path), pytest.raises(UserError, match="another process is writing"):
        PredictionLog(path)
    with PredictionLog(path):
        pass


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a full disk")
def test_a_full_disk_is_said_once(path: Path):
    with PredictionLog(path) as log:
        with Path("/dev/full").open("wb") as full:
            os.dup2(full.fileno(), log._file.fileno())
        with pytest.raises(HeadstartError, match="free some space"):
            log.append([ROW])


def test_a_folder_is_no_file(tmp_path: Path):
    with pytest.raises(UserError, match="cannot write to"):
        PredictionLog(tmp_path)
