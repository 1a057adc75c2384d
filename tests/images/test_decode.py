import io
import os
import pickle
import struct
import sys
import threading
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFile

from headstart.errors import UnreadableImageError
from headstart.images.decode import decode
from headstart.images.formats import image_format, looks_like_image
from tests.properties import examples

RED, BLUE = (200, 30, 40), (20, 40, 210)


def halves(mode="RGB", size=(40, 20)):
    """Red on the left, blue on the right."""
    image = Image.new("RGB", size, BLUE)
    image.paste(RED, (0, 0, size[0] // 2, size[1]))
    return image.convert(mode)


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def near(color, expected, by=12):
    return max(abs(a - b) for a, b in zip(color, expected, strict=True)) <= by


def reason(data):
    with pytest.raises(UnreadableImageError) as caught:
        decode(data)
    return str(caught.value)


FORMATS = ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "JPEG2000", "AVIF", "PPM", "ICO", "QOI", "TGA"]


@pytest.mark.parametrize("kind", [*FORMATS, "GIF", "SGI", "DDS"])
def test_decodes_what_pillow_writes(kind):
    data = encoded(halves(size=(32, 32)), kind)
    assert image_format(data[:64], data[-18:]) == kind
    image = decode(data)
    assert (image.mode, image.size) == ("RGB", (32, 32))
    assert near(image.getpixel((4, 16)), RED)
    assert near(image.getpixel((28, 16)), BLUE)


def test_heic_with_the_extra():
    pillow_heif = pytest.importorskip("pillow_heif")
    buffer = io.BytesIO()
    pillow_heif.from_pillow(halves(size=(64, 64))).save(buffer, quality=90)
    registered = set(Image.OPEN)
    image = decode(buffer.getvalue())
    assert image.mode == "RGB"
    assert near(image.getpixel((8, 16)), RED, by=25)
    assert set(Image.OPEN) == registered  # libraries that other tests import register HEIF


def test_heic_without_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    data = struct.pack(">I", 24) + b"ftypheic\0\0\0\0mif1heic" + bytes(100)
    assert ".[heic]" in reason(data)


def test_iso_media_are_told_by_their_brands():
    def head(*brands):
        return struct.pack(">I", 8 + 4 * len(brands)) + b"ftyp" + b"".join(brands)

    assert image_format(head(b"mif1", b"\0\0\0\0", b"heic")) == "HEIF"
    assert image_format(head(b"mif1", b"\0\0\0\0", b"avif")) == "AVIF"
    assert image_format(head(b"isom", b"\0\0\0\0", b"mp42")) is None


def test_the_ending_does_not_matter(tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(encoded(halves(), "PNG"))
    assert decode(path).getpixel((2, 2)) == RED


@pytest.mark.parametrize(
    "mode", ["1", "L", "P", "CMYK", "RGBA", "LA", "YCbCr", "I;16", "I", "F", "LAB"]
)
def test_every_mode_becomes_rgb(mode):
    kind = {"CMYK": "JPEG", "P": "PNG", "1": "PNG", "I;16": "PNG", "RGBA": "PNG", "LA": "PNG"}
    source = (
        Image.new("LAB", (4, 4), (255, 128, 128)) if mode == "LAB" else halves("L").convert(mode)
    )
    image = decode(encoded(source, kind.get(mode, "TIFF")))
    assert image.mode == "RGB"
    assert image.size == source.size


def test_transparency_becomes_white():
    clear = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    assert decode(encoded(clear, "PNG")).getpixel((1, 1)) == (255, 255, 255)
    half = Image.new("RGBA", (4, 4), (255, 0, 0, 128))
    assert near(decode(encoded(half, "PNG")).getpixel((1, 1)), (255, 127, 127), by=2)
    gray = Image.new("LA", (4, 4), (0, 0))
    assert decode(encoded(gray, "WEBP", lossless=True)).getpixel((1, 1)) == (255, 255, 255)


def test_a_transparent_palette_color_becomes_white():
    image = halves().quantize(2)
    index = image.getpixel((0, 0))
    for kind in ("PNG", "GIF"):
        decoded = decode(encoded(image, kind, transparency=index))
        assert decoded.getpixel((2, 2)) == (255, 255, 255)
        assert near(decoded.getpixel((38, 2)), BLUE)
    # One byte of alpha per color, of which Pillow warns.
    decoded = decode(encoded(image, "PNG", transparency=bytes([128, 128])))
    assert near(decoded.getpixel((2, 2)), (227, 142, 147), by=3)


def test_a_transparent_rgb_color_becomes_white():
    decoded = decode(encoded(halves(), "PNG", transparency=RED))
    assert decoded.getpixel((2, 2)) == (255, 255, 255)
    assert decoded.getpixel((38, 2)) == BLUE


def test_16_bits_are_scaled_not_clipped():
    values = np.linspace(0, 65535, 256).round().astype(np.uint16).reshape(16, 16)
    expected = np.arange(256, dtype=np.uint8).reshape(16, 16)
    for kind in ("PNG", "TIFF", "PPM"):
        pixels = np.asarray(decode(encoded(Image.fromarray(values), kind)))
        assert (pixels == expected[..., None]).all(), kind


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 0.5, 1.0], [0, 128, 255]),
        ([0.0, 10.0, 255.0], [0, 10, 255]),
        ([0.0, 257.0, 65535.0], [0, 1, 255]),
        ([-1.0, 0.0, 1.0], [0, 128, 255]),
        ([0.0, np.nan, np.inf], [0, 0, 255]),
        ([-3e38, 0.0, 3e38], [0, 128, 255]),
        ([7e5, 7e5, 7e5], [0, 0, 0]),
    ],
)
def test_floats_are_scaled_by_the_range_that_holds_them(values, expected):
    image = Image.fromarray(np.array([values], dtype=np.float32))
    got = np.asarray(decode(encoded(image, "TIFF")))[0, :, 0]
    assert got.tolist() == expected


