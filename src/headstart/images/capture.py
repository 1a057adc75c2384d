"""When a photo was taken, and by which camera, according to its EXIF data."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from PIL import ExifTags, Image

from headstart.images.decode import open_header

_TIMES: Final = (
    (ExifTags.Base.DateTimeOriginal, ExifTags.Base.SubsecTimeOriginal),
    (ExifTags.Base.DateTimeDigitized, ExifTags.Base.SubsecTimeDigitized),
)


@dataclass(frozen=True, slots=True)
class Capture:
    """The circumstances of a photo.

    Attributes:
        time: Time of the camera's clock, without a time zone.
        camera: Its maker, model and serial number, as far as they are stated.
    """

    time: datetime
    camera: str


def read_capture(path: Path) -> Capture | None:
    """Read the capture time of a photo without decoding it; None if it states none."""
    try:
        with open_header(path) as image:
            # The method of the PNG plugin would decode the pixels of an image without EXIF data.
            exif = Image.Image.getexif(image)
            details = exif.get_ifd(ExifTags.IFD.Exif)
    except Exception:  # noqa: BLE001 - Pillow may raise anything on damaged data
        return None
    time = next(filter(None, (_time(details.get(t), details.get(f)) for t, f in _TIMES)), None)
    time = time or _time(exif.get(ExifTags.Base.DateTime), None)
    if time is None:
        return None
    names = (
        exif.get(ExifTags.Base.Make),
        exif.get(ExifTags.Base.Model),
        details.get(ExifTags.Base.BodySerialNumber),
    )
    return Capture(time, " ".join(str(name).strip() for name in names if name))


def _time(text: object, fraction: object) -> datetime | None:
    """Parse an EXIF time, such as "2024:05:31 12:00:00", with its decimal fraction of a second."""
    try:
        time = datetime.strptime(str(text).strip("\0 "), "%Y:%m:%d %H:%M:%S")
    except ValueError:
        return None
    digits = str(fraction or "").strip("\0 ")
    return time + timedelta(seconds=float(f"0.{digits}")) if digits.isdecimal() else time
