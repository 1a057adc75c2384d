"""A writer of small Photoshop files."""

import struct
import zlib

import numpy as np

BITMAP, GRAY, INDEXED, RGB, CMYK, LAB = 0, 1, 2, 3, 4, 9
RAW, RLE, ZIP, ZIP_PREDICTED = range(4)


def raw_psd(
    channels,
    mode,
    *,
    depth=8,
    version=1,
    layers=None,
    has_composite=None,
    compression=RAW,
    palette=b"",
):
    """Write the composite of (H, W) uint8 channels, with a count of layers but no layer."""
    height, width = channels[0].shape
    head = struct.pack(">4sH6xHIIHH", b"8BPS", version, len(channels), height, width, depth, mode)
    resources = b"8BIM" + struct.pack(">HBB", 1005, 0, 0) + _sized(b"odd") + b"\0"
    if has_composite is not None:
        info = struct.pack(">IB5x", 1, has_composite)
        resources += b"8BIM" + struct.pack(">HBB", 1057, 0, 0) + _sized(info)
    long = ">I" if version == 1 else ">Q"
    section = b"" if layers is None else _sized(struct.pack(">h", layers), long)
    rows = [
        [(np.packbits(row) if depth == 1 else row).astype(np.uint8) for row in one]
        for one in channels
    ]
    body = _compressed(rows, compression, version)
    sections = [_sized(palette), _sized(resources), _sized(section, long)]
    return b"".join([head, *sections, struct.pack(">H", compression), body])


def _compressed(rows, compression, version):
    if compression == RLE:
        runs = [_run_lengths(row.tobytes()) for one in rows for row in one]
        count = ">H" if version == 1 else ">I"
        return b"".join([struct.pack(count, len(run)) for run in runs] + runs)
    if compression == ZIP_PREDICTED:
        rows = [[np.diff(row, prepend=np.uint8(0)) for row in one] for one in rows]
    data = b"".join(row.tobytes() for one in rows for row in one)
    return data if compression == RAW else zlib.compress(data)


def _run_lengths(data):
    """PackBits: literal runs of up to 3 bytes, so that there are several."""
    return b"".join(
        bytes([len(data[at : at + 3]) - 1]) + data[at : at + 3] for at in range(0, len(data), 3)
    )


def _sized(data, length=">I"):
    return struct.pack(length, len(data)) + data
