"""A JPEG file is whole, or truncated, whatever closes it."""

import io
import random
from unittest import mock

import numpy as np
import pytest
from PIL import Image

from headstart.errors import UnreadableImageError
from headstart.images.decode import decode
from tests.images.test_decode import encoded

END = b"\xff\xd9"


def photo(mode="RGB"):
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), np.uint8))
    pixels = np.asarray(coarse.resize((160, 120))) + rng.integers(-9, 9, (120, 160, 3))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).convert(mode)


KINDS = {
    "baseline": encoded(photo(), "JPEG"),
    "4:4:4": encoded(photo(), "JPEG", subsampling=0),
    "gray": encoded(photo("L"), "JPEG"),
    "CMYK": encoded(photo("CMYK"), "JPEG"),
    "restarts": encoded(photo(), "JPEG", restart_marker_blocks=3),
    "progressive": encoded(photo(), "JPEG", progressive=True),
    "progressive gray": encoded(photo("L"), "JPEG", progressive=True),
    "progressive restarts": encoded(photo(), "JPEG", progressive=True, restart_marker_rows=1),
}


@pytest.fixture(params=KINDS, name="content")
def content_(request):
    return KINDS[request.param]


def test_whole_files_give_the_pixels_of_pillow(content):
    for scale in (1, 2, 8):
        expected = Image.open(io.BytesIO(content))
        if scale > 1:
            expected.draft(None, (160 // scale, 120 // scale))
        size = (160 // scale, 120 // scale)
        found = decode(content, min_size=lambda *_, size=size: size)
        np.testing.assert_array_equal(found, expected.convert("RGB"))


@pytest.mark.parametrize(
    "changed",
    [
        lambda content: content.removesuffix(END),
        lambda content: content + b"\0" * 77,
        lambda content: content + content,
        lambda content: content.removesuffix(END) + b"\0\1\2" * 9 + END,
        lambda content: content.removesuffix(END) + END + END,
    ],
)
def test_what_follows_the_pixels_does_not_matter(content, changed):
    np.testing.assert_array_equal(decode(changed(content)), decode(content))


@pytest.mark.parametrize("closed", [b"", END, END + KINDS["gray"], KINDS["gray"]])
def test_cut_files_are_truncated_however_they_are_closed(content, closed):
    rng, start = random.Random(0), content.find(b"\xff\xda") + 14
    for _ in range(20):
        cut = rng.randrange(start, len(content) - 24)
        with pytest.raises(UnreadableImageError, match=r"truncated|broken data stream"):
            decode(content[:cut] + closed)


def test_more_lines_than_there_are(content):
    at = max(content.find(b"\xff\xc0"), content.find(b"\xff\xc2")) + 5
    assert content[at : at + 2] == (120).to_bytes(2, "big")
    with pytest.raises(UnreadableImageError, match="truncated"):
        decode(content[:at] + (150).to_bytes(2, "big") + content[at + 2 :])


@pytest.mark.parametrize("kind", ["restarts", "progressive restarts"])
def test_lost_restart_markers(kind):
    content = KINDS[kind]
    marker = content.rfind(b"\xff\xd1")
    with pytest.raises(UnreadableImageError, match="truncated"):
        decode(content[:marker] + content[marker + 2 :])


def test_every_scan_of_a_progressive_file_is_needed():
    content = KINDS["progressive"]
    starts, at = [], 0
    while (at := content.find(b"\xff\xda", at + 1)) >= 0:
        starts.append(at)
    assert len(starts) > 5
    for start in starts[1:]:
        with pytest.raises(UnreadableImageError, match="truncated"):
            decode(content[:start] + END)


@pytest.mark.parametrize("kind", ["baseline", "4:4:4", "gray", "CMYK"])
def test_files_with_a_further_image_are_decoded_once(kind, monkeypatch):
    content = KINDS[kind]
    decoder = mock.Mock(wraps=Image._getdecoder)
    monkeypatch.setattr(Image, "_getdecoder", decoder)
    behind = encoded(photo(), "MPO", save_all=True, append_images=[photo("L")])
    for whole in (behind, content + b"\0\1\2" * 9, content + content + b"\0"):
        decoder.reset_mock()
        decode(whole)
        decoder.assert_called_once()
