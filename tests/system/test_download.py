import contextlib
import hashlib
import os
import socket
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from headstart.errors import DownloadError, StoreError
from headstart.system import download as module
from headstart.system.download import Download, fetch, readable_size

CONTENT = bytes(range(256)) * 4000  # a megabyte


@pytest.fixture
def wanted(server):
    server.content = CONTENT
    return Download(server.url, hashlib.sha256(CONTENT).hexdigest(), len(CONTENT))


def test_downloads_once(server, wanted, tmp_path):
    told = []
    path = fetch(wanted, tmp_path / "new", progress=lambda *numbers: told.append(numbers))
    assert path == tmp_path / "new" / "file.bin"
    assert path.read_bytes() == CONTENT
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert told == sorted(told)
    assert fetch(wanted, tmp_path / "new") == path
    assert len(server.ranges) == 1
    assert [one.name for one in path.parent.iterdir()] == ["file.bin"]


def test_goes_on_where_the_connection_broke(server, wanted, tmp_path):
    server.cuts = [300_000, 200_000]
    assert fetch(wanted, tmp_path).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=300000-", "bytes=500000-"]


def test_goes_on_in_another_session(server, wanted, tmp_path):
    server.cuts = [100_000] * 5
    with pytest.raises(DownloadError, match="the connection was lost"):
        fetch(wanted, tmp_path)
    assert (tmp_path / "file.bin.part").stat().st_size == 500_000
    assert fetch(wanted, tmp_path).read_bytes() == CONTENT
    assert server.ranges[-1] == "bytes=500000-"


def test_a_server_that_cannot_resume(server, wanted, tmp_path):
    server.resumes, server.cuts = False, [300_000]
    assert fetch(wanted, tmp_path).read_bytes() == CONTENT


def test_a_wrong_beginning_is_thrown_away(server, wanted, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(b"something else")
    assert fetch(wanted, tmp_path).read_bytes() == CONTENT
    assert server.ranges == ["bytes=14-", None]


def test_a_beginning_that_is_too_long(server, wanted, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(CONTENT + b"more")
    assert fetch(wanted, tmp_path).read_bytes() == CONTENT
    assert server.ranges == [None]


def test_a_wrong_checksum(server, wanted, tmp_path):
    server.content = CONTENT[:-1] + b"!"
    with pytest.raises(DownloadError, match="has unexpected content.*expected " + wanted.sha256):
        fetch(wanted, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_another_length(server, wanted, tmp_path):
    server.content = CONTENT * 2
    with pytest.raises(DownloadError, match="has unexpected content"):
        fetch(wanted, tmp_path)


def test_a_wrong_file_put_there_by_hand(server, wanted, tmp_path):
    (tmp_path / "file.bin").write_bytes(b"wrong")
    assert fetch(wanted, tmp_path).read_bytes() == CONTENT


def test_the_right_file_put_there_by_hand_needs_no_network(server, wanted, tmp_path):
    (tmp_path / "file.bin").write_bytes(CONTENT)
    assert fetch(wanted, tmp_path).read_bytes() == CONTENT
    assert server.ranges == []


def test_server_errors_pass_but_missing_files_do_not(server, wanted, tmp_path):
    server.failures = [503, 500]
    assert fetch(wanted, tmp_path).read_bytes() == CONTENT
    missing = Download(server.url + ".gone", wanted.sha256, wanted.size)
    before = len(server.ranges)
    with pytest.raises(DownloadError, match="the server responded 404"):
        fetch(missing, tmp_path)
    assert len(server.ranges) == before + 1


def test_a_beginning_that_the_server_refuses(server, wanted, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(CONTENT[:5])
    server.failures = [416]
    assert fetch(wanted, tmp_path).read_bytes() == CONTENT
    assert server.ranges == ["bytes=5-", None]


def test_offline(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/set.zip"
    with pytest.raises(DownloadError) as caught:
        fetch(Download(url, "0" * 64, 47_286_322), tmp_path)
    message = str(caught.value)
    assert f"cannot download {url} (47 MB)" in message
    assert f"put it at {tmp_path / 'set.zip'}" in message


def test_the_beginning_of_a_checksum_and_no_size_are_enough(server, wanted, tmp_path):
    server.cuts = [300_000]
    some = Download(server.url, wanted.sha256[:8])
    assert fetch(some, tmp_path).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=300000-"]
    assert fetch(some, tmp_path).read_bytes() == CONTENT
    assert len(server.ranges) == 2
    with pytest.raises(DownloadError, match="has unexpected content"):
        fetch(Download(server.url, "00000000"), tmp_path)


def test_without_a_checksum_no_other_run_is_gone_on_with(server, tmp_path):
    server.content, server.cuts = CONTENT, [300_000]
    (tmp_path / "file.bin.part").write_bytes(b"something else")
    assert fetch(Download(server.url, ""), tmp_path).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=300000-"]


def test_two_at_once(server, wanted, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(CONTENT[:1000])
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: fetch(wanted, tmp_path), range(4)))
    assert {path.read_bytes() for path in found} == {CONTENT}
    assert [path.name for path in tmp_path.iterdir()] == ["file.bin"]


def test_what_a_killed_process_had_is_gone_on_with(server, wanted, tmp_path):
    abandoned, alive = (tmp_path / f"file.bin.{name}.part" for name in "ab")
    abandoned.write_bytes(CONTENT[:5000])
    os.utime(abandoned, (1, 1))
    alive.write_bytes(CONTENT[:7000])
    assert fetch(wanted, tmp_path).read_bytes() == CONTENT
    assert server.ranges == ["bytes=5000-"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file.bin", alive.name]


def test_a_folder_that_cannot_be_written(wanted, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot write"):
        fetch(wanted, tmp_path / "file")


def test_readable_size():
    sizes = [5, 4_542, 824_887_076, 1_500_000_000]
    assert [readable_size(size) for size in sizes] == ["5 bytes", "5 kB", "825 MB", "1.5 GB"]


def test_a_server_that_says_nothing_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_TIMEOUT", 0.05)
    with socket.create_server(("127.0.0.1", 0), backlog=16) as server:
        server.settimeout(0.2)
        url = f"http://127.0.0.1:{server.getsockname()[1]}/file"
        with pytest.raises(DownloadError, match=r"no response within 0 seconds|timed out"):
            fetch(Download(url, "0" * 64), tmp_path)
        attempts = 0
        with contextlib.suppress(TimeoutError):
            while True:
                server.accept()[0].close()
                attempts += 1
    assert attempts == 2


def test_no_network_is_said_without_numbers_of_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: object, **_options: object) -> None:
        raise urllib.error.URLError(socket.gaierror(-3, "Temporary failure in name resolution"))

    monkeypatch.setattr(urllib.request, "urlopen", fail)
    expected = r"no connection \(Temporary failure in name resolution\); without a network, fetch"
    with pytest.raises(DownloadError, match=expected):
        fetch(Download("http://example.org/file", ""), tmp_path)
