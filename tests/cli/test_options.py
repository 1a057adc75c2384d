from pathlib import Path

import pytest

from headstart.cli.options import DatasetOptions


def test_the_location_of_data_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    found = DatasetOptions(image_folder=Path("photos"), image_suffix=".jpg").location()
    assert found["image_folder"] == str(Path("photos").resolve())
    assert (found["image_suffix"], found["review"]) == (".jpg", None)
    # A folder inside an archive.
    assert DatasetOptions(image_folder=Path("inside")).location()["image_folder"] == "inside"
