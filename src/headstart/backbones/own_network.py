"""Networks of the user's own from files: ONNX, which is data, and programs, which are code."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from headstart.backbones.backbone import Weights
from headstart.backbones.own_code import PROGRAM, check_allowed, read_program
from headstart.errors import BackboneError
from headstart.images.preprocessing import Preprocessing
from headstart.system.digests import bytes_digest
from headstart.system.files import read_regular

if TYPE_CHECKING:
    from headstart.backbones.graph_backbone import GraphBackbone

_SUFFIXES: Final = (".onnx", PROGRAM)
_PICKLES: Final = (".pt", ".pth", ".pkl")
_LIMIT: Final = 2**31
"""Largest size of a file in bytes, which is the limit of ONNX's format, too."""


def is_own_network(name: str) -> bool:
    """Whether the name of a backbone is that of a file with a network.

    Raises:
        BackboneError: it is a file of a kind that is never loaded, because it could run code.
    """
    if name.lower().endswith(_PICKLES) and Path(name).is_file():
        raise BackboneError(
            f"{name} may run code when PyTorch loads it, so headstart does not; save the network "
            "with torch.onnx.export and give that file, or give the loaded network to "
            "headstart.Classifier in Python"
        )
    return name.lower().endswith(_SUFFIXES)


def load_own_network(
    name: str,
    *,
    weights: Path | None,
    preprocessing: Preprocessing | None,
    allow_code: bool = False,
) -> GraphBackbone:
    """Load a network from a file.

    Args:
        name: path of the file, or its name if `weights` is given.
        weights: path of the file, wherever it is now.
        preprocessing: how images are prepared; by default as the file beside it says.
        allow_code: whether a program may be opened, which can run code.

    Raises:
        BackboneError: there is no such file, it is not a network from an image to one output, its
            preprocessing is not stated, or it is a program and must not be opened.
    """
    # Other networks do not wait for these.
    from headstart.backbones.graph_backbone import read_graph
    from headstart.backbones.stated_preprocessing import preprocessing_beside

    file = weights or Path(name)
    if not file.is_file():
        raise BackboneError(f"there is no network at {file}; check the path")
    check_allowed(name, allow_code=allow_code)
    preprocessing = preprocessing or preprocessing_beside(file)
    try:
        content = read_regular(file, limit=_LIMIT)
    except OSError as error:
        raise BackboneError(f"cannot read {file} ({error.strerror or error})") from error
    read = read_program if name.lower().endswith(PROGRAM) else _read_onnx
    try:
        return read_graph(
            read(content, file),
            name=Path(name).name,
            weights=Weights(source=file.name, digest=bytes_digest(content), license="unstated"),
            preprocessing=preprocessing,
            file=file.absolute(),
        )
    except UnicodeDecodeError as error:  # in a name, or in OpenVINO's message about one
        raise BackboneError(f"{file} is damaged: it has names that are not text") from error


def _read_onnx(content: bytes, file: Path) -> Any:
    """Read the bytes, not the file: it cannot refer to others, and has the digest of these."""
    import openvino as ov

    try:
        return ov.Core().read_model(content)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = lines[-1][:200] if lines else type(error).__name__
        raise BackboneError(
            f"{file} is not an ONNX network that OpenVINO can read ({reason}); export it again, "
            "with its weights in the same file"
        ) from error
