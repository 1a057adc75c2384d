"""Names and kinds of members, and archives that are not supported."""

import io
import os
import tarfile
import zipfile

import pytest

from headstart.datasets import open_dataset
from headstart.datasets.archives import open_archive
from headstart.errors import DataError
from headstart.types import Split
from tests.datasets.archive_files import PHOTOS, names, reasons, tarred, zipped


def written_on_windows(path, names):
    """A zip file as old .NET and PowerShell write it: backslashes, and entries for the folders."""
    with zipfile.ZipFile(path, "w") as archive:
        for folder in dict.fromkeys(name.partition("\\")[0] for name in names):
            archive.writestr(f"{folder}\\", b"")
        for name in names:
            archive.writestr(name, name.encode())
    return path


def test_backslashes_are_folders(tmp_path):
    path = written_on_windows(tmp_path / "a.zip", ["cats\\1.jpg", "cats\\2.jpg", "dogs\\3.jpg"])
    found = open_archive(path, cache=tmp_path / "cache")
    assert (names(found), found.skipped) == (list(PHOTOS), ())


def test_folders_marked_by_their_attributes_alone(tmp_path):
    dos, unix = zipfile.ZipInfo("cats"), zipfile.ZipInfo("dogs")
    dos.external_attr, unix.external_attr = 0x10, 0o040755 << 16
    path = zipped(tmp_path / "a.zip", {dos: b"", unix: b""} | PHOTOS)
    found = open_archive(path, cache=tmp_path / "cache")
    assert (names(found), found.skipped) == (list(PHOTOS), ())


def test_names_in_zip_files(tmp_path):
    stored = {"übung": "übung".encode("cp437"), "猫": "猫".encode()}
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("été/1.jpg", b"1")  # with the flag for UTF-8
        for number, name in enumerate(stored):
            archive.writestr(f"{'x' * len(stored[name])}{number}/1.jpg", b"1")
    data = path.read_bytes()
    for number, raw in enumerate(stored.values()):
        data = data.replace(b"x" * len(raw) + b"%d" % number, raw + b"%d" % number)
    path.write_bytes(data)
    found = open_archive(path, cache=tmp_path / "cache")
    assert found.classes == ("été", "übung0", "猫1")


def test_names_in_tar_files_that_are_not_utf_8(tmp_path):
    files = {os.fsdecode(name): b"x" for name in (b"b\xff/1.jpg", b"b\xfe/2.jpg", b"/\xff")}
    found = open_archive(tarred(tmp_path / "a.tar", files), cache=tmp_path / "cache")
    assert found.classes == (r"b\udcfe", r"b\udcff")
    assert reasons(found) == {r"a.tar//\udcff": "absolute path in the archive"}


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("a.7z", b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
        ("a.zip", b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
        ("a.rar", b"Rar!\x1a\x07\x00", "a RAR archive"),
        ("a.tar.zst", b"\x28\xb5\x2f\xfd", "compressed with Zstandard"),
        ("a.tar.lz4", b"\x04\x22\x4d\x18", "compressed with LZ4"),
        ("a.zip.001", b"PK\x03\x04", "one part of several"),
        ("a.z01", b"PK\x07\x08", "one part of several"),
        ("a.zip", b"PK\x07\x08PK\x03\x04", "one part of several"),
        ("a.zip", b"PK\x03\x04PK\x05\x06\x02\x00" + bytes(16), "one part of several"),
        ("a.tar.lz", b"other", r"a \.lz archive"),
    ],
)
def test_archives_that_are_not_supported(tmp_path, name, content, what):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=f"is {what}, which is not supported; unpack it yourself"):
        open_dataset(tmp_path / name, cache=tmp_path / "cache")


@pytest.mark.parametrize("after", [b"", bytes(16), bytes(100)])
def test_the_mark_of_an_end_record_in_the_data(tmp_path, after):
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04PK\x05\x06\x02\x00" + after + b"x")
    with pytest.raises(DataError, match=r"damaged or not an archive|contains no images"):
        open_dataset(tmp_path / "a.zip", cache=tmp_path / "cache")


