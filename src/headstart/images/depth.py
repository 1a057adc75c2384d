"""Scaling of samples of more than 8 bits, or of floats, to levels from 0 to 255.

The range of values that black and white stand for is, in this order:

1. what the file states (`Stated`): significant bits, the largest value;
2. for integers without negative values, the smallest of 8, 10, 12, 14 and 16 bits that holds the
   image's largest value, because cameras and scanners store such samples in 16 bits; for floats
   likewise, after [0, 1];
3. the range of the integer type, if the values span more than a quarter of it;
4. the range of the image's own values.

So bright and dark images are scaled alike where possible. Values that stand for "no data" count in
none of these and become black (infinity: white): NaN, infinity, the one that the file states, huge
numbers on one side only (such as -3.4e38), and -9999 or -99999 far below all others.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from headstart.errors import UnreadableImageError
from headstart.images.notes import ImageNote, NoteCallback, ignore_note
from headstart.types import Pixels

Samples: TypeAlias = npt.NDArray[Any]

BITS: Final = (8, 10, 12, 14, 16)
"""Numbers of bits that cameras and scanners store in 16."""
_HUGE: Final = 1e30
_TINY: Final = 1e-300
_NO_DATA: Final = (-9999.0, -99999.0)
_BLOCK: Final = 1 << 16
"""Samples that are scaled at a time, to limit the memory for wider copies of them."""


class ImageRows:
    """The samples of a Pillow image of one channel, copied only as far as they are read.

    Attributes:
        shape: (H, W).
        dtype: the type of the samples.
        size: number of samples.
    """

    def __init__(self, image: Image.Image, convert: Callable[[Samples], Samples] | None = None):
        self._image, self._convert = image, convert
        self.shape = (image.height, image.width)
        self.size = image.height * image.width
        self.dtype = self[0:1].dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> Samples:
        top, bottom, _ = rows.indices(len(self))
        samples = np.asarray(self._image.crop((0, top, self.shape[1], bottom)))
        return samples if self._convert is None else self._convert(samples)


@dataclass(frozen=True, slots=True)
class Stated:
    """What a file says about its samples.

    Attributes:
        low: the value of black.
        high: the value of white; None if the file does not say.
        no_data: the value of samples without information; None if there is no such value.
    """

    low: float = 0.0
    high: float | None = None
    no_data: float | None = None


def scaled(
    samples: Samples | ImageRows,
    stated: Stated | None = None,
    *,
    on_note: NoteCallback = ignore_note,
) -> Pixels:
    """Scale samples of any integer or float type to levels, with one range for all channels.

    Args:
        samples: (H, W) or (H, W, channels).
        stated: what the file says about them.
        on_note: called with `REDUCED_BIT_DEPTH` if 16-bit samples were scaled by their largest
            value, without a statement of the file.

    Returns:
        The same shape, uint8.

    Raises:
        UnreadableImageError: there is no finite value.
    """
    stated = stated or Stated()
    least, most = _extremes(samples, stated.no_data)
    low, high = _range(samples, stated, least, most)
    sixteen = samples.dtype.kind == "u" and samples.dtype.itemsize == 2
    if sixteen and stated.high is None and most > 0 and high < 65535:
        on_note(ImageNote.REDUCED_BIT_DEPTH)
    levels = np.empty(samples.shape, np.uint8)
    table = _levels(np.arange(65536), (least, most), (low, high)) if sixteen else None
    for rows in _blocks(samples):
        if table is not None:
            levels[rows] = table[samples[rows]]
        else:
            levels[rows] = _levels(samples[rows], (least, most), (low, high))
    return levels


def scaled_alpha(alpha: Samples, colors: Samples, stated: Stated) -> Pixels:
    """Scale opacity, (H, W), that belongs to colors.

    Integers of few bits are taken for such only if the colors have as few.
    """
    likewise = (alpha,) if alpha.dtype.kind == "f" else (alpha, colors)
    most = max(_extremes(samples, None)[1] for samples in likewise)
    least = min(_extremes(alpha, None)[0], 0.0)
    return _levels(alpha, (-np.inf, np.inf), _range(alpha, stated, least, most))


def scaled_image(
    colors: Samples, alpha: Samples | None, stated: Stated, on_note: NoteCallback
) -> Image.Image:
    """Scale colors, (H, W, 1 or 3), and opacity, (H, W), to an image of 8 bits; see `scaled`."""
    levels = scaled(colors, stated, on_note=on_note)
    image = Image.fromarray(levels[:, :, 0] if levels.shape[2] == 1 else levels)
    if alpha is not None:
        image.putalpha(Image.fromarray(scaled_alpha(alpha, colors, stated)))
    return image


def _levels(samples: Samples, valid: tuple[float, float], span: tuple[float, float]) -> Pixels:
    """Scale a span of values to levels; other values than valid ones become black."""
    low, high = span
    values = samples.astype(np.float64)
    usable = _valid(values, *valid)
    if not usable.all():
        values = np.where(usable, values, np.where(values == np.inf, high, low))
    # Divided before subtracting, because the difference of two huge floats may overflow.
    half = high / 2 - low / 2
    scale = 255 / half / 2 if half > _TINY else 0.0
    values *= scale
    values -= low * scale
    return np.rint(values, out=values).clip(0, 255, out=values).astype(np.uint8)


def _extremes(samples: Samples | ImageRows, no_data: float | None) -> tuple[float, float]:
    """Return the least and the largest value that is not one for "no data"."""
    least, most = _extremes_within(samples, -np.inf, np.inf, no_data)
    if samples.dtype.kind == "f" and (least < -_HUGE) != (most > _HUGE):
        try:
            least, most = _extremes_within(samples, -_HUGE, _HUGE, no_data)
        except UnreadableImageError:  # all are huge
            return least, most
    if least in _NO_DATA and least < most:
        above = np.nextafter(least, np.inf)
        others, _ = _extremes_within(samples, above, np.inf, no_data)
        if others < most and others - least > (most - others) / 4:
            return others, most
    return least, most


def _extremes_within(
    samples: Samples | ImageRows, low: float, high: float, no_data: float | None
) -> tuple[float, float]:
    found = []
    for rows in _blocks(samples):
        values = samples[rows]
        if no_data is not None or low > -np.inf or samples.dtype.kind == "f":
            values = values.astype(np.float64)
            usable = _valid(values, low, high)
            if no_data is not None:
                usable &= values != no_data
            values = values if usable.all() else values[usable]
        if values.size:
            found += [float(values.min()), float(values.max())]
    if not found:
        raise UnreadableImageError("no finite pixel values")
    return min(found), max(found)


def _valid(values: npt.NDArray[np.float64], low: float, high: float) -> npt.NDArray[np.bool_]:
    within = (values >= low) & (values <= high)
    return within if -np.inf < low and high < np.inf else within & np.isfinite(values)


def _range(
    samples: Samples | ImageRows, stated: Stated, least: float, most: float
) -> tuple[float, float]:
    """Return the values of black and white."""
    if stated.high is not None and stated.low <= least and most <= stated.high:
        return stated.low, stated.high
    tops = [float(2**bits - 1) for bits in BITS]
    if samples.dtype.kind == "f":
        if least < 0:
            return least, most
        if most <= 1:
            return 0.0, 1.0
        if most <= tops[0] / 4 and not _integral(samples):
            return least, most  # linear light above 1, for instance
        return next(((0.0, top) for top in tops if most <= top), (least, most))
    limits = np.iinfo(samples.dtype)
    span = limits.max - (limits.min if least < 0 else 0)
    if least >= 0:
        if samples.dtype.itemsize <= 2:
            tops = [top for top in tops if top < limits.max] + [float(limits.max)]
        for top in tops:
            if most <= top:
                return 0.0, top
    if most - min(least, 0.0) > span / 4:
        return float(limits.max - span), float(limits.max)
    return least, most


def _integral(samples: Samples | ImageRows) -> bool:
    with np.errstate(invalid="ignore"):
        return all(
            bool((samples[rows] == np.rint(samples[rows])).all()) for rows in _blocks(samples)
        )


def _blocks(samples: Samples | ImageRows) -> Iterator[slice]:
    """Yield slices of rows with few samples each."""
    step = max(1, _BLOCK * len(samples) // max(1, samples.size))
    for start in range(0, len(samples), step):
        yield slice(start, start + step)
