"""Mutated pictures: small files of every format, damaged at random and decoded."""

import io
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, Final

import numpy as np
import pytest
from PIL import Image

from headstart.errors import UnreadableImageError
from headstart.images.decode import decode
from headstart.images.limits import MAX_PIXELS
from tests.campaign.campaign import Campaign
from tests.campaign.isolation import Bounds, Task, isolated, refusal_fault
from tests.campaign.mutations import mutated
from tests.images.kind_table import KINDS

_BOUNDS: Final = Bounds(seconds=20, batch=500)
_LARGEST: Final = 100_000
"""Bytes of a file that is damaged; larger ones take longer and find no more."""
_SIZE: Final = (40, 30)

_WRITTEN: Final[dict[str, tuple[str, str, dict[str, Any]]]] = {
    "written jpeg": ("RGB", "JPEG", {"quality": 80}),
    "written jpeg, progressive": ("RGB", "JPEG", {"progressive": True, "restart_marker_rows": 1}),
    "written jpeg, cmyk": ("CMYK", "JPEG", {}),
    "written jpeg, gray": ("L", "JPEG", {}),
    "written mpo": ("RGB", "MPO", {"save_all": True}),
    "written png": ("RGB", "PNG", {}),
    "written png, palette": ("P", "PNG", {"bits": 8}),
    "written png, 16 bits": ("I;16", "PNG", {}),
    "written png, alpha": ("RGBA", "PNG", {}),
    "written png, 1 bit": ("1", "PNG", {}),
    "written gif": ("P", "GIF", {}),
    "written webp": ("RGB", "WEBP", {}),
    "written webp, lossless": ("RGBA", "WEBP", {"lossless": True}),
    "written tiff": ("RGB", "TIFF", {}),
    "written tiff, lzw": ("RGB", "TIFF", {"compression": "tiff_lzw"}),
    "written tiff, deflate": ("RGB", "TIFF", {"compression": "tiff_adobe_deflate"}),
    "written tiff, jpeg": ("RGB", "TIFF", {"compression": "jpeg"}),
    "written tiff, fax": ("1", "TIFF", {"compression": "group4"}),
    "written tiff, packbits": ("L", "TIFF", {"compression": "packbits"}),
    "written tiff, float": ("F", "TIFF", {}),
    "written tiff, big": ("RGB", "TIFF", {"big_tiff": True}),
    "written bmp": ("RGB", "BMP", {}),
    "written bmp, palette": ("P", "BMP", {}),
    "written ico": ("RGBA", "ICO", {"sizes": [(16, 16), (24, 24)]}),
    "written jp2": ("RGB", "JPEG2000", {}),
    "written jp2, lossy": ("RGB", "JPEG2000", {"irreversible": True, "quality_layers": [20]}),
    "written avif": ("RGB", "AVIF", {"quality": 60}),
    "written ppm": ("RGB", "PPM", {}),
    "written pgm": ("L", "PPM", {}),
    "written pbm": ("1", "PPM", {}),
    "written pcx": ("P", "PCX", {}),
    "written sgi": ("RGB", "SGI", {"rle": True}),
    "written tga": ("RGB", "TGA", {"compression": "tga_rle"}),
    "written dds": ("RGBA", "DDS", {}),
    "written dds, dxt5": ("RGBA", "DDS", {"pixel_format": "DXT5"}),
    "written qoi": ("RGB", "QOI", {}),
}
"""Name -> mode, Pillow's format and options of pictures of noise, which no codec shrinks to
nothing."""
_TIFFS: Final[dict[str, dict[str, Any]]] = {
    "tifffile, tiles": {"tile": (16, 16), "photometric": "rgb"},
    "tifffile, planes": {"planarconfig": "separate", "photometric": "rgb"},
    "tifffile, predictor": {"compression": "zlib", "predictor": True, "photometric": "rgb"},
    "tifffile, zstd": {"compression": "zstd", "photometric": "rgb"},
    "tifffile, webp": {"compression": "webp", "photometric": "rgb"},
    "tifffile, jpeg 2000": {"compression": "jpeg2000", "photometric": "rgb"},
    "tifffile, lerc": {"compression": "lerc", "photometric": "rgb"},
}
NAMES: Final = (*KINDS, *_WRITTEN, *_TIFFS)


def noise(mode: str = "RGB") -> Image.Image:
    """Return a picture of noise, the same each time."""
    width, height = _SIZE
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    return image.convert("L").convert(mode) if mode in ("F", "I;16") else image.convert(mode)


@cache
def sample(name: str) -> bytes:
    """Return an undamaged file; empty where the package that writes it is missing."""
    file = io.BytesIO()
    try:
        if name in KINDS:
            return KINDS[name].make()
        if name in _TIFFS:
            pytest.importorskip("imagecodecs")
            pytest.importorskip("tifffile").imwrite(file, np.asarray(noise()), **_TIFFS[name])
        else:
            mode, kind, options = _WRITTEN[name]
            noise(mode).save(file, kind, **options)
    except (pytest.skip.Exception, ImportError):
        return b""
    return file.getvalue()


def any_sample(chance: Random) -> bytes:
    """Return an undamaged file of any kind."""
    while not 0 < len(data := sample(chance.choice(NAMES))) <= _LARGEST:
        pass
    return data


def mutant(seed: int) -> bytes:
    """Return the damaged file of a seed."""
    chance = Random(seed)
    return mutated(any_sample(chance), chance, other=any_sample(chance))


def decode_mutant(folder: Path, seed: Task) -> str | None:
    """Decode a damaged file, at full or, as `fit` does, at reduced size."""
    data, small = mutant(int(seed)), int(seed) % 2 == 1
    try:
        image = decode(data, min_size=(lambda w, h: (w // 4, h // 4)) if small else None)
    except UnreadableImageError as error:
        broken = "a line break in the reason" if "\n" in str(error) else None
        return refusal_fault(error) or broken
    if image.mode != "RGB" or not 0 < image.width * image.height <= MAX_PIXELS:
        return f"decoded to {image.mode} of {image.size}"
    return None


def _tries(folder: Path, count: int, chance: Random) -> Iterator[str | None]:
    seeds = [chance.getrandbits(32) for _ in range(count)]
    return isolated(decode_mutant, seeds, folder, _BOUNDS)


MUTATED_PICTURES: Final = Campaign(
    kind="mutated pictures",
    failure="a crash, a hang, over 1.5 GB, anything printed, or no reason in one line",
    tries=_tries,
    full=50_000,
    short=300,
    slow=True,
)
