"""One small file of each kind, and what is to be read of it."""

import base64
import struct

import numpy as np
import pytest
from PIL import Image

from tests.images import kinds
from tests.images.kinds import (
    BLUE,
    COLORS,
    GRAYS,
    GREEN,
    MILD,
    RED,
    SIDE,
    WHITE,
    YELLOW,
    Kind,
    aperture,
    avif,
    bmp,
    bmp_rle,
    chunk,
    dicom,
    five_bits,
    gray_samples,
    heic,
    icon,
    icon_bitmap,
    jp2,
    jpeg,
    jpeg_header_only,
    jpeg_with,
    lab_planes,
    pixels,
    planes_of,
    png_with,
    quadrants,
    raw,
    saved,
    segment,
    sgi_without_terminators,
    tga,
    with_property,
)

ADOBE = segment(0xEE, b"Adobe\0\x64")
LOWER_HIDDEN = (RED, GREEN, WHITE, WHITE)
ORIENTATION_IN_XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><d tiff:Orientation="6"/></x:xmpmeta>'
BIG_TEXT = chunk(b"tEXt", b"Comment\0" + b"x" * 3_000_000)


def imagecodecs():
    return pytest.importorskip("imagecodecs")


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def xmp(kind: str, **options) -> bytes:
    return saved(quadrants(), kind, xmp=ORIENTATION_IN_XMP, **options)


def swapped(image: Image.Image, order: tuple[int, ...]) -> list[np.ndarray]:
    planes = planes_of(image)
    return [planes[i] for i in order]


