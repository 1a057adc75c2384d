"""DICOM files as viewers show them at first; compared with pydicom's own processing."""

import io

import numpy as np
import pytest

from headstart.errors import UnreadableImageError
from headstart.images.decode import decode
from tests.images.kinds import dicom

pydicom = pytest.importorskip("pydicom")
processing = pytest.importorskip("pydicom.pixels")
RAMP = np.linspace(0, 4000, 256).reshape(16, 16)


def levels(data: bytes) -> np.ndarray:
    image = np.asarray(decode(data))
    assert (image == image[:, :, :1]).all()
    return image[:, :, 0]


def stretched(values: np.ndarray, low: float, high: float) -> np.ndarray:
    return np.rint((values - low) / (high - low) * 255).clip(0, 255)


def item(**tags):
    data = pydicom.Dataset()
    for name, value in tags.items():
        setattr(data, name, value)
    return data


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize("dtype", ["u2", "i2"])
def test_the_window_is_applied(function, dtype):
    tags = {"RescaleSlope": 2, "RescaleIntercept": -1024}
    window = {"WindowCenter": [300, 50], "WindowWidth": [1500, 80], "VOILUTFunction": function}
    data = dicom(RAMP.astype(dtype), BitsStored=13, **tags, **window)
    source = pydicom.dcmread(io.BytesIO(data))
    windowed = processing.apply_windowing(
        processing.apply_modality_lut(source.pixel_array, source), source
    )
    span = (0, 2**13 - 1) if dtype == "u2" else (-(2**12), 2**12 - 1)
    low, high = (2 * end - 1024 for end in span)
    np.testing.assert_allclose(levels(data), stretched(windowed, low, high), atol=1)


def test_a_lookup_table_comes_before_the_window():
    falling = (65535 - np.arange(4001) * 16).astype("u2").tobytes()
    table = item(LUTDescriptor=[4001, 0, 16], LUTData=falling)
    data = dicom(RAMP.astype("u2"), VOILUTSequence=[table], WindowCenter=1, WindowWidth=2)
    np.testing.assert_allclose(levels(data), stretched(65535 - RAMP * 16, 0, 65535), atol=1)


def test_without_a_window_the_range_of_the_values_is_used():
    data = dicom(RAMP.astype("u2") // 2 + 100)
    np.testing.assert_allclose(levels(data), stretched(RAMP, 0, 4000), atol=1)
    with_padding = RAMP.astype("i2")
    with_padding[0] = -2000
    shown = levels(dicom(with_padding, PixelPaddingValue=-2000))
    assert not shown[0].any()
    np.testing.assert_allclose(shown[1:], stretched(RAMP[1:], RAMP[1, 0], 4000), atol=1)


def test_values_that_do_not_differ_are_black():
    assert not levels(dicom(np.full((4, 4), 77, "u2"))).any()


def test_the_window_of_a_frame_is_applied():
    shared = item(
        PixelValueTransformationSequence=[item(RescaleSlope=1, RescaleIntercept=-1000)],
        FrameVOILUTSequence=[item(WindowCenter=0.5, WindowWidth=1001)],
    )
    samples = np.stack([RAMP, RAMP[::-1]]).astype("u2")
    data = dicom(
        samples[0],
        NumberOfFrames=2,
        PixelData=samples.tobytes(),
        SharedFunctionalGroupsSequence=[shared],
    )
    np.testing.assert_allclose(levels(data), stretched(RAMP - 1000, -500, 500), atol=1)


def test_palettes():
    red, other = np.arange(256, dtype="u2") * 257, np.zeros(256, "u2")
    tables = {"RedPaletteColorLookupTable": red}
    tables |= {f"{name}PaletteColorLookupTable": other for name in ("Green", "Blue")}
    tags: dict = {f"{name}Descriptor": [256, 0, 16] for name in tables}
    tags |= {f"{name}Data": table.tobytes() for name, table in tables.items()}
    samples = np.arange(256, dtype="u1").reshape(16, 16)
    data = dicom(samples, PhotometricInterpretation="PALETTE COLOR", **tags)
    image = np.asarray(decode(data))
    np.testing.assert_allclose(image[:, :, 0], samples, atol=1)
    assert not image[:, :, 1:].any()


def test_signed_values_in_a_lossless_jpeg():
    codecs = pytest.importorskip("imagecodecs")
    from pydicom.encaps import encapsulate

    signed = (RAMP - 2000).astype("i2")
    stored = (signed.astype("i4") & 0xFFFF).astype("u2")
    data = dicom(
        signed,
        PixelData=encapsulate([codecs.ljpeg_encode(stored)]),
        TransferSyntaxUID="1.2.840.10008.1.2.4.70",
    )
    np.testing.assert_allclose(levels(data), stretched(RAMP, 0, 4000), atol=1)


def test_files_without_pixels():
    source = pydicom.dcmread(io.BytesIO(dicom(RAMP.astype("u2"))))
    del source.PixelData, source.Rows
    buffer = io.BytesIO()
    source.save_as(buffer)
    with pytest.raises(UnreadableImageError, match=r"^not an image: DICOM without pixels$"):
        decode(buffer.getvalue())


def test_large_images_are_refused_before_they_are_decoded():
    data = dicom(np.zeros((4, 4), "u1"), Rows=60_000, Columns=60_000)
    with pytest.raises(UnreadableImageError, match=r"^too large: 60000 x 60000 pixels"):
        decode(data)
