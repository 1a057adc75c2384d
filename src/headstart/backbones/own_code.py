"""Networks of the user's own that run code when they are opened: only with the user's consent."""

from __future__ import annotations

import re
import sys
import warnings
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Any, Final

from headstart.backbones.backbone import Backbone
from headstart.errors import BackboneError
from headstart.images.preprocessing import Preprocessing

PROGRAM: Final = ".pt2"
ALLOW_CODE: Final = (
    "add --allow-code (in Python, allow_code=True, or give the loaded network instead of its name)"
)
"""How to allow it, for error messages."""
_NAME: Final = r"[^\W\d]\w*"
_ATTRIBUTE: Final = re.compile(rf"({_NAME}(?:\.{_NAME})*):({_NAME})")


def is_attribute(name: str) -> bool:
    """Whether the name of a backbone has the form of a Python attribute, MODULE:ATTRIBUTE."""
    return _ATTRIBUTE.fullmatch(name) is not None


def check_allowed(name: str, *, allow_code: bool) -> None:
    """Check that the file of a network may be opened, without opening it.

    Raises:
        BackboneError: it is a program, which may run code, and that is not allowed.
    """
    if name.lower().endswith(PROGRAM) and not allow_code:
        raise BackboneError(f"{name} may run code when it is opened; if you trust it, {ALLOW_CODE}")


def read_program(content: bytes, file: Path) -> Any:
    """Return the `openvino.Model` of an exported program; this may run code in it.

    Raises:
        BackboneError: it is damaged, or OpenVINO cannot convert it.
    """
    import torch

    from headstart.backbones.own_module import convert_program

    try:
        with warnings.catch_warnings(action="ignore"):  # of changes in the format
            program = torch.export.load(BytesIO(content))
    except Exception as error:  # code in the file may raise anything
        raise BackboneError(
            f"{file} is not a program that PyTorch {torch.__version__} can read "
            f"({_reason(error)}); export it again with torch.export.save"
        ) from error
    return convert_program(program, file.name)


def load_own_code(
    name: str, *, weights: Path | None, preprocessing: Preprocessing | None
) -> Backbone:
    """Import and run the code that makes a network.

    Args:
        name: MODULE:ATTRIBUTE, a `torch.nn.Module` or what returns one if called without arguments.
        weights: must be None.
        preprocessing: how images are prepared; by default as ATTRIBUTE.toml beside the code says.

    Raises:
        BackboneError: there is no such code, it fails, its network cannot be used, or nothing says
            how images are prepared for it.
    """
    if weights is not None:
        raise BackboneError(f"{name} comes with its weights; remove --weights {weights}")
    from torch import nn

    from headstart.backbones.own_module import module_backbone
    from headstart.backbones.stated_preprocessing import preprocessing_beside

    module, _, attribute = name.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))  # the last place: no file there replaces a package
    try:
        code = import_module(module)
        found = getattr(code, attribute)
    except Exception as error:  # the user's code may raise anything
        raise BackboneError(
            f"{name} cannot be imported ({_reason(error)}); correct it, or run headstart in "
            "the folder that contains it"
        ) from error
    if preprocessing is None:
        preprocessing = preprocessing_beside(Path(code.__file__ or module).with_name(attribute))
    try:
        network = found if isinstance(found, nn.Module) else found()
    except Exception as error:
        raise BackboneError(f"{name} failed ({_reason(error)}); correct it") from error
    if not isinstance(network, nn.Module):
        raise BackboneError(
            f"{name} gives {type(network).__name__} where a torch.nn.Module is needed, or a "
            "function without arguments that returns one"
        )
    return module_backbone(network, preprocessing, name=name)


def _reason(error: Exception) -> str:
    first = next(iter(str(error).strip().splitlines()), "")
    return f"{type(error).__name__}: {first[:200]}" if first else type(error).__name__
