import pytest

from headstart.datasets.tables.text_file import read_text
from headstart.errors import DataError

TEXT = "image,label\na.jpg,Kätzchen\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_encodings_that_say_what_they_are(tmp_path, encoding):
    path = tmp_path / "t.csv"
    path.write_bytes(TEXT.encode(encoding))
    assert read_text(path) == TEXT


def test_a_mark_written_twice(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(f"\ufeff{TEXT}".encode("utf-8-sig"))
    assert read_text(path) == TEXT


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (TEXT.encode("latin-1"), r"not UTF-8 text \(byte 19, line 2\).*Latin-1.*'CSV UTF-8'"),
        (TEXT.encode("utf-16-le"), "many zero bytes, as UTF-16 without a byte order mark"),
        (b"PK\x03\x04", "an Excel workbook or a zip file"),
        (b"\x1f\x8b", "gunzip"),
        (b"PAR1", "rename it to end in .parquet"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"<!DOCTYPE html>", "a web page"),
    ],
)
def test_other_files(tmp_path, content, message):
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_text(path)
