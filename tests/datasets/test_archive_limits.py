"""What hostile archives may cost: memory for headers, time, bytes that are passed over."""

import bz2
import lzma
import struct
import tarfile
import tracemalloc
import zipfile
from random import Random

import pytest

from headstart.datasets import tar_members, unpacking, zip_members
from headstart.datasets.unpacking import unpack
from headstart.errors import DataError
from tests.datasets.archive_files import PHOTOS, tarred, zipped


def header(kind, size, name="x"):
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)


def padded(content):
    return content + bytes(-len(content) % tarfile.BLOCKSIZE)


def into(tmp_path):
    folder = tmp_path / "into"
    folder.mkdir(exist_ok=True)
    return folder


def peak(path, folder):
    """The bytes that unpacking takes at most, and the error."""
    tracemalloc.start()
    try:
        with pytest.raises(DataError) as caught:
            unpack(path, folder)
        return tracemalloc.get_traced_memory()[1], str(caught.value)
    finally:
        tracemalloc.stop()


SPARSE_PAX = b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n"


@pytest.mark.parametrize(
    "content",
    [
        header(tarfile.XHDTYPE, 50_000_000) + bytes(50_000_000),
        header(tarfile.XGLTYPE, 50_000_000) + bytes(50_000_000),
        header(tarfile.GNUTYPE_LONGNAME, 50_000_000) + b"a" * 50_000_000,
        header(tarfile.GNUTYPE_LONGLINK, 50_000_000) + b"a" * 50_000_000,
        (header(tarfile.GNUTYPE_LONGNAME, 512) + bytes(512)) * 5000,
        b"".join(
            (
                header(tarfile.XHDTYPE, len(SPARSE_PAX)) + padded(SPARSE_PAX),
                header(tarfile.REGTYPE, 50_000_000) + padded(b"9000000\n"),
                b"1\n" * 20_000_000,
            )
        ),
        header(tarfile.XHDTYPE, -512) + bytes(50_000_000),
    ],
    ids=["pax", "global", "long name", "long link", "nested", "sparse", "negative"],
)
def test_headers_of_tar_files_take_little_memory(tmp_path, content):
    path = tmp_path / "a.tar"
    path.write_bytes(content)
    used, error = peak(path, into(tmp_path))
    assert used < 20_000_000
    assert "truncated, damaged or not an archive" in error


def test_global_records_do_not_pile_up(tmp_path):
    path = tmp_path / "a.tar"
    content = b""
    for number in range(101):
        record = b"%s=1\n" % f"key{number:04}".encode()
        record = b"%d %s" % (len(record) + 3, record)
        content += header(tarfile.XGLTYPE, len(record)) + padded(record)
        content += header(tarfile.REGTYPE, 0, f"cats/{number}.jpg")
    path.write_bytes(content + bytes(1024))
    with pytest.raises(DataError, match="more than 100 global records"):
        unpack(path, into(tmp_path))


def test_a_size_below_zero_does_not_go_back(tmp_path):
    path = tmp_path / "a.tar"
    path.write_bytes(header(tarfile.REGTYPE, 0, "a.jpg") + header(tarfile.REGTYPE, -1024, "b.jpg"))
    with pytest.raises(DataError, match="a size below zero"):
        unpack(path, into(tmp_path))


@pytest.mark.parametrize("ending", [".tar.gz", ".tar.bz2", ".tar.xz"])
def test_bytes_that_are_passed_over_count(tmp_path, monkeypatch, ending):
    path = tarred(tmp_path / f"a{ending}", {"__MACOSX/1.jpg": bytes(5_000_000)} | PHOTOS)
    monkeypatch.setattr(unpacking, "_FREE", 1_000_000)
    monkeypatch.setattr(unpacking, "_RATIO", 10)
    with pytest.raises(DataError, match="more than 1 MB, as decompression bombs do"):
        unpack(path, into(tmp_path))


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_members_of_every_kind_count(tmp_path, monkeypatch, pack):
    litter = {f"__MACOSX/{number}": b"" for number in range(3)} | {".DS_Store": b""}
    path = pack(tmp_path / "a.tar", PHOTOS | litter)
    monkeypatch.setattr(unpacking, "MOST_MEMBERS", 6)
    with pytest.raises(DataError, match="files, folders and links"):
        unpack(path, into(tmp_path))


def test_the_list_of_a_zip_file_is_bounded(tmp_path, monkeypatch):
    path = zipped(tmp_path / "a.zip", {f"cats/{number:0100}.jpg": b"" for number in range(1000)})
    monkeypatch.setattr(zip_members, "MOST_MEMBERS", 999)
    with pytest.raises(DataError, match="files, folders and links"):
        unpack(path, into(tmp_path))
    monkeypatch.setattr(zip_members, "_LARGEST_LIST", 100_000)
    with pytest.raises(DataError, match=r"a list of entries of 0 MB \(limit 0 MB\)"):
        unpack(path, into(tmp_path))


def test_only_so_many_refused_members_are_listed(tmp_path, monkeypatch):
    path = zipped(tmp_path / "a.zip", PHOTOS | {f"/{number}": b"" for number in range(5)})
    monkeypatch.setattr(unpacking, "_LISTED", 2)
    refused = unpack(path, into(tmp_path))
    assert [one.path for one in refused] == ["/0", "/1", "and 3 more"]
    assert {one.reason for one in refused} == {"absolute path in the archive"}


