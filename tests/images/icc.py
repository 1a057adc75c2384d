"""A writer of small ICC profiles with a gamma curve."""

import struct

import numpy as np

SRGB = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
ADOBE_RGB = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06))
DISPLAY_P3 = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
D65, D50 = (0.9505, 1.0, 1.0891), (0.9642, 1.0, 0.8249)
_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)


def to_xyz(primaries):
    """The matrix from linear RGB to XYZ, for white D65."""
    columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in primaries]).T
    return columns * np.linalg.solve(columns, D65)


def profile(name, *, gamma, primaries=None):
    """A profile of RGB, or of gray without primaries; a gamma of 0 is sRGB's curve."""
    curve = _curve(gamma)
    tags = {b"desc": _text(name), b"cprt": b"text\0\0\0\0none\0", b"wtpt": _xyz(D50)}
    if primaries is None:
        tags[b"kTRC"] = curve
    else:
        cones = np.diag((_BRADFORD @ D50) / (_BRADFORD @ D65))
        adapted = np.linalg.inv(_BRADFORD) @ cones @ _BRADFORD @ to_xyz(primaries)
        for letter, column in zip((b"r", b"g", b"b"), adapted.T, strict=True):
            tags |= {letter + b"XYZ": _xyz(column), letter + b"TRC": curve}
    return _file(b"mntr", b"RGB " if primaries else b"GRAY", b"XYZ ", tags)


def cmyk_profile():
    """A profile of inks that make paper darker, by K in equal steps of L*, and never colored."""
    corners = np.indices((2, 2, 2, 2)).reshape(4, -1).T  # C, M, Y, K
    lightness = np.rint(255 * (1 - corners[:, :3].mean(axis=1)) * (1 - corners[:, 3]))
    table = np.stack([lightness, np.full(16, 128), np.full(16, 128)], axis=1).astype(np.uint8)
    identity = struct.pack(">9i", *(65536 * (i % 4 == 0) for i in range(9)))
    ramp = bytes(range(256))
    lut = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + identity + 4 * ramp + table.tobytes() + 3 * ramp
    tags = {b"desc": _text("Inks"), b"cprt": b"text\0\0\0\0none\0", b"wtpt": _xyz(D50)}
    return _file(b"prtr", b"CMYK", b"Lab ", tags | {b"A2B0": lut})


def _file(kind, space, connection, tags):
    place, table, body = 128 + 4 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for tag, data in tags.items():
        table += tag + struct.pack(">II", place + len(body), len(data))
        body += data.ljust(-(-len(data) // 4) * 4, b"\0")
    head = struct.pack(">I4sI", place + len(body), b"none", 0x02400000) + kind + space
    head += connection + bytes(12) + b"acsp" + bytes(28) + _xyz(D50)[8:]
    return head.ljust(128, b"\0") + table + body


def decoded_curve(levels):
    """Linear light of sRGB levels in [0, 1] (IEC 61966-2-1)."""
    return np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)


def encoded_curve(light):
    """SRGB levels in [0, 1] of linear light."""
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def _curve(gamma):
    if gamma:
        return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))
    points = np.rint(decoded_curve(np.linspace(0, 1, 1024)) * 65535).astype(">u2")
    return b"curv\0\0\0\0" + struct.pack(">I", 1024) + points.tobytes()


def _text(text):
    data = text.encode() + b"\0"
    return b"desc\0\0\0\0" + struct.pack(">I", len(data)) + data + bytes(78)


def _xyz(values):
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(v * 65536) for v in values))
