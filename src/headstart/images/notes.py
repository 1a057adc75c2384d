"""What decoding assumed or left out, to be told for a data set rather than for each image."""

from collections.abc import Callable
from enum import StrEnum
from typing import TypeAlias

from headstart.system.text import pluralize


class ImageNote(StrEnum):
    """A remark about one image that was decoded."""

    REDUCED_BIT_DEPTH = "reduced-bit-depth"
    """Stored with 16 bits a channel, of which only the lower ones are used; see `depth`."""
    RAW_PREVIEW = "raw-preview"
    """A camera's raw file of which only the embedded preview was read."""

    def sentence(self, images: int) -> str:
        """Return a warning about the number of images that have this note."""
        if self is ImageNote.RAW_PREVIEW:
            which = pluralize(images, "image is a raw file", "images are raw files")
            return f"{which} of a camera; the previews in them were used instead of the sensor data"
        which = pluralize(images, "image has", "images have")
        return (
            f"{which} 16 bits per channel but small values only, as from a camera with fewer bits; "
            "each was brightened as if it had 8, 10, 12 or 14 bits, the fewest that its values need"
        )


NoteCallback: TypeAlias = Callable[[ImageNote], None]
"""Called with each note about an image, in the thread that decodes it."""


def ignore_note(_: ImageNote) -> None:
    """Do nothing with a note."""