def argb() -> bytes:
    opacity = np.repeat([255, 0], SIDE * SIDE // 2).reshape(SIDE, SIDE)
    channels = [(0, 1, 0), (1, 0, 1), (2, 0, 2), (3, 0, 3)]
    return jp2([opacity, *planes_of(quadrants())], definition=channels)


def near_infrared() -> bytes:
    return jp2([*planes_of(quadrants()), np.zeros((SIDE, SIDE))])


def ycc() -> list[np.ndarray]:
    return planes_of(quadrants().convert("YCbCr"))


def compressed(syntax: str, codec: str, samples: np.ndarray, **tags) -> bytes:
    from pydicom.encaps import encapsulate

    coded = getattr(imagecodecs(), codec)(samples)
    return dicom(samples, PixelData=encapsulate([coded]), TransferSyntaxUID=syntax, **tags)


ODD_SUBSAMPLED = base64.b85decode(
    b"|4;u>051Rl000090000900000000000000900009000000000000RdB0S5vC2Lb~BQUDA9000310R#j90smY82S7kbN"
    b"KpTf015yA0000|00IA#&$K)SF>w<@S+G(x3p6W!D67x3C<=WM48Y)R^$Oq5v>XDuTR_vufuMYW01qf_<D=~c01H0jV$W"
    b"Zp^#Xta*oZ{Y|Je"
)
"""9 x 9 pixels, 4:2:0, made with OpenJPEG's opj_compress; Pillow smears its colors."""
BRIGHT = (WHITE, GREEN, (255, 0, 0), (250, 254, 3))
BGR = [(0, 0, 3), (1, 0, 2), (2, 0, 1)]
SKIPPED_GREEN = b"\x10\x00" * 8
KINDS = {
    # JPEG
    "jpeg": Kind(jpeg),
    "jpeg, progressive": Kind(lambda: jpeg(progressive=True)),
    "jpeg, short app0": Kind(lambda: jpeg_with(segment(0xE0, b"JFIF\0"))),
    "jpeg, short app14": Kind(lambda: jpeg_with(ADOBE)),
    "jpeg, short adobe": Kind(lambda: jpeg_with(segment(0xEE, b"Adobe"))),
    "jpeg, junk before a marker": Kind(lambda: jpeg()[:2] + b"\0\x13\x37" + jpeg()[2:]),
    "jpeg, junk in the header": Kind(lambda: jpeg_with(b"\x13\x37", segment(0xFE, b"hello"))),
    "jpeg, after a line break": Kind(lambda: b"\r\n" + jpeg()),
    "jpeg, broken index of more": Kind(lambda: jpeg_with(segment(0xE2, b"MPF\0MM\0*\0\0\0\x08\0"))),
    "jpeg, large exif": Kind(kinds.large_exif),
    "jpeg, bytes behind": Kind(lambda: jpeg() + b"\0" * 1000),
    "jpeg, lossless": Kind(lambda: imagecodecs().ljpeg_encode(gray_samples()), GRAYS),
    "jpeg, 12 bits": Kind(
        lambda: jpeg_header_only(b"\x0c\0\x10\0\x10\x01\x01\x11\0", 0xC1),
        refused="not supported: JPEG with 12 bits per channel",
    ),
    "jpeg, lossless of 16 bits": Kind(
        lambda: imagecodecs().ljpeg_encode(gray_samples("u2", 257)),
        refused="not supported: JPEG with 16 bits per channel",
    ),
    "jpeg, two channels": Kind(
        lambda: jpeg_header_only(b"\x08\0\x10\0\x10\x02\x01\x11\0\x02\x11\0"),
        refused="not supported: JPEG with 2 channels",
    ),
    "jpeg, hierarchical": Kind(
        lambda: jpeg_header_only(b"\x08\0\x10\0\x10\x01\x01\x11\0", 0xC5),
        refused="not supported: hierarchical JPEG",
    ),
    "jpeg-ls": Kind(
        lambda: imagecodecs().jpegls_encode(gray_samples()), refused="not supported: JPEG-LS"
    ),
    "jpeg, orientation in xmp": Kind(lambda: jpeg(xmp=ORIENTATION_IN_XMP)),
    # PNG
    "png": Kind(png_with),
    "png, orientation in xmp": Kind(
        lambda: png_with(chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + ORIENTATION_IN_XMP))
    ),
    "png, large text": Kind(lambda: png_with(BIG_TEXT)),
    "png, large compressed text": Kind(
        lambda: png_with(chunk(b"zTXt", b"Comment\0\0" + kinds.zlib.compress(bytes(3_000_000))))
    ),
    "png, large profile": Kind(
        lambda: png_with(chunk(b"iCCP", b"icc\0\0" + kinds.zlib.compress(bytes(3_000_000))))
    ),
    "png, many texts": Kind(
        lambda: png_with(*[chunk(b"zTXt", b"k\0\0" + kinds.zlib.compress(bytes(900_000)))] * 80)
    ),
    "png, wrong checksum": Kind(lambda: png_with(chunk(b"tEXt", b"a\0b", checksum=1))),
    "png, wrong checksum of time": Kind(lambda: png_with(chunk(b"tIME", bytes(7), checksum=1))),
    "png, length beyond the end": Kind(lambda: png_with(b"\x7f\0\0\0tEXta\0b\0\0\0\0")),
    "png, short gamma": Kind(lambda: png_with(chunk(b"gAMA", b"\0"))),
    "png, short physical size": Kind(lambda: png_with(chunk(b"pHYs", b"\0\0"))),
    "png, wrong checksum of the header": Kind(
        lambda: png_with()[:29] + bytes(4) + png_with()[33:], refused="damaged PNG"
    ),
    "png, animation without control": Kind(kinds.apng_without_first_control),
    # BMP, icons
    "bmp": Kind(lambda: saved(quadrants(), "BMP")),
    "bmp, rle8": Kind(lambda: bmp_rle(8, overrun=0)),
    "bmp, rle8 past the row": Kind(lambda: bmp_rle(8, overrun=3)),
    "bmp, rle4": Kind(lambda: bmp_rle(4, overrun=0)),
    "bmp, rle4 past the row": Kind(lambda: bmp_rle(4, overrun=2)),
    "bmp, odd masks": Kind(
        lambda: bmp(16, 16, 16, 3, struct.pack("<III", 0xF00, 0xF0, 0xF) + bytes(512)),
        refused=r"not supported: BMP \(Unsupported BMP bitfields layout\)",
    ),
    "bmp, jpeg inside": Kind(
        lambda: bmp(16, 16, 24, 4, jpeg()),
        refused=r"not supported: BMP \(Unsupported BMP compression \(4\)\)",
    ),
    "dib": Kind(lambda: saved(quadrants(), "BMP")[14:]),
    "ico": Kind(lambda: icon([icon_bitmap(24)]), LOWER_HIDDEN),
    "ico, profile behind the mask": Kind(lambda: icon([icon_bitmap(24, header=124)]), LOWER_HIDDEN),
    "ico, alpha": Kind(lambda: icon([icon_bitmap(32, alpha=255)]), LOWER_HIDDEN),
    "ico, alpha of zero": Kind(lambda: icon([icon_bitmap(32)]), LOWER_HIDDEN),
    "ico, opaque": Kind(lambda: icon([icon_bitmap(32, transparent=False)])),
    "ico, png": Kind(lambda: icon([saved(quadrants(), "PNG")])),
    "cur": Kind(lambda: icon([icon_bitmap(24)], kind=2), LOWER_HIDDEN),
    "icns": Kind(lambda: saved(quadrants(side=128), "ICNS"), size=(1024, 1024)),
    # TGA, SGI, PCX
    "tga": Kind(lambda: tga(2, 24, pixels()[:, :, ::-1].tobytes())),
    "tga, from the bottom up": Kind(
        lambda: tga(2, 24, pixels()[::-1, :, ::-1].tobytes(), descriptor=0)
    ),
    "tga, 15 bits": Kind(lambda: tga(2, 15, five_bits())),
    "tga, 16 bits": Kind(lambda: tga(2, 16, five_bits(), descriptor=0x21)),
    "tga, gray": Kind(lambda: tga(3, 8, gray_samples().tobytes()), GRAYS),
    "tga, palette": Kind(
        lambda: tga(
            1,
            8,
            np.repeat([[0, 1], [2, 3]], 8, axis=0).repeat(8, axis=1).astype("u1").tobytes(),
            palette=b"".join(bytes(color[::-1]) for color in COLORS),
        )
    ),
    "sgi": Kind(lambda: saved(quadrants(), "SGI")),
    "sgi, rows without an end": Kind(sgi_without_terminators),
    "pcx": Kind(lambda: saved(quadrants(), "PCX")),
    "dds, premultiplied": Kind(
        lambda: saved(quadrants(), "DDS", pixel_format="DXT5").replace(b"DXT5", b"DXT4", 1),
        refused="not supported: DDS",
    ),
    # GIF
    "gif, smaller than its canvas": Kind(
        kinds.gif_smaller_than_its_canvas, (RED, WHITE, WHITE, WHITE)
    ),
    # JPEG 2000
    "jp2": Kind(lambda: jp2(planes_of(quadrants()))),
    "jp2, blue first": Kind(lambda: jp2(swapped(quadrants(), (2, 1, 0)), definition=BGR)),
    "jp2, ycc": Kind(lambda: jp2(ycc(), space=18)),
    "jp2, ycc in another order": Kind(
        lambda: jp2([ycc()[2], ycc()[1], ycc()[0]], definition=BGR, space=18)
    ),
    "jp2, opacity first": Kind(argb, LOWER_HIDDEN),
    "jp2, near infrared": Kind(near_infrared),
    "jpeg 2000, odd size and subsampled": Kind(
        lambda: ODD_SUBSAMPLED, (RED, RED, BLUE, BLUE), size=(9, 9), extra="imagecodecs"
    ),
    "jpeg 2000, 16 bits": Kind(
        lambda: imagecodecs().jpeg2k_encode(pixels(BRIGHT).astype("u2") * 257, reversible=True),
        BRIGHT,
    ),
    "jpeg 2000, 4 bits": Kind(
        lambda: imagecodecs().jpeg2k_encode(
            np.rint(pixels() / 17).astype("u1"), bitspersample=4, reversible=True
        ),
    ),
    "jpeg 2000, five channels": Kind(
        lambda: imagecodecs().jpeg2k_encode(np.zeros((16, 16, 5), "u1"), reversible=True),
        refused="not supported: JPEG 2000 with 5 channels",
    ),
    "jp2, lab": Kind(lambda: jp2(lab_planes(), space=14), MILD),
    # HEIF and AVIF
    "heic": Kind(heic, size=(64, 64), extra="pillow_heif"),
    "heic, general brands": Kind(
        lambda: heic().replace(b"heic", b"mif2", 2), size=(64, 64), extra="pillow_heif"
    ),
    "heif, avc": Kind(
        lambda: heic().replace(b"hvc1", b"avc1"),
        refused="not supported: HEIF with AVC",
        extra="pillow_heif",
    ),
    "heif, uncompressed": Kind(
        lambda: heic().replace(b"hvc1", b"unci"),
        refused="not supported: HEIF with uncompressed pixels",
        extra="pillow_heif",
    ),
    "avif": Kind(avif),
    "avif, general brands": Kind(lambda: avif().replace(b"avif", b"mif1", 2)),
    "avif, orientation in xmp": Kind(lambda: avif(xmp=ORIENTATION_IN_XMP)),
    "avif, aperture": Kind(
        lambda: with_property(avif(), aperture(8, 8, -4, 4)),
        (BLUE, BLUE, BLUE, BLUE),
        size=(8, 8),
    ),
    "avif, aperture and rotation": Kind(
        lambda: with_property(
            with_property(avif(), aperture(8, 16, -4, 0)), kinds.box(b"irot", b"\1")
        ),
        (RED, BLUE, RED, BLUE),
        size=(16, 8),
    ),
    "avif, sequence": Kind(lambda: avif(save_all=True, append_images=[quadrants(GRAYS)])),
    "avif, too large": Kind(
        lambda: avif().replace(struct.pack(">II", SIDE, SIDE), struct.pack(">II", 17000, 17000)),
        refused=r"too large: 17000 x 17000 pixels",
    ),
    "webp, orientation in xmp": Kind(lambda: xmp("WEBP", lossless=True)),
    "tiff, orientation in xmp": Kind(
        lambda: saved(quadrants(), "TIFF", tiffinfo={700: ORIENTATION_IN_XMP})
    ),
    # Raw files, of which the preview is read
    "raw, dng": Kind(lambda: raw({254: 1, 330: 999, 50706: 1}, jpeg())),
    "raw, turned": Kind(
        lambda: raw({254: 1, 274: 6, 330: 999}, jpeg()), (BLUE, RED, YELLOW, GREEN)
    ),
    "raw, larger preview": Kind(
        lambda: raw({262: 32803}, jpeg(side=8) + jpeg(side=64) + jpeg()), size=(64, 64)
    ),
    "raw, orf": Kind(lambda: b"IIRO" + raw({256: 16}, jpeg())[4:]),
    "raw, rw2, turned": Kind(
        lambda: b"IIU\0" + raw({274: 3}, jpeg())[4:], (YELLOW, BLUE, GREEN, RED)
    ),
    "raw, raf": Kind(lambda: b"FUJIFILMCCD-RAW ".ljust(200, b"\0") + jpeg()),
    "raw, cr2": Kind(lambda: b"II*\0\x10\0\0\0CR\x02\0\0\0\0\0" + bytes(10) + jpeg()),
    "raw, cr3, turned": Kind(
        lambda: (
            kinds.box(b"ftyp", b"crx \0\0\0\1crx isom")
            + kinds.box(b"moov", kinds.box(b"CMT1", raw({274: 3}, b"")))
            + kinds.box(b"mdat", jpeg())
        ),
        (YELLOW, BLUE, GREEN, RED),
    ),
    "raw, thumbnail without jpeg": Kind(
        lambda: saved(quadrants(), "TIFF", tiffinfo={254: 1, 50706: bytes([1, 4, 0, 0])})
    ),
    "raw, without preview": Kind(
        lambda: raw({256: 16, 257: 16, 258: 8, 262: 32803, 273: 0, 277: 1, 278: 16, 279: 256}, b""),
        refused="not supported: a TIFF of raw sensor data",
    ),
    "raw, raf without preview": Kind(
        lambda: b"FUJIFILMCCD-RAW ".ljust(2000, b"\0"),
        refused="not supported: a camera's raw file without a preview",
    ),
    # Extras
    "jpeg xl": Kind(lambda: imagecodecs().jpegxl_encode(pixels(), lossless=True)),
    "jpeg xl, container": Kind(
        lambda: imagecodecs().jpegxl_encode(pixels(), lossless=True, usecontainer=True)
    ),
    "jpeg xl, 16 bits": Kind(
        lambda: imagecodecs().jpegxl_encode(pixels().astype("u2") * 257, lossless=True)
    ),
    "jpeg xl, 10 bits": Kind(
        lambda: imagecodecs().jpegxl_encode(
            np.rint(pixels() * (1023 / 255)).astype("u2"), lossless=True, bitspersample=10
        )
    ),
    "jpeg xl, animation": Kind(
        lambda: imagecodecs().jpegxl_encode(np.stack([pixels(), pixels(GRAYS)]), lossless=True)
    ),
    "jpeg xl, of a jpeg": Kind(
        lambda: imagecodecs().jpegxl_encode_jpeg(jpeg(exif=turned()), usecontainer=True),
        (BLUE, RED, YELLOW, GREEN),
    ),
    "jpeg xl, floats": Kind(
        lambda: imagecodecs().jpegxl_encode((pixels() / 255).astype("f4"), lossless=True)
    ),
    "jpeg xl, opacity": Kind(
        lambda: imagecodecs().jpegxl_encode(
            np.dstack([pixels(), np.repeat([255, 0], 128).reshape(16, 16)]).astype("u1"),
            lossless=True,
        ),
        LOWER_HIDDEN,
    ),
    "dicom": Kind(lambda: dicom(gray_samples()), GRAYS, extra="pydicom"),
    "dicom, without preamble": Kind(lambda: dicom(gray_samples())[132:], GRAYS, extra="pydicom"),
    "dicom, color": Kind(lambda: dicom(pixels()), extra="pydicom"),
    "dicom, ybr": Kind(
        lambda: dicom(
            np.asarray(quadrants().convert("YCbCr")), PhotometricInterpretation="YBR_FULL"
        ),
        extra="pydicom",
    ),
    "dicom, white is zero": Kind(
        lambda: dicom(255 - gray_samples(), PhotometricInterpretation="MONOCHROME1"),
        GRAYS,
        extra="pydicom",
    ),
    "dicom, window": Kind(
        lambda: dicom(
            gray_samples("i2", 4, 700),
            RescaleSlope=2,
            RescaleIntercept=-1000,
            WindowCenter=400 + 1020,
            WindowWidth=2041,
        ),
        GRAYS,
        extra="pydicom",
    ),
    "dicom, jpeg": Kind(
        lambda: compressed("1.2.840.10008.1.2.4.50", "jpeg8_encode", gray_samples()),
        GRAYS,
        extra="pydicom",
    ),
    "dicom, lossless jpeg": Kind(
        lambda: compressed("1.2.840.10008.1.2.4.70", "ljpeg_encode", gray_samples()),
        GRAYS,
        extra="pydicom",
    ),
    "dicom, jpeg-ls": Kind(
        lambda: compressed("1.2.840.10008.1.2.4.80", "jpegls_encode", gray_samples()),
        GRAYS,
        extra="pydicom",
    ),
    "dicom, jpeg 2000": Kind(
        lambda: compressed("1.2.840.10008.1.2.4.90", "jpeg2k_encode", gray_samples()),
        GRAYS,
        extra="pydicom",
    ),
    "dicom, video": Kind(
        lambda: compressed("1.2.840.10008.1.2.4.102", "jpeg8_encode", gray_samples()),
        refused="not supported: DICOM with MPEG-4 AVC",
        extra="pydicom",
    ),
}