def test_archives_inside_are_named(tmp_path):
    path = zipped(tmp_path / "a.zip", {"train.zip": b"PK", "test1.zip": b"PK", "a.csv": b""})
    with pytest.raises(DataError, match=r"no images, but 2 archives \(test1.zip, train.zip\)"):
        open_archive(path, cache=tmp_path / "cache")
    more = {"cats/more.zip": b"PK", "cats/more.tbz2": b"BZ", "cats/scan.nii.gz": b"\x1f\x8b"}
    found = open_archive(zipped(tmp_path / "b.zip", PHOTOS | more), cache=tmp_path / "cache")
    inside = [one.path for one in found.skipped if one.reason.startswith("an archive inside")]
    assert [path.rpartition("/")[2] for path in inside] == ["more.tbz2", "more.zip"]


def test_the_layout_in_an_archive_is_that_of_a_folder(tmp_path):
    flat = {f"d/{part}/{number}.png": b"x" for part in ("train", "test") for number in (1, 2)}
    with pytest.raises(DataError, match="parts of a data set are not classes"):
        open_archive(zipped(tmp_path / "a.zip", flat), cache=tmp_path / "cache")
    table = {"d/train.csv": b"id,label\n1,a\n2,b\n"}
    with pytest.raises(DataError, match=r"run: headstart fit \S*/train.csv --image-folder"):
        open_archive(zipped(tmp_path / "b.zip", flat | table), cache=tmp_path / "cache")
    metadata = {"d/train/metadata.csv": b"file_name,label\n1.png,a\n2.png,b\n"}
    found = open_archive(zipped(tmp_path / "c.zip", flat | metadata), cache=tmp_path / "cache")
    assert (found.classes, set(found.splits)) == (("a", "b"), {Split.TRAIN})


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("ending", [".zip", ".tar"])
def test_of_entries_with_one_name_the_last_is_used(tmp_path, ending):
    path = tmp_path / f"a{ending}"
    names_ = ["cats/1.png", "dogs/2.png", "cats/1.png"]
    if ending == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for number, name in enumerate(names_):
                archive.writestr(name, str(number))
    else:
        with tarfile.open(path, "w") as archive:
            for number, name in enumerate(names_):
                info = tarfile.TarInfo(name)
                info.size = 1
                archive.addfile(info, io.BytesIO(b"%d" % number))
    found = open_archive(path, cache=tmp_path / "cache")
    assert [one.read_bytes() for one in found.paths] == [b"2", b"1"]
    assert "an earlier entry of this name" in reasons(found)[f"a{ending}/cats/1.png"]


def test_what_was_not_unpacked_is_counted(tmp_path):
    files = {"/a/1.jpg": b"", "../b/2.jpg": b"", "../b/3.jpg": b""}
    with pytest.raises(DataError, match=r"not unpacked: 2 path that leads out of the archive"):
        open_archive(zipped(tmp_path / "a.zip", files), cache=tmp_path / "cache")


def test_a_member_with_a_zero_byte_is_refused_alone(tmp_path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in PHOTOS.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        info = tarfile.TarInfo("cats/x.jpg")
        info.pax_headers = {"path": "cats/\0.jpg"}
        archive.addfile(info)
    found = open_archive(path, cache=tmp_path / "cache")
    assert len(found.paths) == 3
    assert len(found.skipped) == 1


def test_a_zip_of_a_newer_version_is_refused_in_words(tmp_path):
    content = bytearray(zipped(tmp_path / "a.zip", PHOTOS).read_bytes())
    place = content.index(b"PK\x01\x02")
    content[place + 6] = 200  # version needed to extract
    (tmp_path / "b.zip").write_bytes(content)
    with pytest.raises(DataError):
        open_archive(tmp_path / "b.zip", cache=tmp_path / "cache")
