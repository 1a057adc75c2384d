"""Reading of DICOM files, as a viewer shows them at first."""

import io
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from headstart.errors import UnreadableImageError
from headstart.images.limits import check_size
from headstart.images.notes import NoteCallback
from headstart.images.other_formats import NOT_AN_IMAGE
from headstart.images.plugins import extra_module

_PIXELS: Final = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_FRAME_GROUPS: Final = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
_FRAME_SETTINGS: Final = ("PixelValueTransformationSequence", "FrameVOILUTSequence")
_FARTHEST: Final = np.array([-1e300, 1e300])
_COLOR_MEMORY: Final = 16
"""Bytes that a pixel takes, besides the file."""
_GRAY_MEMORY: Final = 24
"""Bytes that a gray pixel takes, which is windowed."""
_CODECS: Final = {
    "1.2.840.10008.1.2.4.57": "ljpeg_decode",
    "1.2.840.10008.1.2.4.70": "ljpeg_decode",
    "1.2.840.10008.1.2.4.80": "jpegls_decode",
    "1.2.840.10008.1.2.4.81": "jpegls_decode",
    "1.2.840.10008.1.2.4.90": "jpeg2k_decode",
    "1.2.840.10008.1.2.4.91": "jpeg2k_decode",
    "1.2.840.10008.1.2.4.201": "jpeg2k_decode",
    "1.2.840.10008.1.2.4.202": "jpeg2k_decode",
    "1.2.840.10008.1.2.4.203": "jpeg2k_decode",
}
"""Functions of imagecodecs for what pydicom does not decode itself."""


def read_dicom(content: bytes, _: NoteCallback) -> Image.Image:
    """Read the first frame of a DICOM file, with its window, or the range of its values."""
    pydicom = extra_module("pydicom", "DICOM", "dicom")
    processing = extra_module("pydicom.pixels", "DICOM", "dicom")
    data = pydicom.dcmread(io.BytesIO(content), force=True)
    if not any(name in data for name in _PIXELS):
        is_cut = "Rows" in data
        raise UnreadableImageError(
            "truncated" if is_cut else f"{NOT_AN_IMAGE}: DICOM without pixels"
        )
    memory = _GRAY_MEMORY if data.SamplesPerPixel == 1 else _COLOR_MEMORY
    check_size(data.Columns, data.Rows, pixel_bytes=memory)
    pixels = _first_frame(data, processing)
    kind = data.PhotometricInterpretation
    if kind == "PALETTE COLOR":
        pixels = processing.apply_color_lut(pixels, data)
        return _image(pixels, 0, 2 ** data.RedPaletteColorLookupTableDescriptor[2] - 1)
    if data.SamplesPerPixel > 1:  # pydicom has converted them to RGB
        return _image(pixels, 0, 2**data.BitsStored - 1)
    values, low, high = _shown(pixels, data, processing)
    return _image(values, *((high, low) if kind == "MONOCHROME1" else (low, high)))


def _first_frame(data: Any, processing: Any) -> npt.NDArray[Any]:
    try:
        return np.asarray(processing.pixel_array(data, index=0))
    except (RuntimeError, NotImplementedError) as error:
        syntax = data.file_meta.TransferSyntaxUID
        if not syntax.is_compressed:
            raise
        if syntax not in _CODECS:
            raise UnreadableImageError(f"not supported: DICOM with {syntax.name}") from error
    codecs = extra_module("imagecodecs", f"DICOM with {syntax.name}", "dicom")
    encaps = extra_module("pydicom.encaps", "DICOM", "dicom")
    frames = int(data.get("NumberOfFrames", 1) or 1)
    frame = encaps.get_frame(data.PixelData, 0, number_of_frames=frames)
    values = np.asarray(getattr(codecs, _CODECS[syntax])(frame))
    if data.PixelRepresentation and np.issubdtype(values.dtype, np.unsignedinteger):
        values = values.astype(np.int64)
        values[values >= 1 << (data.BitsStored - 1)] -= 1 << data.BitsStored
    return values


def _shown(
    pixels: npt.NDArray[Any], data: Any, processing: Any
) -> tuple[npt.NDArray[np.float64], float, float]:
    """Return the values, with the ones that are shown as black and as white."""
    for name in _FRAME_GROUPS:
        for group in list(data.get(name) or [])[:1]:
            for setting in _FRAME_SETTINGS:
                for item in list(group.get(setting) or [])[:1]:
                    data.update(item)
    padding = pixels == data.PixelPaddingValue if "PixelPaddingValue" in data else None
    values = processing.apply_modality_lut(pixels, data)
    if data.get("VOILUTSequence"):
        table = data.VOILUTSequence[0]
        return processing.apply_voi(values, data), 0, 2 ** table.LUTDescriptor[2] - 1
    if "WindowCenter" in data and "WindowWidth" in data:
        with np.errstate(over="ignore"):
            extended = np.concatenate([values.ravel(), _FARTHEST])
            *_, low, high = windowed = processing.apply_windowing(extended, data)
        return windowed[:-2].reshape(values.shape), float(low), float(high)
    if data.BitsStored <= 8 and values is pixels:
        return values, 0, 2**data.BitsStored - 1
    used = values[~padding] if padding is not None and not padding.all() else values
    return values, float(used.min()), float(used.max())


def _image(values: npt.NDArray[Any], low: float, high: float) -> Image.Image:
    span = high - low
    levels = np.zeros(values.shape, np.uint8)
    for row, shown in zip(values, levels, strict=True):  # a copy of all takes eight bytes a number
        if span:
            shares = (np.asarray(row, dtype=np.float64) - low) / span
            shown[:] = np.rint(shares * 255).clip(0, 255)
    return Image.fromarray(levels)
