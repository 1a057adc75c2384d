from datetime import datetime

import pytest
from PIL import ExifTags, Image, PngImagePlugin

from headstart.images.capture import Capture, read_capture
from headstart.images.decode import MAX_BYTES, open_header


def photo(path, *, tags=(), details=()):
    exif = Image.Exif()
    for tag, value in tags:
        exif[tag] = value
    for tag, value in details:
        exif.get_ifd(ExifTags.IFD.Exif)[tag] = value
    Image.new("RGB", (9, 9)).save(path, exif=exif)
    return path


def test_reads_time_and_camera(tmp_path):
    path = photo(
        tmp_path / "a.jpg",
        tags=[(ExifTags.Base.Make, "Acme "), (ExifTags.Base.Model, "X1")],
        details=[
            (ExifTags.Base.DateTimeOriginal, "2024:05:31 12:34:56"),
            (ExifTags.Base.SubsecTimeOriginal, "25"),
            (ExifTags.Base.BodySerialNumber, "77"),
        ],
    )
    assert read_capture(path) == Capture(datetime(2024, 5, 31, 12, 34, 56, 250_000), "Acme X1 77")


def test_falls_back_to_the_time_of_the_file_format(tmp_path):
    path = photo(tmp_path / "a.jpg", tags=[(ExifTags.Base.DateTime, "2020:01:02 03:04:05")])
    assert read_capture(path) == Capture(datetime(2020, 1, 2, 3, 4, 5), "")


@pytest.mark.parametrize("time", ["", "0000:00:00 00:00:00", "yesterday", "2024-05-31"])
def test_a_time_that_is_none_is_ignored(time, tmp_path):
    assert read_capture(photo(tmp_path / "a.jpg", tags=[(ExifTags.Base.DateTime, time)])) is None


def test_files_without_a_time(tmp_path):
    (tmp_path / "text.jpg").write_text("no image")
    Image.new("RGB", (4, 4)).save(tmp_path / "plain.png")
    for name in ("text.jpg", "plain.png", "missing.jpg"):
        assert read_capture(tmp_path / name) is None


def test_files_are_read_no_further_than_necessary(tmp_path):
    path = photo(tmp_path / "a.jpg", tags=[(ExifTags.Base.DateTime, "2020:01:02 03:04:05")])
    with path.open("ab") as file:
        file.truncate(MAX_BYTES - 1)  # sparse: reading all of it would take seconds
    assert read_capture(path) is not None


def test_a_png_without_exif_data_is_not_decoded(tmp_path, monkeypatch):
    Image.new("RGB", (4, 4)).save(tmp_path / "plain.png")
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", lambda self: 1 / 0)
    assert read_capture(tmp_path / "plain.png") is None
    with open_header(tmp_path / "plain.png") as image:
        assert image.size == (4, 4)
        assert Image.Image.getexif(image) == {}
