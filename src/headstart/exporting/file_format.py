"""The formats of exported files, what they take, and how they store weights."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Final

from headstart.errors import UserError


class Format(StrEnum):
    """The format of an exported file."""

    ONNX = "onnx"
    """One ONNX file, for onnxruntime and everything else that reads ONNX."""
    OPENVINO = "openvino"
    """OpenVINO's intermediate representation: an .xml file with a .bin file beside it."""
    TORCH = "torch"
    """A program of torch.export, which PyTorch alone runs."""

    @property
    def suffix(self) -> str:
        """How the name of a file ends."""
        return _SUFFIXES[self]

    @classmethod
    def of(cls, file: Path) -> Format:
        """Return the format by a file's name.

        Raises:
            UserError: It ends in none of the suffixes.
        """
        for one in cls:
            if file.suffix.lower() == one.suffix:
                return one
        endings = ", ".join(f"{one.suffix} ({one})" for one in cls)
        raise UserError(
            f"{file} has none of the endings of exported files: {endings}; give a file with one"
        )


_SUFFIXES: Final = {Format.ONNX: ".onnx", Format.OPENVINO: ".xml", Format.TORCH: ".pt2"}


class InputForm(StrEnum):
    """What a file takes."""

    IMAGE = "image"
    """One upright RGB image of any size, (H, W, 3) uint8."""
    CROPS = "crops"
    """Images that are already resized and cropped: for each view, (N, side, side, 3) uint8."""


class Weights(StrEnum):
    """How a file stores its weights."""

    FLOAT32 = "float32"
    HALF = "float16"
    """Half the size; everything is computed in float32."""
    INT8 = "int8"
    """Filters in 8 bits with a scale for each channel, the rest in 16: about 0.3 of the size."""


TOLERANCE: Final = 0.02
"""Largest accepted difference of a probability; another label is accepted only if the model's own
probabilities of both labels are this close."""
IMAGE: Final = "image"
"""Name of the input of a file that takes whole images."""


def crops_name(place: int) -> str:
    """Return the name of the input of a view of a file that takes crops."""
    return "crops" if place == 0 else f"crops_{place + 1}"