def test_long_names_are_shown_in_part(tmp_path):
    (one,) = unpack(tarred(tmp_path / "a.tar", {f"cats/{'n' * 9000}": b""}), into(tmp_path))
    assert len(one.path) < 600


def linked(name, target):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.LNKTYPE, target
    return info


@pytest.mark.parametrize("ending", [".tar", ".tar.gz"])
def test_hard_links_are_read_where_they_were_written(tmp_path, ending, monkeypatch):
    links = [linked(f"dogs/{number}.jpg", "cats/2.jpg") for number in range(5)]
    links += [linked("cats/2.jpg", "cats/2.jpg"), linked("dogs/9.jpg", "nowhere.jpg")]
    path = tarred(tmp_path / f"a{ending}", PHOTOS | {"cats/2.jpg": b"2" * 10_000}, *links)
    folder = into(tmp_path)
    refused = unpack(path, folder)
    assert [one.path for one in refused] == ["dogs/3.jpg", "cats/2.jpg", "dogs/9.jpg"]
    assert (folder / "dogs/4.jpg").read_bytes() == b"2" * 10_000
    monkeypatch.setattr(unpacking, "_allowed", lambda _: 30_000)
    with pytest.raises(DataError, match="unpacks to more than"):
        unpack(path, folder)


def test_names_that_are_passed_over_are_not_kept(tmp_path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as archive:
        for number in range(50):
            archive.addfile(tarfile.TarInfo(f"._{number}{'a' * 900_000}"))
    with path.open("ab") as file:
        file.truncate(path.stat().st_size - 50_000)
    used, _ = peak(path, into(tmp_path))
    assert used < 20_000_000


def test_a_hard_link_to_a_member_that_is_passed_over(tmp_path):
    path = tarred(tmp_path / "a.tar", {".dvc/ab": b"cat"} | PHOTOS, linked("cats/9.jpg", ".dvc/ab"))
    (refused,) = unpack(path, into(tmp_path))
    assert refused.path == "cats/9.jpg"
    assert not (tmp_path / "into/cats/9.jpg").exists()


@pytest.mark.parametrize("name", ["", ".", "/", "./", "//", "a/../../b", "a\0b", "n" * 300])
def test_odd_names_are_refused_alone(tmp_path, name):
    info = tarfile.TarInfo(name)
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(info)
        archive.addfile(tarfile.TarInfo("cats/1.jpg"))
    refused = unpack(path, into(tmp_path))
    assert len(refused) <= 1
    assert [one.name for one in (tmp_path / "into").rglob("*.jpg")] == ["1.jpg"]


@pytest.mark.parametrize("kind", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_members_of_zip_files_are_decompressed_in_pieces(tmp_path, monkeypatch, kind):
    content = Random(0).randbytes(1_000_000)
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", kind) as archive:
        archive.writestr("cats/1.jpg", content)
    sizes: list[int] = []
    real = zipfile.ZipExtFile._read2  # type: ignore[attr-defined]

    def read(file, size):
        sizes.append(size)
        return real(file, size)

    monkeypatch.setattr(zipfile.ZipExtFile, "_read2", read)
    unpack(path, into(tmp_path))
    assert max(sizes) == 4096  # a gigabyte may come out of a megabyte
    assert (tmp_path / "into/cats/1.jpg").read_bytes() == content


def test_a_window_of_gigabytes_is_refused(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("cats/1.jpg", b"1" * 1000)
    content = bytearray(path.read_bytes())
    start = 30 + len("cats/1.jpg") + 5
    struct.pack_into("<I", content, start, 0xFFFFFFFF)
    path.write_bytes(content)
    (one,) = unpack(path, into(tmp_path))
    assert one.reason == "cannot be unpacked: needs 4295 MB of memory"


def test_an_xz_file_of_several_streams(tmp_path):
    tar = tarred(tmp_path / "b.tar", PHOTOS).read_bytes()
    path = tmp_path / "a.tar.xz"
    pieces = [lzma.compress(tar[start : start + 3000]) for start in range(0, len(tar), 3000)]
    path.write_bytes((b"\0" * 8).join(pieces) + b"\0" * 4)
    unpack(path, into(tmp_path))
    assert (tmp_path / "into/dogs/3.jpg").read_bytes() == b"333"


def test_an_xz_file_that_needs_much_memory_is_refused(tmp_path, monkeypatch):
    path = tarred(tmp_path / "a.tar.xz", PHOTOS)
    monkeypatch.setattr(tar_members, "_XZ_MEMORY", 1_000_000)
    with pytest.raises(DataError, match=r"a\.tar\.xz needs more than 1 MB of memory"):
        unpack(path, into(tmp_path))


def test_streams_within_streams_of_bz2(tmp_path):
    tar = tarred(tmp_path / "b.tar", PHOTOS).read_bytes()
    path = tmp_path / "a.tar.bz2"
    path.write_bytes(bz2.compress(tar[:1000]) + bz2.compress(tar[1000:]))
    unpack(path, into(tmp_path))
    assert (tmp_path / "into/dogs/3.jpg").read_bytes() == b"333"
