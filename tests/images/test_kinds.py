"""Every kind of file is read right, or refused with the true reason; damaged ones, never half."""

import contextlib
import re
import sys

import numpy as np
import pytest
from PIL import Image

from headstart.errors import UnreadableImageError
from headstart.images import decode as decoding
from headstart.images.decode import decode
from headstart.images.formats import file_format, file_refusal, image_format, looks_like_image
from headstart.images.notes import ImageNote
from tests.images.kind_table import KINDS
from tests.images.kinds import (
    Kind,
    heic,
    quadrants,
    saved,
)


@pytest.fixture(params=sorted(KINDS))
def kind(request):
    found = KINDS[request.param]
    if found.extra:
        pytest.importorskip(found.extra)
    return found


def shown(image: Image.Image) -> list:
    """Return the color in the middle of each quadrant."""
    width, height = image.size
    places = [(x * width // 4, y * height // 4) for y in (1, 3) for x in (1, 3)]
    return [image.getpixel(place) for place in places]


def check(image: Image.Image, kind: Kind) -> None:
    assert (image.mode, image.size) == ("RGB", kind.size)
    np.testing.assert_allclose(shown(image), kind.shows, atol=12)


def test_it_is_read_right_or_refused_rightly(kind):
    data = kind.make()
    assert image_format(data[:4096], data[-18:])
    for min_size in (None, lambda width, height: (width // 2, height // 2)):
        if kind.refused:
            with pytest.raises(UnreadableImageError, match=f"^{kind.refused}"):
                decode(data, min_size=min_size)
        elif min_size is None:
            check(decode(data), kind)
        else:
            np.testing.assert_allclose(shown(decode(data, min_size=min_size)), kind.shows, atol=12)


@pytest.mark.parametrize("name", sorted(name for name in KINDS if name.startswith("raw")))
def test_of_raw_files_it_is_said_that_a_preview_was_read(name):
    notes = []
    if not KINDS[name].refused:
        decode(KINDS[name].make(), on_note=notes.append)
        assert notes == [ImageNote.RAW_PREVIEW]


def test_a_tiff_that_is_no_raw_file_has_no_preview():
    notes = []
    decode(saved(quadrants(), "TIFF"), on_note=notes.append)
    assert notes == []


def damaged(data: bytes):
    """Yield a file cut off, and with each of the first bytes changed."""
    for share in (0.1, 0.5, 0.9, 0.99):
        yield data[: int(len(data) * share)]
    for at in range(2, min(len(data), 64), 3):
        yield data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]
        yield data[:at] + b"\0" + data[at + 1 :]


def test_damage_is_told_in_words(kind):
    for data in damaged(kind.make()):
        with contextlib.suppress(UnreadableImageError):
            assert decode(data).mode == "RGB"


CUT = ["jpeg", "png", "bmp", "bmp, rle8", "tga", "sgi", "sgi, rows without an end", "jp2", "pcx"]
CUT += ["png, large text", "jpeg, short app0", "ico", "avif", "gif, smaller than its canvas"]


@pytest.mark.parametrize("name", CUT)
def test_a_file_cut_off_is_never_read_half(name):
    data = KINDS[name].make()
    for share in (0.4, 0.7):
        with pytest.raises(UnreadableImageError, match=r"^(truncated|damaged)"):
            decode(data[: int(len(data) * share)])


OTHERS = {
    b"": "empty file",
    b"just some words": "not an image",
    b"<!DOCTYPE html><html>": "not an image: an HTML page",
    b"\n<!-- x --><HTML><svg>": "not an image: an HTML page",
    b'<?xml version="1.0"?><Error>AccessDenied</Error>': "not an image: XML",
    b'{"error": 404}': "not an image: JSON",
    b'<?xml version="1.0"?>\n<!-- a -->\n<svg width="1">': "not supported: SVG",
    b"<svg xmlns='http://www.w3.org/2000/svg'>": "not supported: SVG",
    b"PK\3\4\x14\0": "not an image: a zip archive or an Office document",
    b"version https://git-lfs.github.com/spec/v1\n": (
        "not an image: a Git LFS pointer; run git lfs pull to get the image"
    ),
    b"%PDF-1.7\n": "not supported: PDF",
    b"RIFF\x24\0\0\0WAVEfmt ": "not an image: audio",
    b"RIFF\x24\0\0\0AVI LIST": "not supported: AVI video",
    b"\0\0\0\x18ftypisom\0\0\2\0isomiso2": "not supported: MP4 video",
    b"\0\0\0\x14ftypqt  \0\0\2\0qt  ": "not supported: QuickTime video",
    b"\x1aE\xdf\xa3\x9fB\x86\x81": "not supported: WebM or Matroska video",
    b"SIMPLE  =                    T": "not supported: FITS",
    b"\x89HDF\r\n\x1a\n": "not supported: HDF5",
    b"\x76\x2f\x31\x01\2\0\0\0": "not supported: OpenEXR",
    b"#?RADIANCE\n": "not supported: Radiance HDR",
    b"gimp xcf v011": "not supported: XCF (GIMP)",
    b"II\xbc\x01\x20\0\0\0": "not supported: JPEG XR",
    b"FLIF41\0\0": "not supported: FLIF",
    b"\xd7\xcd\xc6\x9a\0\0": "not supported: WMF",
    b"\1\0\0\0".ljust(40, b"\0") + b" EMF": "not supported: EMF",
    bytes(344) + b"n+1\0": "not supported: NIfTI",
    b"BM is what they drive in Bavaria": "not an image",
    b"P1 is a portable bitmap": "not an image",
}


@pytest.mark.parametrize("data", OTHERS, ids=range(len(OTHERS)))
def test_other_files_are_named_by_their_content(tmp_path, data):
    path = tmp_path / "photo.jpg"
    path.write_bytes(data)
    with pytest.raises(UnreadableImageError, match=f"^{re.escape(OTHERS[data])}$"):
        decode(path)
    assert file_format(path) is None
    assert file_refusal(path) == OTHERS[data]


@pytest.mark.parametrize(
    ("name", "module", "said"),
    [
        ("jpeg xl", "imagecodecs", r"JPEG XL needs the extra 'jxl'"),
        ("dicom", "pydicom", r"DICOM needs the extra 'dicom'"),
        ("jpeg 2000, odd size and subsampled", "imagecodecs", r"JPEG 2000 needs the extra 'tiff'"),
    ],
)
def test_a_missing_extra_is_named(monkeypatch, name, module, said):
    data = KINDS[name].make()
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UnreadableImageError, match=said):
        decode(data)


def test_extensions_of_rarer_formats():
    for name in ("a.dib", "a.j2c", "a.jpf", "a.RGB", "a.bw", "a.avifs", "a.pcx", "a.cur", "a.icns"):
        assert looks_like_image(name)
    for name in ("a.jxl", "a.dcm", "a.DNG", "a.cr2", "a.cr3", "a.nef", "a.arw", "a.orf", "a.raf"):
        assert looks_like_image(name)


def test_photos_of_200_million_pixels_are_within_the_limit():
    decoding.check_size(16320, 12240)


def test_a_draft_is_for_jpegs_only():
    """A thumbnail within a HEIC file may show something else."""
    pytest.importorskip("pillow_heif")
    image = decode(heic(side=256), min_size=lambda *_: (64, 64))
    assert image.size == (256, 256)
