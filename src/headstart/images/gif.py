"""Reading of GIF files."""

import io
from typing import cast

from PIL import Image

from headstart.images.limits import check_size
from headstart.images.notes import NoteCallback
from headstart.images.plugins import plugin


def read_gif(content: bytes, _: NoteCallback) -> Image.Image:
    """Read the first frame; what it leaves of the canvas is transparent, as in browsers."""
    image = plugin("GIF")(io.BytesIO(content), "")
    check_size(*image.size)
    frame = cast("tuple[int, int, int, int]", image.tile[0][1])
    image.load()
    if frame == (0, 0, *image.size):
        return image
    canvas = Image.new("RGBA", image.size)
    canvas.paste(image.crop(frame).convert("RGBA"), frame[:2])
    return canvas
