"""headstart: a folder of photos in, a tested image classifier out.

Example:
    >>> from headstart import Classifier, open_dataset
    >>> classifier = Classifier().fit(open_dataset("photos/"))
    >>> classifier.predict(["new.jpg"]).tolist()
    ['cat']
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headstart.backbones import Backbone, list_backbones, load_backbone
    from headstart.comparison.result import Comparison
    from headstart.comparison.successive_halving import compare
    from headstart.datasets import ImageDataset, open_dataset
    from headstart.errors import HeadstartError, UserError
    from headstart.evaluation.report import Report, build_report
    from headstart.models.estimator import Classifier
    from headstart.models.featurizer import Featurizer
    from headstart.models.fit_result import FitResult
    from headstart.models.prediction import Predictions
    from headstart.models.prediction_stream import ImagePrediction
    from headstart.models.trained_model import Model
    from headstart.transfer.result import TransferReport
    from headstart.transfer.transfer_report import measure_transfer

# headstart sends nothing anywhere. OpenVINO reports each import to an analytics service through
# this package, without asking, and writes an identifier into the home folder. A module that is
# None cannot be imported, which OpenVINO takes as "not installed".
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

__version__ = "0.1.0"
__all__ = [
    "Backbone",
    "Classifier",
    "Comparison",
    "Featurizer",
    "FitResult",
    "HeadstartError",
    "ImageDataset",
    "ImagePrediction",
    "Model",
    "Predictions",
    "Report",
    "TransferReport",
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
    "Classifier": "models.estimator",
    "Comparison": "comparison.result",
    "HeadstartError": "errors",
    "Featurizer": "models.featurizer",
    "ImageDataset": "datasets",
    "ImagePrediction": "models.prediction_stream",
    "Model": "models.trained_model",
    "Predictions": "models.prediction",
    "Report": "evaluation.report",
    "FitResult": "models.fit_result",
    "TransferReport": "transfer.result",
    "UserError": "errors",
    "build_report": "evaluation.report",
    "compare": "comparison.successive_halving",
    "list_backbones": "backbones",
    "load_backbone": "backbones",
    "measure_transfer": "transfer.transfer_report",
    "open_dataset": "datasets",
}


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    # On first use, so that `headstart --help` does not wait for scikit-learn and OpenVINO.
    if name not in _HOMES:
        raise AttributeError(f"module 'headstart' has no attribute {name!r}")
    return getattr(import_module(f"headstart.{_HOMES[name]}"), name)
