"""headstart: a folder of photos in, a tested image classifier out.

Example:
    >>> from headstart import Classifier, open_dataset
    >>> classifier = Classifier().fit(open_dataset("photos/"))  # doctest: +SKIP
    >>> classifier.predict(["new.jpg"])  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headstart.backbones import Backbone, list_backbones, load_backbone
    from headstart.classifier import Classifier
    from headstart.comparison import Comparison, compare
    from headstart.datasets import ImageDataset, open_dataset
    from headstart.errors import HeadstartError, UserError
    from headstart.model import Model
    from headstart.prediction import Predictions
    from headstart.report import Report, build_report
    from headstart.training import Trained
    from headstart.transfer import Transfer, measure_transfer

__version__ = "0.1.0"
__all__ = [
    "Backbone",
    "Classifier",
    "Comparison",
    "HeadstartError",
    "ImageDataset",
    "Model",
    "Predictions",
    "Report",
    "Trained",
    "Transfer",
    "UserError",
    "__version__",
    "build_report",
    "compare",
    "list_backbones",
    "load_backbone",
    "measure_transfer",
    "open_dataset",
]
_HOMES = {
    "Backbone": "backbones",
    "Classifier": "classifier",
    "Comparison": "comparison",
    "HeadstartError": "errors",
    "ImageDataset": "datasets",
    "Model": "model",
    "Predictions": "prediction",
    "Report": "report",
    "Trained": "training",
    "Transfer": "transfer",
    "UserError": "errors",
    "build_report": "report",
    "compare": "comparison",
    "list_backbones": "backbones",
    "load_backbone": "backbones",
    "measure_transfer": "transfer",
    "open_dataset": "datasets",
}


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    # On first use, so that `headstart --help` does not wait for scikit-learn and OpenVINO.
    if name not in _HOMES:
        raise AttributeError(f"module 'headstart' has no attribute {name!r}")
    return getattr(import_module(f"headstart.{_HOMES[name]}"), name)
