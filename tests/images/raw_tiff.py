"""A writer of small TIFF files of any kind, also of those that no library writes."""

import struct

import numpy as np

FIELD_TYPES = {1: "B", 2: "s", 3: "H", 4: "I", 5: "I", 7: "s", 11: "f", 12: "d", 16: "Q"}


def raw_tiff(data, size, *, order="<", big=False, **tags):
    """Write one strip of pixel data, with baseline tags for 8-bit grays unless others are given.

    `tags` are named `t258=(3, [8, 8, 8])` by their number, with a field type and values;
    None leaves a tag out.
    """
    width, height = size
    fields = {256: (4, [width]), 257: (4, [height]), 258: (3, [8]), 259: (3, [1]), 262: (3, [1])}
    fields |= {273: (4, [0]), 277: (3, [1]), 278: (4, [height]), 279: (4, [len(data)])}
    fields |= {int(name[1:]): field for name, field in tags.items()}
    fields = {tag: field for tag, field in fields.items() if field is not None}
    offset, entry, inline = ("Q", "HHQ", 8) if big else ("I", "HHI", 4)
    start = 16 if big else 8
    mark = {"<": b"II", ">": b"MM"}[order]
    count = "Q" if big else "H"
    ifd_size = struct.calcsize(f"{order}{count}{offset}") + len(fields) * (
        struct.calcsize(order + entry) + inline
    )
    fields[273] = (fields[273][0], [start + ifd_size])
    behind = start + ifd_size + len(data)
    ifd, extra = struct.pack(order + count, len(fields)), b""
    for tag, (kind, values) in sorted(fields.items()):
        if isinstance(values, bytes):
            number, packed = len(values), values
        else:
            number = len(values) // (2 if kind == 5 else 1)
            packed = struct.pack(f"{order}{len(values)}{FIELD_TYPES[kind]}", *values)
        if len(packed) > inline:
            place = struct.pack(order + offset, behind + len(extra))
            extra += packed
        else:
            place = packed.ljust(inline, b"\0")
        ifd += struct.pack(order + entry, tag, kind, number) + place
    ifd += struct.pack(order + offset, 0)
    head = mark + struct.pack(order + "H", 43 if big else 42)
    head += struct.pack(order + ("HHQ" if big else "I"), *([8, 0] if big else []), start)
    return head + ifd + data + extra


def packed(samples, bits):
    """Pack integers, (H, N), into bits, each row into whole bytes."""
    shifts = np.arange(bits - 1, -1, -1)
    each = (samples[:, :, None].astype(np.int64) >> shifts & 1).astype(np.uint8)
    return np.packbits(each.reshape(len(samples), -1), axis=1).tobytes()
