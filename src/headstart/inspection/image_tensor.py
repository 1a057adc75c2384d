"""Images as tensors, arrays and encoded files."""

import io

import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from headstart.system.marks import SOFTWARE
from headstart.types import Pixels


def to_tensor(pixels: Pixels, device: torch.device | None = None) -> Tensor:
    """Convert (H, W, 3) or (B, H, W, 3) uint8 to (1 or B, 3, H, W) float32 in [0, 1]."""
    tensor = torch.tensor(pixels, device=device)
    return (tensor if tensor.ndim == 4 else tensor[None]).permute(0, 3, 1, 2).float() / 255


def to_array(pixels: Tensor) -> Pixels:
    """Convert (B, 3, H, W) in [0, 1] to (B, H, W, 3) uint8, rounded."""
    levels = (pixels.detach() * 255).round().byte().permute(0, 2, 3, 1)
    return levels.contiguous().cpu().numpy()


def straight_through(pixels: Tensor, changed: Tensor) -> Tensor:
    """Return `changed` with the gradient of `pixels` (Bengio et al. 2013)."""
    return pixels + (changed - pixels).detach()


def encode(pixels: Pixels, image_format: str, **options: int) -> bytes:
    """Encode (H, W, 3) in a format of Pillow, such as "PNG"; options are those of the format."""
    file = io.BytesIO()
    if image_format == "PNG":
        text = PngInfo()
        for key, value in SOFTWARE.items():
            text.add_text(key, value)
        Image.fromarray(pixels).save(file, image_format, pnginfo=text, **options)
    else:
        Image.fromarray(pixels).save(file, image_format, **options)
    return file.getvalue()
