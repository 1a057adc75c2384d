import numpy as np
import pytest

from headstart.errors import UnreadableImageError
from headstart.images.decode import decode
from headstart.images.notes import ignore_note
from headstart.images.psd import read_psd
from headstart.images.rgb import to_rgb
from tests.images.raw_psd import (
    BITMAP,
    CMYK,
    GRAY,
    INDEXED,
    LAB,
    RAW,
    RGB,
    RLE,
    ZIP,
    ZIP_PREDICTED,
    raw_psd,
)

BANDS = [np.random.default_rng(seed).integers(0, 256, (7, 10), np.uint8) for seed in range(6)]
COMPRESSIONS = (RAW, RLE, ZIP, ZIP_PREDICTED)


def reason(data):
    with pytest.raises(UnreadableImageError) as caught:
        decode(data)
    return str(caught.value)


def difference(data, levels):
    return np.abs(np.asarray(decode(data), float) - levels).max()


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("layers", [None, 0, 1, -1])
@pytest.mark.parametrize("extra", [0, 1, 2])
def test_further_channels_are_neither_colors_nor_opacity(extra, layers, compression):
    options = {"layers": layers, "compression": compression}
    rgb = raw_psd(BANDS[: 3 + extra], RGB, **options, has_composite=1)
    assert difference(rgb, np.stack(BANDS[:3], axis=-1)) == 0
    gray = raw_psd(BANDS[: 1 + extra], GRAY, **options)
    assert difference(gray, BANDS[0][:, :, None]) == 0
    paper = np.stack(BANDS[:4], axis=-1) / 255.0
    cmyk = raw_psd(BANDS[: 4 + extra], CMYK, **options)
    assert difference(cmyk, paper[:, :, :3] * paper[:, :, 3:] * 255) <= 2


def test_transparency_is_already_blended_with_white():
    bands = [np.full((4, 4), value, np.uint8) for value in (255, 128, 128, 128)]
    assert decode(raw_psd(bands, RGB, layers=-1)).getpixel((1, 1)) == (255, 128, 128)


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_other_color_modes(compression):
    bits = BANDS[0] > 128
    if compression != ZIP_PREDICTED:
        bitmap = raw_psd([bits], BITMAP, depth=1, compression=compression)
        assert difference(bitmap, np.where(bits, 0, 255)[:, :, None]) == 0
    palette = np.random.default_rng(0).integers(0, 256, (256, 3), np.uint8)
    indexed = raw_psd(BANDS[:1], INDEXED, palette=palette.T.tobytes(), compression=compression)
    assert difference(indexed, palette[BANDS[0]]) == 0
    neutral = np.full_like(BANDS[0], 128)
    lab = np.asarray(decode(raw_psd([BANDS[0], neutral, neutral], LAB, compression=compression)))
    assert np.ptp(lab, axis=2).max() <= 1
    order = BANDS[0].ravel().argsort(kind="stable")
    assert (np.diff(lab[:, :, 0].ravel()[order].astype(int)) >= 0).all()


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_large_documents(compression):
    data = raw_psd(BANDS[:4], RGB, version=2, layers=-1, compression=compression)
    image = to_rgb(read_psd(data, ignore_note))
    assert (np.asarray(image) == np.stack(BANDS[:3], axis=-1)).all()


def test_a_file_without_a_composite_is_refused():
    expected = "not supported: a PSD saved without its composite image; save it with maximized"
    assert reason(raw_psd(BANDS[:3], RGB, has_composite=0)).startswith(expected)


@pytest.mark.parametrize("depth", [16, 32])
def test_deep_files_are_refused(depth):
    expected = f"not supported: a PSD with {depth} bits per channel; save it with 8"
    assert reason(raw_psd(BANDS[:3], RGB, depth=depth)) == expected


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("kept", [20, 60, 100])
def test_truncated(kept, compression):
    data = raw_psd(BANDS[:3], RGB, compression=compression)
    assert reason(data[:kept]) == "truncated"


def test_damaged():
    assert reason(raw_psd(BANDS[:2], RGB)) == "damaged PSD: 2 of 3 channels"
    assert reason(raw_psd(BANDS[:1], 6)) == "damaged PSD: color mode 6 with 8 bits"
