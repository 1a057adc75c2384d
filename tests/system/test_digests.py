import hashlib

import pytest

from headstart.system.digests import bytes_digest, file_digest


def test_is_blake2b_of_16_bytes():
    assert bytes_digest(b"abc") == hashlib.blake2b(b"abc", digest_size=16).hexdigest()
    assert len(bytes_digest(b"")) == 32


@pytest.mark.parametrize("size", [0, 1, 1 << 18, (1 << 21) + 7])
def test_a_file_has_the_digest_of_its_bytes(tmp_path, size):
    content = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    (tmp_path / "a.jpg").write_bytes(content)
    assert file_digest(tmp_path / "a.jpg") == bytes_digest(content)


def test_accepts_any_buffer():
    assert bytes_digest(memoryview(b"abc")) == bytes_digest(bytearray(b"abc"))


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        file_digest(tmp_path / "none")
