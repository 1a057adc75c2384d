"""Imports torchvision and timm where torchvision's compiled operators cannot be loaded.

The torchvision wheel on PyPI is compiled for the CUDA build of PyTorch. Beside a CPU-only PyTorch
its operators do not load, and `import torchvision` then fails over describing the shapes of two
of them ("operator torchvision::nms does not exist"). They serve object detection; classifiers
never call them. Declaring them is enough for the import.
"""

from __future__ import annotations

import importlib
from types import ModuleType

from headstart.errors import MissingExtraError

_DETECTION = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def import_torchvision(wanted_by: str) -> ModuleType:
    """The module torchvision.

    Args:
        wanted_by: the backbone that needs it, for the message.

    Raises:
        MissingExtraError: torch or torchvision is not installed.
    """
    try:
        import torch
    except ImportError:
        raise MissingExtraError(wanted_by, extra="torch") from None
    try:
        return importlib.import_module("torchvision")
    except ImportError:
        raise MissingExtraError(wanted_by, extra="torch") from None
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
    for operator in ("nms", "qnms"):
        torch.library.define(f"torchvision::{operator}", _DETECTION)
    return importlib.import_module("torchvision")


def import_timm(wanted_by: str) -> ModuleType:
    """The module timm, which imports torchvision.

    Args:
        wanted_by: the backbone that needs it, for the message.

    Raises:
        MissingExtraError: torch, torchvision or timm is not installed.
    """
    import_torchvision(wanted_by)
    try:
        return importlib.import_module("timm")
    except ImportError:
        raise MissingExtraError(wanted_by, extra="torch") from None