def test_floats_that_are_no_numbers():
    image = Image.fromarray(np.full((2, 2), np.nan, np.float32))
    with pytest.raises(UnreadableImageError, match="no finite pixel values"):
        decode(encoded(image, "TIFF"))


def test_integers_of_32_bits():
    image = Image.fromarray(np.array([[0, 1 << 20, 1 << 21]], dtype=np.int32))
    assert np.asarray(decode(encoded(image, "TIFF")))[0, :, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(kind, orientation):
    upright = halves()
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # members of Image.Transpose
    stored = upright
    if orientation > 1:
        stored = upright.transpose(Image.Transpose(undo[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = decode(encoded(stored, kind, exif=exif.tobytes()))
    assert image.size == (40, 20)
    assert near(image.getpixel((3, 10)), RED, by=30)
    assert near(image.getpixel((36, 10)), BLUE, by=30)


def test_broken_metadata_do_not_spoil_the_picture():
    data = encoded(halves(), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\xee" * 40)
    assert decode(data).size == (40, 20)


def test_only_the_first_frame_counts():
    frames = [Image.new("RGB", (5, 5), color) for color in (RED, BLUE)]
    for kind in ("GIF", "PNG", "WEBP", "TIFF"):
        data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
        assert near(decode(data).getpixel((2, 2)), RED)


@pytest.mark.parametrize("size", [(1, 1), (300, 1), (1, 300)])
def test_thin_pictures(size):
    assert decode(encoded(Image.new("L", size), "JPEG")).size == size


def test_reasons():
    jpeg = encoded(halves(size=(200, 200)), "JPEG")
    assert reason(b"") == "empty file"
    assert reason(b"<html>404</html>") == "not an image: an HTML page"
    assert reason(b"\0" * 1000) == "not an image: nothing but zeros"
    assert reason(jpeg[: len(jpeg) // 2]) == "truncated"
    png = encoded(halves(size=(200, 200)), "PNG", compress_level=0)
    assert reason(png[: len(png) // 2]) == "truncated"
    assert reason(jpeg[:3]) in ("truncated", "damaged JPEG")


def test_postscript_never_starts_another_program():
    assert (
        reason(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n")
        == "not supported: EPS or PostScript"
    )


def bomb(width, height):
    def chunk(kind, content):
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + checksum

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99))


def test_bombs_are_refused_before_decoding():
    assert reason(bomb(20_000, 20_000)) == "too large: 20000 x 20000 pixels (limit 220 million)"
    # Between Pillow's own warning and our limit it is decoded, without a warning.
    assert reason(bomb(10_000, 9_000)) in ("truncated", "damaged PNG: broken data stream")


def test_files(tmp_path, monkeypatch):
    assert reason(tmp_path / "none.jpg") == "no such file"
    assert reason(tmp_path) == "a folder"
    (tmp_path / "link.jpg").symlink_to(tmp_path / "none.jpg")
    assert reason(tmp_path / "link.jpg") == "broken link"
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    assert reason(tmp_path / "loop.jpg").startswith("cannot be read")
    os.mkfifo(tmp_path / "pipe.jpg")
    assert reason(tmp_path / "pipe.jpg") == "not a regular file"
    (tmp_path / "empty.jpg").touch()
    assert reason(tmp_path / "empty.jpg") == "empty file"
    monkeypatch.setattr("headstart.images.decode.MAX_BYTES", 10)
    (tmp_path / "big.jpg").write_bytes(b"x" * 11)
    monkeypatch.setattr("headstart.images.decode.state_file", lambda _: pytest.fail("it waits"))
    assert reason(tmp_path / "big.jpg").startswith("too large: 0.0 GB")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read everything")
def test_permission_denied(tmp_path):
    path = tmp_path / "secret.jpg"
    path.write_bytes(b"x")
    path.chmod(0)
    assert reason(path) == "permission denied"


def test_permission_denied_for_everyone(tmp_path, monkeypatch):
    def refuse(self):
        raise PermissionError(13, "Permission denied")

    (tmp_path / "secret.jpg").write_bytes(b"x")
    monkeypatch.setattr("pathlib.Path.read_bytes", refuse)
    assert reason(tmp_path / "secret.jpg") == "permission denied"


def test_pillows_switches_are_left_alone(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)  # an application's own choice
    before = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)
    assert decode(encoded(halves(), "JPEG")).size == (40, 20)
    after = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)
    assert after == before


def jpeg_that_pillow_warns_of():
    """Its description lies a million bytes beyond the end of the metadata."""
    entry = struct.pack("<HHII", 270, 2, 64, 10**6)
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 1) + entry + bytes(4)
    return encoded(halves(), "JPEG", exif=exif)


def test_warnings_are_silenced_in_the_decoding_thread_only():
    data = jpeg_that_pillow_warns_of()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Image.open(io.BytesIO(data)).getexif()
    assert caught, "the test needs a file that Pillow warns of"
    problems, stop = [], threading.Event()

    def keep_decoding():
        while not stop.is_set():
            try:
                decode(data)
            except (UnreadableImageError, Warning) as error:
                problems.append(error)

    threads = [threading.Thread(target=keep_decoding) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(200):  # warnings of this thread are heard all the while
        with pytest.warns(UserWarning, match="mine"):
            warnings.warn("mine", stacklevel=1)
    stop.set()
    for thread in threads:
        thread.join()
    assert problems == []


VALID = {
    "JPEG": encoded(halves(), "JPEG"),
    "progressive": encoded(halves(), "JPEG", progressive=True),
    "PNG": encoded(halves("RGBA"), "PNG"),
    "palette": encoded(halves().quantize(4), "PNG", transparency=bytes([0, 50, 100])),
    "GIF": encoded(halves("P"), "GIF"),
    "BMP": encoded(halves(), "BMP"),
    "TIFF": encoded(halves(), "TIFF"),
    "LZW": encoded(halves(), "TIFF", compression="tiff_lzw"),
    "WEBP": encoded(halves(), "WEBP"),
    "AVIF": encoded(halves(), "AVIF"),
    "JPEG2000": encoded(halves(), "JPEG2000"),
    "ICO": encoded(halves(size=(16, 16)), "ICO"),
    "PPM": encoded(halves(), "PPM"),
    "QOI": encoded(halves(), "QOI"),
    "SGI": encoded(halves(), "SGI"),
    "DDS": encoded(halves(), "DDS"),
    "TGA": encoded(halves(), "TGA"),
}


@pytest.mark.slow
@examples(600)
@given(
    st.sampled_from(sorted(VALID)),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=12),
    st.one_of(st.just(1.0), st.floats(0, 1)),
)
def test_mutated_files_decode_or_are_unreadable(kind, changes, kept):
    data = bytearray(VALID[kind])
    for place, value in changes:
        data[int(place * (len(data) - 1))] = value
    decodes_or_says_why(bytes(data[: int(kept * len(data))]))


def decodes_or_says_why(data):
    try:
        image = decode(data)
    except UnreadableImageError as error:
        message = str(error)
        assert 0 < len(message) < 200
    else:
        assert image.mode == "RGB"


@examples(200)
@given(st.sampled_from([data[:12] for data in VALID.values()]), st.binary(max_size=200))
def test_noise_behind_a_signature_is_unreadable_or_decodes(head, noise):
    decodes_or_says_why(head + noise)


def test_endings():
    assert looks_like_image("a/b.JPG")
    assert looks_like_image("b.tar.webp")
    assert not looks_like_image("jpg")
    assert not looks_like_image("notes.txt")


def test_filters_of_warnings_stay_readable_and_can_be_sent_to_other_processes():
    """scikit-learn reads the patterns of all filters, and joblib pickles them."""
    decode(jpeg_that_pillow_warns_of())
    for _, message, _, module, _ in warnings.filters:
        for part in (message, module):
            assert part is None or isinstance(part, str) or part.pattern
    pickle.dumps(list(warnings.filters))
    before = list(warnings.filters)
    decode(jpeg_that_pillow_warns_of())
    assert list(warnings.filters) == before


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize(("size", "decoded"), [((1200, 800), (300, 200)), ((500, 390), (500, 390))])
def test_a_jpeg_is_scaled_while_decoding_and_never_below_what_is_enough(size, decoded, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(halves(size=size), "JPEG", exif=exif)
    image = decode(data, min_size=lambda width, height: (width * 200 // height, 200))
    assert image.size == (decoded if orientation == 1 else decoded[::-1])
    whole = decode(data).resize(image.size, Image.Resampling.BOX)
    assert np.abs(np.asarray(image, int) - np.asarray(whole)).mean() < 0.5


@pytest.mark.parametrize("kind", FORMATS)
def test_other_formats_stay_whole(kind):
    image = halves(size=(64, 64))
    data = encoded(image, kind)
    small = decode(data, min_size=lambda width, height: (width // 4, height // 4))
    assert small.size == ((16, 16) if kind == "JPEG" else (64, 64))
