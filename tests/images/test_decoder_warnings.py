"""Decoders print nothing: what is wrong with a file is in the reason for skipping it."""

import pytest

from headstart.errors import UnreadableImageError
from headstart.images.decode import decode
from tests.images.kinds import quadrants, saved


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate"])
def test_libtiff_prints_nothing(compression: str, capfd):
    data = saved(quadrants(side=64), "TIFF", compression=compression)
    damaged = data[:8] + b"\x5a" * 20 + data[28:]
    with pytest.raises(UnreadableImageError):
        decode(damaged)
    assert capfd.readouterr() == ("", "")
