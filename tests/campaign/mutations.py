"""Damage to files, at random: what disks, networks, bad programs and attackers do to them."""

import json
import struct
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Final, TypeAlias

Mutation: TypeAlias = Callable[[bytes, Random], bytes]
"""Maps the content of a file and a source of chance to other content."""

_FIELDS: Final = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 2**32 - 1)
"""Numbers at which programs that read a header go wrong."""
_HEAD: Final = 200
"""Bytes in which most headers lie."""


def flip_bits(data: bytes, chance: Random) -> bytes:
    """Flip one to sixteen bits."""
    damaged = bytearray(data)
    for _ in range(chance.randint(1, 16)):
        damaged[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(damaged)


def cut_end(data: bytes, chance: Random) -> bytes:
    """Cut off the end, as a download that broke off."""
    return data[: chance.randrange(len(data))]


def cut_start(data: bytes, chance: Random) -> bytes:
    """Cut off the start, or some of it."""
    return data[chance.randint(1, len(data)) :]


def remove_block(data: bytes, chance: Random) -> bytes:
    """Take bytes out of the middle."""
    start, end = _block(data, chance)
    return data[:start] + data[end:]


def repeat_block(data: bytes, chance: Random) -> bytes:
    """Repeat bytes, once or often."""
    start, end = _block(data, chance)
    return data[:end] + data[start:end] * chance.choice((1, 2, 30)) + data[end:]


def insert_noise(data: bytes, chance: Random) -> bytes:
    """Insert random bytes."""
    at = chance.randint(0, len(data))
    return data[:at] + chance.randbytes(chance.choice((1, 2, 4, 64, 1_000))) + data[at:]


def overwrite_noise(data: bytes, chance: Random) -> bytes:
    """Replace bytes by random ones."""
    start, end = _block(data, chance)
    return data[:start] + chance.randbytes(end - start) + data[end:]


def zero_block(data: bytes, chance: Random) -> bytes:
    """Set bytes to zero, as a file system that lost a block."""
    start, end = _block(data, chance)
    return data[:start] + bytes(end - start) + data[end:]


def zero_end(data: bytes, chance: Random) -> bytes:
    """Set all bytes up to the end to zero, as a download into a file of full size."""
    start = chance.randrange(len(data))
    return data[:start].ljust(len(data), b"\0")


def swap_blocks(data: bytes, chance: Random) -> bytes:
    """Exchange two neighboring blocks."""
    start, end = _block(data, chance)
    middle = chance.randint(start, end)
    return data[:start] + data[middle:end] + data[start:middle] + data[end:]


def set_field(data: bytes, chance: Random) -> bytes:
    """Set a number of one to eight bytes, most likely in the header, to an extreme value."""
    kind = chance.choice(("B", "<H", ">H", "<I", ">I", "<Q", ">Q"))
    size = struct.calcsize(kind)
    at = chance.randrange(min(len(data), _HEAD) if chance.random() < 0.7 else len(data))
    number = chance.choice(_FIELDS) % 256**size
    return data[:at] + struct.pack(kind, number) + data[at + size :]


def text_as_binary(data: bytes, chance: Random) -> bytes:
    """Turn line ends into those of another system, as a transfer in text mode."""
    old, new = chance.choice(((b"\n", b"\r\n"), (b"\r\n", b"\n"), (b"\r", b"\n")))
    return data.replace(old, new)


MUTATIONS: Final[tuple[Mutation, ...]] = (
    flip_bits,
    cut_end,
    cut_start,
    remove_block,
    repeat_block,
    insert_noise,
    overwrite_noise,
    zero_block,
    zero_end,
    swap_blocks,
    set_field,
    text_as_binary,
)


def mutated(data: bytes, chance: Random, *, other: bytes = b"") -> bytes:
    """Damage a file in one to three ways; one of them may be to go on with another file."""
    for _ in range(chance.choice((1, 1, 2, 3))):
        if not data:
            break
        if other and chance.random() < 0.05:
            at = chance.randrange(len(data))
            data = data[:at] + other[min(at, len(other)) :]
        else:
            data = chance.choice(MUTATIONS)(data, chance)
    return data


def _block(data: bytes, chance: Random) -> tuple[int, int]:
    """Return the start and the end of a block, which is short as often as it is long."""
    start = chance.randrange(len(data))
    length = int((len(data) - start) ** chance.random())
    return start, start + max(1, length)


HOSTILE: Final[tuple[Any, ...]] = (
    *(None, True, 0, -1, 0.5, 1e308, -1e308, 5e-324, float("nan"), float("inf"), 10**30, 2**63),
    *("", " ", "0", "None", "../../etc/passwd", "/etc/passwd", "a\nb", "\x1b[31mred\x1b[0m", "\0"),
    *("<script>alert(1)</script>", "![x](http://x)", "\u202egnp.exe", "\ud800", "x" * 99_999),
    *([], {}, [None], [[[[]]]], {"": ""}, [0] * 1_000, {"a": {"b": {"c": None}}}),
)
"""Values that a program may not expect in a document."""


def mutated_document(document: Any, chance: Random) -> str:
    """Return JSON in which one to three entries are missing, moved, or of unexpected content."""
    document = json.loads(json.dumps(document))
    for _ in range(chance.choice((1, 1, 2, 3))):
        places = list(_places(document))
        if not places:
            break
        parent, key = chance.choice(places)
        match chance.randrange(6):
            case 0:
                del parent[key]
            case 1:
                other, other_key = chance.choice(places)
                parent[key] = json.loads(json.dumps(other[other_key]))
            case 2 if isinstance(parent, dict):
                parent[str(chance.choice(HOSTILE))[:50]] = chance.choice(HOSTILE)
            case 2:
                parent.extend([parent[key]] * chance.choice((1, 1_000)))
            case 3 if isinstance(parent[key], int | float):
                parent[key] = parent[key] * chance.choice((-1, 10, 1e9, 1e-9))
            case _:
                parent[key] = chance.choice(HOSTILE)
    return json.dumps(document)


def _places(node: Any) -> Sequence[tuple[Any, Any]]:
    """Return each entry of a document, as the object or list that it is in, and its key."""
    keys: Sequence[Any] = ()
    if isinstance(node, dict):
        keys = list(node)
    elif isinstance(node, list):
        keys = range(len(node))
    return [place for key in keys for place in ((node, key), *_places(node[key]))]
