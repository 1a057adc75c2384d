import errno
import io
import os
import tarfile
import time
import zipfile
from pathlib import Path

import pytest

from headstart.datasets import archives, open_dataset, unpacking
from headstart.datasets.archives import open_archive
from headstart.datasets.unpacking import unpack
from headstart.errors import DataError, StoreError
from headstart.features import path_index
from headstart.system.files import locked
from headstart.types import Split

PHOTOS = {"cats/1.jpg": b"1", "cats/2.jpg": b"22", "dogs/3.jpg": b"333"}


def unpacked(cache):
    """What the cache holds of archives, its own mark apart."""
    return [path for path in (cache / "archives").iterdir() if path.is_dir()]


def zipped(path, files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def tarred(path, files, *others):
    kind = path.name.rpartition(".tar.")[2]
    with tarfile.open(path, f"w:{kind if kind in ('gz', 'bz2', 'xz') else ''}") as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for other in others:
            archive.addfile(other)
    return path


def packed(path, files):
    return zipped(path, files) if path.suffix == ".zip" else tarred(path, files)


def names(dataset):
    return [f"{path.parent.name}/{path.name}" for path in dataset.paths]


def reasons(dataset):
    return {one.path: one.reason for one in dataset.skipped}


@pytest.mark.parametrize("ending", [".zip", ".tar", ".tar.gz", ".tar.bz2", ".tar.xz"])
def test_every_kind(tmp_path, ending):
    path = packed(tmp_path / f"pets{ending}", PHOTOS)
    found = open_dataset(path, cache=tmp_path / "cache")
    assert found.classes == ("cats", "dogs")
    assert names(found) == list(PHOTOS)
    assert [one.read_bytes() for one in found.paths] == list(PHOTOS.values())
    assert (found.name, found.skipped) == (path.name, ())


def test_unpacked_once(tmp_path, monkeypatch):
    path = zipped(tmp_path / "a.zip", PHOTOS | {"/etc/x.jpg": b"x"})
    first = open_archive(path, cache=tmp_path / "cache")
    monkeypatch.setattr(archives, "unpack", None)
    again = open_archive(path.rename(tmp_path / "b.zip"), cache=tmp_path / "cache")
    assert again.paths == first.paths
    reason = "absolute path in the archive"
    assert reasons(first) == {"a.zip//etc/x.jpg": reason}
    assert reasons(again) == {"b.zip//etc/x.jpg": reason}


def test_the_cache_holds_nothing_half_done(tmp_path, monkeypatch):
    path = zipped(tmp_path / "a.zip", PHOTOS)

    def fail(*_args, **_options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(unpacking, "_write", fail)
        with pytest.raises(KeyboardInterrupt):
            open_archive(path, cache=tmp_path / "cache")
    assert unpacked(tmp_path / "cache") == []
    assert len(open_archive(path, cache=tmp_path / "cache")) == 3


def test_a_faster_process_wins(tmp_path, monkeypatch):
    path = zipped(tmp_path / "a.zip", PHOTOS)
    real = archives.unpack

    def meanwhile(source, into, **options):
        monkeypatch.setattr(archives, "unpack", real)
        open_archive(path, cache=tmp_path / "cache")
        return real(source, into, **options)

    monkeypatch.setattr(archives, "unpack", meanwhile)
    assert len(open_archive(path, cache=tmp_path / "cache")) == 3
    assert len(unpacked(tmp_path / "cache")) == 1


def test_wrapping_folders_are_entered(tmp_path):
    wrapped = {f"data/v1/{name}": content for name, content in PHOTOS.items()}
    path = zipped(tmp_path / "a.zip", wrapped | {"__MACOSX/data/._x": b"", "data/.DS_Store": b""})
    found = open_archive(path, cache=tmp_path / "cache")
    assert (found.classes, found.skipped) == (("cats", "dogs"), ())


def test_splits_are_not_entered(tmp_path):
    files = {f"set/train/{name}": content for name, content in PHOTOS.items()}
    found = open_archive(zipped(tmp_path / "a.zip", files), cache=tmp_path / "cache")
    assert set(found.splits) == {Split.TRAIN}


def test_a_table_beside_one_folder_is_read(tmp_path):
    table = b"image,label\nimages/1.jpg,a\nimages/2.jpg,b\n../../../x.jpg,b\n"
    files = {"s/images/1.jpg": b"1", "s/images/2.jpg": b"2", "s/labels.csv": table}
    found = open_archive(zipped(tmp_path / "a.zip", files), cache=tmp_path / "cache")
    assert found.classes == ("a", "b")
    assert reasons(found) == {"../../../x.jpg": "outside the archive"}
    both = zipped(tmp_path / "b.zip", PHOTOS | {"labels.csv": table})
    assert open_archive(both, cache=tmp_path / "cache").classes == ("cats", "dogs")


def test_nothing_that_can_be_used(tmp_path):
    for files in ({"a.txt": b""}, {"1.jpg": b"", "2.jpg": b""}, {"cats/1.jpg": b""}):
        path = zipped(tmp_path / "a.zip", files)
        with pytest.raises(DataError, match="contains neither one folder of images per class"):
            open_archive(path, cache=tmp_path / "cache")
    found = open_archive(path, cache=tmp_path / "cache", require_classes=1)
    assert found.classes == ("cats",)


HOSTILE = ["../out.jpg", "cats/../../out.jpg", "/abs/out.jpg", "C:\\out.jpg", "..\\out.jpg"]


@pytest.mark.parametrize("ending", [".zip", ".tar"])
def test_members_stay_inside(tmp_path, ending):
    path = packed(tmp_path / f"a{ending}", PHOTOS | dict.fromkeys(HOSTILE, b"evil"))
    found = open_archive(path, cache=tmp_path / "deep" / "cache")
    assert names(found) == list(PHOTOS)
    assert sorted(reasons(found)) == sorted(f"{path.name}/{name}" for name in HOSTILE)
    assert {"absolute path in the archive", "path that leads out of the archive"} == set(
        reasons(found).values()
    )
    assert not list(tmp_path.rglob("*out.jpg"))


def member(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def test_links_and_devices_in_tar_files(tmp_path):
    path = tarred(
        tmp_path / "a.tar",
        PHOTOS,
        member("cats/link.jpg", tarfile.SYMTYPE, "/etc/passwd"),
        member("cats/dir", tarfile.SYMTYPE, "/tmp"),
        member("cats/null.jpg", tarfile.CHRTYPE),
        member("cats/pipe.jpg", tarfile.FIFOTYPE),
        member("cats/hard.jpg", tarfile.LNKTYPE, "dogs/3.jpg"),
        member("cats/bad.jpg", tarfile.LNKTYPE, "../../etc/passwd"),
        member("cats/none.jpg", tarfile.LNKTYPE, "nowhere.jpg"),
    )
    found = open_archive(path, cache=tmp_path / "cache")
    assert names(found) == ["cats/1.jpg", "cats/2.jpg", "cats/hard.jpg", "dogs/3.jpg"]
    assert found.paths[2].read_bytes() == b"333"
    assert reasons(found) == {
        "a.tar/cats/link.jpg": "link in the archive",
        "a.tar/cats/dir": "link in the archive",
        "a.tar/cats/null.jpg": "device in the archive",
        "a.tar/cats/pipe.jpg": "device in the archive",
        "a.tar/cats/bad.jpg": "unsafe archive member",
        "a.tar/cats/none.jpg": "unsafe archive member",
    }


def test_links_in_zip_files(tmp_path):
    link = zipfile.ZipInfo("cats/link.jpg")
    link.external_attr = 0o120777 << 16
    path = zipped(tmp_path / "a.zip", PHOTOS | {link: b"/etc/passwd"})
    found = open_archive(path, cache=tmp_path / "cache")
    assert reasons(found) == {"a.zip/cats/link.jpg": "link in the archive"}


def test_names_that_clash(tmp_path):
    clash = {"cats/1.jpg/inner.jpg": b"", "dogs": b"", f"cats/{'n' * 300}.jpg": b""}
    clash |= {f"{'n' * 300}/1.jpg": b"", f"{'/'.join(['deep'] * 1200)}.jpg": b""}
    found = open_archive(tarred(tmp_path / "a.tar", PHOTOS | clash), cache=tmp_path / "cache")
    assert set(reasons(found).values()) == {"file name not allowed on this system"}
    assert len(found.skipped) == 5


@pytest.mark.parametrize("ending", [".zip", ".tar.gz"])
def test_bombs(tmp_path, ending, monkeypatch):
    path = packed(tmp_path / f"a{ending}", {"cats/1.jpg": bytes(5_000_000), "dogs/2.jpg": b""})
    monkeypatch.setattr(unpacking, "_FREE", 1_000_000)
    monkeypatch.setattr(unpacking, "_RATIO", 10)
    with pytest.raises(DataError, match=r"more than 1 MB, as decompression bombs do"):
        unpack(path, tmp_path)
    monkeypatch.undo()
    monkeypatch.setattr(unpacking, "_MOST_FILES", 1)
    with pytest.raises(DataError, match="more than 1 files"):
        unpack(path, tmp_path)


def test_limits(monkeypatch):
    for name, value in {"_MOST_BYTES": 1000, "_RATIO": 10, "_FREE": 50}.items():
        monkeypatch.setattr(unpacking, name, value)
    assert [unpacking._allowed(size) for size in (1, 6, 1_000_000)] == [50, 60, 1000]


@pytest.mark.parametrize("ending", [".zip", ".tar", ".tar.gz", ".tar.bz2", ".tar.xz"])
@pytest.mark.parametrize("kept", [0.0, 0.3, 0.9])
def test_truncated_archives(tmp_path, ending, kept):
    files = {name: os.urandom(50_000) for name in PHOTOS}
    path = packed(tmp_path / f"a{ending}", files)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(DataError, match="truncated, damaged or not an archive"):
        open_archive(path, cache=tmp_path / "cache")
    assert unpacked(tmp_path / "cache") == []


@pytest.mark.parametrize("ending", [".tar.gz", ".tar.bz2", ".tar.xz"])
def test_damaged_streams(tmp_path, ending):
    files = {name: b"".join(b"%d " % number for number in range(20_000)) for name in PHOTOS}
    path = packed(tmp_path / f"a{ending}", files)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 400] = b"\xff" * 400
    path.write_bytes(data)
    with pytest.raises(DataError, match="truncated, damaged or not an archive"):
        open_archive(path, cache=tmp_path / "cache")


def test_one_damaged_member_of_a_zip_file_is_skipped(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in PHOTOS:
            archive.writestr(name, b"content of " + name.encode())
    data = path.read_bytes().replace(b"content of cats/2.jpg", b"content of cats/9.jpg")
    path.write_bytes(data)
    found = open_archive(path, cache=tmp_path / "cache")
    assert names(found) == ["cats/1.jpg", "dogs/3.jpg"]
    assert reasons(found) == {"a.zip/cats/2.jpg": "damaged in the archive"}


def test_damage_to_one_member_of_any_compression_costs_only_it(tmp_path):
    kinds = {"lzma": zipfile.ZIP_LZMA, "bz2": zipfile.ZIP_BZIP2, "deflate": zipfile.ZIP_DEFLATED}
    for name, kind in kinds.items():
        path = tmp_path / f"{name}.zip"
        with zipfile.ZipFile(path, "w", kind) as archive:
            for photo in PHOTOS:
                archive.writestr(photo, photo.encode() * 2000)
            where = archive.getinfo("cats/2.jpg")
        data = bytearray(path.read_bytes())
        start = where.header_offset + 30 + len("cats/2.jpg") + 12
        data[start : start + 10] = b"\xff" * 10
        path.write_bytes(data)
        found = open_archive(path, cache=tmp_path / "cache")
        assert names(found) == ["cats/1.jpg", "dogs/3.jpg"]
        assert reasons(found) == {f"{name}.zip/cats/2.jpg": "damaged in the archive"}


@pytest.mark.parametrize("ending", [".zip", ".tar"])
@pytest.mark.parametrize("where", ["reading", "writing"])
def test_a_failing_disk_is_blamed_on_the_right_side(tmp_path, monkeypatch, ending, where):
    path = packed(tmp_path / f"a{ending}", PHOTOS)

    def fail(*_args, **_options):
        raise OSError(errno.EIO, "Input/output error")

    if where == "reading":
        reader = zipfile.ZipExtFile if ending == ".zip" else tarfile.ExFileObject
        monkeypatch.setattr(reader, "read", fail)
        expected: type[Exception] = DataError
        match = f"cannot read .*a{ending}: Input/output error"
    else:
        monkeypatch.setattr(Path, "open", opening(Path.open, fail))
        expected, match = StoreError, "cannot write .*: Input/output error"
    with pytest.raises(expected, match=match):
        open_archive(path, cache=tmp_path / "cache")
    assert unpacked(tmp_path / "cache") == []


def opening(real, fail):
    """`Path.open` whose new files in the cache cannot be written."""

    def opened(self, mode="r", *args, **options):
        if mode == "wb" and self.suffix == ".jpg":
            fail()
        return real(self, mode, *args, **options)

    return opened


def test_refused_members_are_never_opened(tmp_path, monkeypatch):
    path = zipped(tmp_path / "a.zip", PHOTOS | dict.fromkeys(HOSTILE, b"evil"))
    real, seen = zipfile.ZipFile.open, []

    def watched(self, member, *args, **options):
        seen.append(member.filename)
        return real(self, member, *args, **options)

    monkeypatch.setattr(zipfile.ZipFile, "open", watched)
    open_archive(path, cache=tmp_path / "cache")
    assert seen == list(PHOTOS)


@pytest.mark.parametrize("damage", ["deleted", "cut", "added", "record", "no record", "writable"])
def test_an_unpacked_archive_that_changed_is_unpacked_again(tmp_path, damage):
    path, cache = zipped(tmp_path / "pets.zip", {**PHOTOS, "../x.jpg": b""}), tmp_path / "cache"
    before = open_dataset(path, cache=cache)
    (folder,) = unpacked(cache)
    first = before.paths[0]
    if damage == "deleted":
        first.unlink()
    elif damage == "cut":
        first.write_bytes(b"")
    elif damage == "added":
        (first.parent / "planted.jpg").touch()
    elif damage == "record":
        (folder / "contents.json").write_text("[")
    elif damage == "no record":
        (folder / "contents.json").unlink()
    elif damage == "writable":
        folder.chmod(0o777)
    again = open_dataset(path, cache=cache)
    assert (again.paths, again.skipped) == (before.paths, before.skipped)
    assert [one.read_bytes() for one in again.paths] == [b"1", b"22", b"333"]
    assert unpacked(cache) == [folder]


def test_what_a_killed_process_left_is_removed(tmp_path):
    cache = tmp_path / "cache"
    open_dataset(zipped(tmp_path / "a.zip", PHOTOS), cache=cache)
    old, used, new = (cache / "archives" / f".{16 * letter}.tmp" for letter in "abc")
    for folder in (old, used, new):
        (folder / "files").mkdir(parents=True)
        if folder != new:
            os.utime(folder, (1, 1))
    with locked(used):
        open_dataset(zipped(tmp_path / "b.zip", {**PHOTOS, "dogs/4.jpg": b"4"}), cache=cache)
    assert [folder.exists() for folder in (old, used, new)] == [False, True, True]


def test_an_unchanged_archive_is_not_read_again(tmp_path, monkeypatch, settled):
    path = zipped(tmp_path / "a.zip", PHOTOS)
    first = open_archive(path, cache=tmp_path / "cache")
    with monkeypatch.context() as patch:
        patch.setattr(path_index, "file_digest", None)
        assert open_archive(path, cache=tmp_path / "cache").paths == first.paths
    time.sleep(0.02)  # past a tick of the clock
    zipped(path, {"birds/1.jpg": b"1", "fish/2.jpg": b"2"})
    assert open_archive(path, cache=tmp_path / "cache").classes == ("birds", "fish")


def test_encrypted_zip_files(tmp_path):
    path = zipped(tmp_path / "a.zip", PHOTOS)
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\x01\x02")
    data[at + 8] |= 1  # the flag in the directory of the archive
    path.write_bytes(data)
    with pytest.raises(DataError, match="encrypted; unpack it yourself"):
        open_archive(path, cache=tmp_path / "cache")


def test_a_cache_that_cannot_be_written(tmp_path):
    path = zipped(tmp_path / "a.zip", PHOTOS)
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="choose another cache folder"):
        open_archive(path, cache=tmp_path / "file")


def test_an_archive_that_cannot_be_read(tmp_path):
    with pytest.raises(DataError, match="cannot read"):
        open_archive(tmp_path / "none.zip", cache=tmp_path)


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


def test_what_was_not_unpacked_is_counted(tmp_path):
    files = {"/a/1.jpg": b"", "../b/2.jpg": b"", "../b/3.jpg": b""}
    with pytest.raises(DataError, match=r"\(not unpacked: 2 path that leads out of the archive"):
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
