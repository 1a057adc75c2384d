import errno
import os
import tarfile
import time
import zipfile
from pathlib import Path
from random import Random

import pytest

from headstart.datasets import archives, open_dataset, unpacking
from headstart.datasets.archives import open_archive
from headstart.datasets.unpacking import unpack
from headstart.errors import DataError, StoreError
from headstart.features import path_index
from headstart.system.files import locked
from headstart.types import Split
from tests.datasets.archive_files import PHOTOS, names, packed, reasons, tarred, unpacked, zipped


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
    deep = "more than 100 folders in each other"
    assert set(reasons(found).values()) == {"file name not allowed on this system", deep}
    assert len(found.skipped) == 5


@pytest.mark.parametrize("ending", [".zip", ".tar.gz"])
def test_bombs(tmp_path, ending, monkeypatch):
    path = packed(tmp_path / f"a{ending}", {"cats/1.jpg": bytes(5_000_000), "dogs/2.jpg": b""})
    monkeypatch.setattr(unpacking, "_FREE", 1_000_000)
    monkeypatch.setattr(unpacking, "_RATIO", 10)
    with pytest.raises(DataError, match=r"more than 1 MB, as decompression bombs do"):
        unpack(path, tmp_path)
    monkeypatch.undo()
    monkeypatch.setattr(unpacking, "MOST_MEMBERS", 1)
    with pytest.raises(DataError, match="files, folders and links"):
        unpack(path, tmp_path)


def test_limits(monkeypatch):
    for name, value in {"_MOST_BYTES": 1000, "_RATIO": 10, "_FREE": 50}.items():
        monkeypatch.setattr(unpacking, name, value)
    assert [unpacking._allowed(size) for size in (1, 6, 400, 600)] == [50, 60, 1000, 1200]


@pytest.mark.parametrize("ending", [".zip", ".tar", ".tar.gz", ".tar.bz2", ".tar.xz"])
@pytest.mark.parametrize("kept", [0.0, 0.3, 0.9])
def test_truncated_archives(tmp_path, ending, kept):
    random = Random(0)
    files = {name: random.randbytes(50_000) for name in PHOTOS}
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


@pytest.mark.parametrize(
    "damage",
    [
        "deleted",
        "cut",
        "added",
        "record",
        "no record",
        "writable",
        "writable file",
        "writable folder",
    ],
)
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
    elif damage == "writable file":
        first.write_bytes(b"9")
        first.chmod(0o666)
    elif damage == "writable folder":
        first.write_bytes(b"9")
        first.parent.chmod(0o777)
    again = open_dataset(path, cache=cache)
    assert (again.paths, again.skipped) == (before.paths, before.skipped)
    assert [one.read_bytes() for one in again.paths] == [b"1", b"22", b"333"]
    assert unpacked(cache) == [folder]


def test_others_cannot_write_what_was_unpacked_whatever_the_umask(tmp_path):
    cache, path = tmp_path / "cache", zipped(tmp_path / "a.zip", PHOTOS)
    before = os.umask(0)
    try:
        open_dataset(path, cache=cache)
    finally:
        os.umask(before)
    (folder,) = unpacked(cache)
    found = [folder, *folder.rglob("*")]
    assert len(found) > 6
    assert not [one for one in found if one.stat().st_mode & 0o022]
    written = next(folder.rglob("*.jpg")).stat().st_ctime_ns
    open_dataset(path, cache=cache)
    assert next(folder.rglob("*.jpg")).stat().st_ctime_ns == written, "unpacked again"


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
