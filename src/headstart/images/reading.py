"""Reading, decoding and preprocessing of an image file for a backbone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from headstart.images.decode import decode, read_bytes
from headstart.images.preprocessing import Preprocessing, prepare
from headstart.system.digests import bytes_digest
from headstart.types import Pixels


@dataclass(frozen=True, slots=True)
class EncodedImage:
    """The content of an image file, read once.

    Attributes:
        data: The bytes of the file, not decoded yet.
    """

    data: bytes

    @classmethod
    def read(cls, path: Path) -> EncodedImage:
        """Read a file.

        Raises:
            UnreadableImageError: The file cannot be read; the message is the reason.
        """
        return cls(read_bytes(path))

    def digest(self) -> str:
        """Return the digest of the bytes, 32 hex digits."""
        return bytes_digest(self.data)

    def decode(self, min_size: Callable[[int, int], tuple[int, int]]) -> Image.Image:
        """Decode to upright RGB, a JPEG possibly scaled down but not below `min_size`.

        Raises:
            UnreadableImageError: The bytes cannot be decoded; the message is the reason.
        """
        return decode(self.data, min_size=min_size)

    def prepared(self, preprocessing: Preprocessing) -> Pixels:
        """Decode, resize and crop for a backbone.

        Args:
            preprocessing: The preprocessing of the backbone.

        Returns:
            (crop, crop, 3) uint8; 0 to 255 stand for [0, 1].

        Raises:
            UnreadableImageError: The bytes cannot be decoded; the message is the reason.
        """
        return prepare(self.decode(preprocessing.min_decode_size), preprocessing)
