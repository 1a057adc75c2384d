"""Reading of TIFF: what tags say, what is refused and why, and what needs the extra."""

import contextlib
import struct
import sys

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("imagecodecs")
pytest.importorskip("tifffile")

from headstart.errors import UnreadableImageError
from headstart.images.decode import decode
from tests.images import pixel_kinds as kinds
from tests.images.raw_tiff import packed, raw_tiff

SIZE = (kinds.WIDTH, kinds.HEIGHT)
GRAY = kinds.picture(1)[:, :, 0]


def reason(data):
    with pytest.raises(UnreadableImageError) as caught:
        decode(data)
    return str(caught.value)


def difference(data, levels):
    pixels = np.asarray(decode(data), float)
    return np.abs(pixels - (levels if levels.ndim == 3 else levels[:, :, None])).max()


def blank(bytes_per_pixel, **tags):
    return raw_tiff(bytes(bytes_per_pixel * SIZE[0] * SIZE[1]), SIZE, **tags)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (blank(5, t258=(3, [8] * 5), t277=(3, [5])), "with 5 channels of unstated meaning; save"),
        (blank(3, t258=(3, [8] * 3), t262=(3, [10]), t277=(3, [3])), "of ITULab colors; save it"),
        (blank(6, t258=(3, [16] * 3), t262=(3, [32845]), t277=(3, [3])), "of LogLuv colors; save"),
        (blank(2, t258=(3, [16]), t262=(3, [32803])), "of raw sensor data; save it as RGB"),
        (blank(1, t262=(3, [77])), "whose colors are of kind 77; save it as RGB"),
        (blank(8, t258=(3, [64]), t339=(3, [6])), "of complex numbers; save their absolute"),
        (blank(2, t258=(3, [5, 6, 5]), t262=(3, [2]), t277=(3, [3])), "whose channels differ in"),
        (blank(4, t258=(3, [8] * 4), t262=(3, [5]), t277=(3, [4]), t332=(3, [2])), "of other inks"),
        (blank(1, t258=(3, [1]), t259=(3, [34661])), "compressed by scheme 34661; save it"),
        (blank(3, t258=(3, [24])), "with 24 bits per channel; save it with 8, 16 or 32"),
    ],
)
def test_whole_files_are_not_called_damaged(data, expected):
    assert reason(data).startswith(f"not supported: a TIFF {expected}")


def test_damaged_files_are():
    data, _ = kinds.tiff("rgb", "f8", "deflate-big-endian")
    assert reason(data[: len(data) - 300]) == "truncated"
    assert reason(data[:100]) == "truncated"
    assert reason(blank(1, t258=(3, [16]), t262=(3, [2]))).startswith("damaged TIFF")
    for dtype, tags in (("f8", {"t258": (3, [64]), "t339": (3, [3])}), ("u1", {})):
        missing = raw_tiff(kinds.stored(GRAY, dtype).tobytes(), SIZE, **tags, t257=(4, [99]))
        assert reason(missing) == "truncated"
    data = kinds.written(np.zeros((9, 9)), compression="zlib")
    start = data.index(b"\x78")
    assert reason(data[:start] + b"\xff" * 9 + data[start + 9 :]).startswith("damaged TIFF")


