"""Import torchvision and timm even if torchvision's compiled operators cannot be loaded.

The torchvision wheel on PyPI is compiled for the CUDA build of PyTorch. With a CPU-only PyTorch its
operators do not load, and `import torchvision` fails because two of them, whose shapes it
registers, are missing ("operator torchvision::nms does not exist"). Only object detection uses
them, so declaring them is enough for the import.
"""

import importlib
import warnings
from types import ModuleType

from headstart.errors import MissingExtraError

_DETECTION = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def import_torchvision(wanted_by: str) -> ModuleType:
    """Return the module torchvision; `wanted_by` names what needs it in messages.

    Raises:
        MissingExtraError: torch or torchvision is not installed.
    """
    try:
        import torch

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
    """Return the module timm; see `import_torchvision`, which it needs."""
    import_torchvision(wanted_by)
    try:
        with warnings.catch_warnings():  # of tqdm, in notebooks; timm only uses it for downloads
            warnings.filterwarnings("ignore", "IProgress not found")
            return importlib.import_module("timm")
    except ImportError:
        raise MissingExtraError(wanted_by, extra="torch") from None
