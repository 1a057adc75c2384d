"""Files that are no images, and images of formats that are not supported, by their content."""

import re
from typing import Final

NOT_AN_IMAGE: Final = "not an image"
"""The reason for skipping a file whose content has no known format; others begin with it."""

_UNSUPPORTED: Final = (
    (0, b"%PDF-", "PDF"),
    (0, b"%!PS", "EPS or PostScript"),
    (0, b"\xc5\xd0\xd3\xc6", "EPS"),
    (0, b"\x76\x2f\x31\x01", "OpenEXR"),
    (0, b"#?RADIANCE", "Radiance HDR"),
    (0, b"#?RGBE", "Radiance HDR"),
    (0, b"gimp xcf", "XCF (GIMP)"),
    (8, b"CDR", "CorelDRAW"),
    (8, b"cdr", "CorelDRAW"),
    (0, b"\xd7\xcd\xc6\x9a", "WMF"),
    (0, b"\x01\x00\x09\x00\x00\x03", "WMF"),
    (40, b" EMF", "EMF"),
    (0, b"II\xbc", "JPEG XR"),
    (0, b"FLIF", "FLIF"),
    (0, b"BPG\xfb", "BPG"),
    (0, b"\x8aMNG", "MNG"),
    (0, b"\x8bJNG", "JNG"),
    (0, b"AT&TFORM", "DjVu"),
    (8, b"ILBM", "IFF ILBM"),
    (8, b"PBM ", "IFF ILBM"),
    (0, b"P7\n", "PAM"),
    (0, b"PF\n", "color PFM"),
    (0, b"/* XPM */", "XPM"),
    (0, b"SDPX", "DPX"),
    (0, b"XPDS", "DPX"),
    (0, b"\x80\x2a\x5f\xd7", "Cineon"),
    (0, b"\x59\xa6\x6a\x95", "Sun raster"),
    (0, b"farbfeld", "farbfeld"),
    (0, b"\xabKTX ", "KTX"),
    (0, b"PVR\x03", "PVR"),
    (0, b"VTF\x00", "VTF"),
    (0, b"\x13\xab\xa1\x5c", "ASTC"),
    (0, b"BLP1", "BLP"),
    (0, b"BLP2", "BLP"),
    (0, b"NITF0", "NITF"),
    (0, b"SIMPLE  =", "FITS"),
    (0, b"\x89HDF\r\n\x1a\n", "HDF5"),
    (0, b"\x0e\x03\x13\x01", "HDF4"),
    (0, b"CDF\x01", "NetCDF"),
    (0, b"CDF\x02", "NetCDF"),
    (0, b"GRIB", "GRIB"),
    (0, b"MATLAB 5.0", "MATLAB data"),
    (0, b"\x93NUMPY", "NumPy array"),
    (344, b"n+1\x00", "NIfTI"),
    (344, b"ni1\x00", "NIfTI"),
    (0, b"NRRD000", "NRRD"),
    (8, b"ACON", "ANI (animated cursor)"),
    (8, b"AVI ", "AVI video"),
    (0, b"\x1aE\xdf\xa3", "WebM or Matroska video"),
    (0, b"FLV\x01", "Flash video"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "WMV video"),
    (0, b"OggS", "Ogg video or audio"),
    (0, b"\x00\x00\x01\xba", "MPEG video"),
    (0, b"\x00\x00\x01\xb3", "MPEG video"),
    (4, b"ftypqt  ", "QuickTime video"),
    (4, b"ftyp", "MP4 video"),
    (4, b"moov", "QuickTime video"),
    (4, b"mdat", "QuickTime video"),
    (20, b"ftypmjp2", "Motion JPEG 2000 video"),
)
_NO_IMAGES: Final = (
    (0, b"PK\x03\x04", "a zip archive or an Office document"),
    (0, b"PK\x05\x06", "an empty zip archive"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (0, b"Rar!\x1a\x07", "a RAR archive"),
    (4, b"1AY&SY", "a bzip2 archive"),
    (0, b"\xfd7zXZ\x00", "an xz archive"),
    (0, b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (257, b"ustar", "a tar archive"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Office document or thumbnail database"),
    (0, b"\x00\x05\x16\x07", "metadata of macOS"),
    (0, b"\x00\x05\x16\x00", "metadata of macOS"),
    (8, b"WAVE", "audio"),
    (0, b"ID3", "audio"),
    (0, b"fLaC", "audio"),
    (0, b"SQLite format 3\x00", "an SQLite database"),
    (0, b"PAR1", "a Parquet file"),
    (0, b"version https://git-lfs", "a Git LFS pointer; run git lfs pull to get the image"),
)
_CONTAINERS: Final = (b"RIFF", b"RIFX", b"FORM")
"""Files with the signature of their kind at byte 8."""
_SVG: Final = re.compile(rb"\s*(<\?xml|<!--|<!DOCTYPE svg|<svg)", re.IGNORECASE)
_HTML: Final = re.compile(
    rb"\s*(<!--.*?-->\s*)*<(!doctype html|html|head|body|script)", re.I | re.S
)
_MARKUP: Final = re.compile(rb"\s*<(\?xml|[a-z]+[ >])", re.IGNORECASE)
_JSON: Final = re.compile(rb'\s*[{\[]\s*["{\[\]}\d]')


def refusal(head: bytes) -> str:
    """Return the reason for refusing a file whose content is no supported image.

    Args:
        head: its first `formats.HEAD_BYTES`, or all of it.
    """
    if not head:
        return "empty file"
    if (name := _found(head, _UNSUPPORTED)) is not None:
        return f"not supported: {name}"
    if (name := _found(head, _NO_IMAGES)) is not None:
        return f"{NOT_AN_IMAGE}: {name}"
    if not any(head):
        return f"{NOT_AN_IMAGE}: nothing but zeros"
    text = head.removeprefix(b"\xef\xbb\xbf")
    if _HTML.match(text):
        return f"{NOT_AN_IMAGE}: an HTML page"
    if _SVG.match(text) and b"<svg" in text.lower():
        return "not supported: SVG"
    if _MARKUP.match(text):
        return f"{NOT_AN_IMAGE}: XML"
    if _JSON.match(text):
        return f"{NOT_AN_IMAGE}: JSON"
    return NOT_AN_IMAGE


def _found(head: bytes, signatures: tuple[tuple[int, bytes, str], ...]) -> str | None:
    for offset, signature, name in signatures:
        if head.startswith(signature, offset) and (offset != 8 or head[:4] in _CONTAINERS):
            return name
    return None