def test_damaged_lzw_does_not_end_the_process():
    """The decoder of imagecodecs follows codes that were never defined."""
    random = np.random.default_rng(0)
    for _ in range(300):
        codes = [256, *random.integers(0, 512, 60).tolist(), 257]
        bits = "".join(f"{code:09b}" for code in codes)
        data = int(bits, 2).to_bytes(-(-len(bits) // 8), "big")
        tags = {"t258": (3, [64]), "t339": (3, [3]), "t259": (3, [5])}
        with contextlib.suppress(UnreadableImageError):
            decode(raw_tiff(data, SIZE, **tags))


@pytest.mark.parametrize("layout", ["gray", "rgb", "cmyk", "rgb-alpha"])
def test_ordinary_files_do_not_need_the_extra(layout, monkeypatch):
    monkeypatch.setitem(sys.modules, "tifffile", None)
    for dtype in ("u1", "u2"):
        for storage in ("plain", "big-endian", "big", "deflate-predicted", "lzw-tiled"):
            assert difference(*kinds.tiff(layout, dtype, storage)) <= 4


@pytest.mark.parametrize("dtype", ["i2", "i4", "u4", "f4"])
def test_grays_that_pillow_reads_do_not_need_it(dtype, monkeypatch):
    monkeypatch.setitem(sys.modules, "tifffile", None)
    assert difference(*kinds.tiff("gray", dtype, "plain")) <= 4


def test_other_files_say_what_they_need(monkeypatch):
    monkeypatch.setitem(sys.modules, "tifffile", None)
    data, _ = kinds.tiff("rgb", "f4", "plain")
    assert reason(data) == (
        "such a TIFF needs the extra 'tiff'; in headstart's repository, run: "
        'pip install ".[tiff]"'
    )


def test_too_many_bytes_are_refused_before_reading(monkeypatch):
    monkeypatch.setattr("headstart.images.limits.MAX_MEMORY", 4000)
    data, _ = kinds.tiff("gray", "f8", "plain")
    assert reason(data).startswith("too large: 19 x 14 pixels of this kind take")
    monkeypatch.setattr("headstart.images.limits.MAX_PIXELS", 200)
    assert reason(data).startswith("too large: 19 x 14 pixels")


def test_tiles_that_are_much_larger_than_the_image():
    samples = np.zeros((9, 9))
    data = kinds.written(samples, tile=(16, 16), compression="zlib")
    wide = struct.pack("<HHII", 322, 4, 1, 16), struct.pack("<HHII", 322, 4, 1, 1 << 24)
    assert wide[0] in data
    assert reason(data.replace(*wide)).startswith("damaged TIFF: tiles of ")


@pytest.mark.parametrize(
    ("tags", "high"),
    [
        ({"t281": (3, [4095])}, 4095),
        ({"t281": (3, [3000])}, 4095),  # this image's largest
        ({"t281": (3, [65535])}, 65535),
        ({"t281": (4, [70000])}, 65535),
        ({"t341": (3, [16383])}, 16383),
        ({}, 1023),
    ],
)
def test_bits_that_the_file_states(tags, high):
    samples = (GRAY * 1000).astype(np.uint16)
    data = raw_tiff(samples.tobytes(), SIZE, t258=(3, [16]), **tags)
    assert difference(data, samples / high * 255) <= 1


def test_little_ink_is_not_taken_for_few_bits():
    samples = kinds.stored(kinds.picture(4) / 8, "u2")
    data = kinds.written(samples, photometric="separated")
    paper = 1 - kinds.picture(4) / 8
    assert difference(data, paper[:, :, :3] * paper[:, :, 3:] * 255) <= 3


def test_what_samples_mean_is_guessed_as_other_readers_do():
    for channels in (1, 3):
        pixels = kinds.stored(kinds.picture(channels), "u1").tobytes()
        tags = {"t258": (3, [8] * channels), "t277": (3, [channels]), "t262": None}
        assert difference(raw_tiff(pixels, SIZE, **tags), kinds.shown(kinds.picture(channels))) <= 1


def test_the_range_of_floats_that_the_file_states():
    samples = (GRAY * 3000).astype(np.float32)
    tags = {"t258": (3, [32]), "t339": (3, [3])}
    stated = {"t340": (11, [-1000.0]), "t341": (11, [4000.0])}
    data = raw_tiff(samples.tobytes(), SIZE, **tags, **stated)
    assert difference(data, (samples + 1000) / 5000 * 255) <= 1


def test_the_value_for_no_data_that_the_file_states():
    samples = GRAY.astype(np.float32)
    samples[0] = -7
    data = raw_tiff(samples.tobytes(), SIZE, t258=(3, [32]), t339=(3, [3]), t42113=(2, b"-7\0"))
    assert difference(data, samples.clip(0) * 255) <= 1


def test_reference_values_of_ycbcr():
    luma = np.rint(16 + 219 * GRAY)
    pixels = np.stack([luma, np.full_like(luma, 128), np.full_like(luma, 128)], axis=-1)
    limits = [16, 1, 235, 1, 128, 1, 240, 1, 128, 1, 240, 1]
    tags = {"t258": (3, [8] * 3), "t262": (3, [6]), "t277": (3, [3]), "t530": (3, [1, 1])}
    data = raw_tiff(pixels.astype(np.uint8).tobytes(), SIZE, **tags, t532=(5, limits))
    assert difference(data, GRAY * 255) <= 2


@pytest.mark.parametrize("order", "<>")
def test_lab(order):
    """A neutral gray of L* = 53.6, and the red of sRGB: 54.3, 80.8, 69.9."""
    for bits, photometric, sign in ((8, 8, 128), (16, 8, 128), (8, 9, 0), (16, 9, 0)):
        lab = np.array([[[137, 128, 128], [138, 209, 198]]], np.uint8)
        lab[:, :, 1:] ^= sign
        samples = lab if bits == 8 else (lab.astype(f"{order}u2") << 8).astype(f"{order}u2")
        tags = {"t258": (3, [bits] * 3), "t262": (3, [photometric]), "t277": (3, [3])}
        data = raw_tiff(samples.tobytes(), (2, 1), order=order, **tags)
        gray, red = np.asarray(decode(data), int)[0]
        assert np.abs(gray - 128).max() <= 3
        assert np.abs(red - (255, 0, 0)).max() <= 6


def test_bits_in_reversed_order():
    for bits in (1, 12):
        samples = kinds.stored(GRAY, "i8", bits)
        data = packed(samples, bits)
        reversed_bits = bytes(int(f"{byte:08b}"[::-1], 2) for byte in data)
        data = raw_tiff(reversed_bits, SIZE, t258=(3, [bits]), t266=(3, [2]))
        assert difference(data, samples / (2**bits - 1) * 255) <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("dtype", ["u1", "u2", "f4", "f8"])
def test_orientation(dtype, orientation):
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # members of Image.Transpose
    upright = Image.fromarray(np.rint(GRAY * 255).astype(np.uint8))
    turned = upright
    if orientation > 1:
        turned = upright.transpose(Image.Transpose(undo[orientation]))
    values = np.asarray(turned) / 255
    data = kinds.written(kinds.stored(values, dtype), extratags=[(274, 3, 1, orientation, True)])
    assert difference(data, np.asarray(upright, float)) <= 1


def test_of_stacks_the_first_page_is_read():
    pages = [GRAY, 1 - GRAY, GRAY / 2]
    for options in ({"imagej": True}, {"ome": True}, {}):
        for dtype in ("u1", "u2", "f4"):
            stack = kinds.stored(np.stack(pages), dtype)
            if options:
                data = kinds.written(stack, photometric="minisblack", **options)
            else:
                data = kinds.written(stack, photometric="minisblack", compression="zlib")
            assert difference(data, GRAY * 255) <= 1


def test_planes_of_volumes_are_read_by_the_first():
    volume = np.stack([kinds.stored(GRAY, "u1")] * 3)
    data = kinds.written(volume, photometric="minisblack", volumetric=True, tile=(16, 16, 16))
    assert difference(data, GRAY * 255) <= 1


def test_damaged_metadata_do_not_print_anything(capfd):
    samples = kinds.stored(GRAY, "f8")
    tags = {"t258": (3, [64]), "t339": (3, [3]), "t270": (2, b"{\xff"), "t34675": (7, b"junk!")}
    assert difference(raw_tiff(samples.tobytes(), SIZE, **tags, t305=(9, b"\0")), GRAY * 255) <= 1
    assert capfd.readouterr() == ("", "")
