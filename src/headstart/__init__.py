"""headstart: a folder of photos in, a tested image classifier out.

Example:
    >>> import headstart
    >>> classifier = headstart.fit("photos/")
    >>> classifier.predict(["new.jpg"]).tolist()
    ['cat']
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headstart.api.classifying import classify
    from headstart.api.exports import export, verify
    from headstart.api.inspecting import attack, explain, feature_maps, imagine, robustness
    from headstart.api.measuring import audit, compare, evaluate, measure_transfer
    from headstart.api.training import finetune, fit
    from headstart.auditing.audit import Audit
    from headstart.backbones import Backbone, list_backbones, load_backbone
    from headstart.comparison.result import Comparison
    from headstart.datasets import ImageDataset, list_datasets, open_dataset
    from headstart.errors import HeadstartError, HeadstartWarning, UserError
    from headstart.evaluation.report import Report, build_report
    from headstart.finetuning.finetune import FineTuneResult
    from headstart.finetuning.settings import TuningSettings
    from headstart.inspection.adversarial_file import AdversarialImage
    from headstart.inspection.explanation import Explanation
    from headstart.inspection.feature_maps import FeatureMaps
    from headstart.inspection.ideal_image import IdealImage
    from headstart.inspection.robustness_result import Robustness
    from headstart.models.estimator import Classifier
    from headstart.models.featurizer import Featurizer
    from headstart.models.fit_result import FitResult
    from headstart.models.prediction import Predictions
    from headstart.models.prediction_stream import ImagePrediction
    from headstart.models.trained_model import Model
    from headstart.transfer.result import TransferReport

# headstart sends nothing anywhere. OpenVINO reports each import to an analytics service through
# this package, without asking, and writes an identifier into the home folder. A module that is
# None cannot be imported, which OpenVINO takes as "not installed".
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

__version__ = "0.1.0"
__all__ = [
    "AdversarialImage",
    "Audit",
    "Backbone",
    "Classifier",
    "Comparison",
    "Explanation",
    "FeatureMaps",
    "Featurizer",
    "FineTuneResult",
    "FitResult",
    "HeadstartError",
    "HeadstartWarning",
    "IdealImage",
    "ImageDataset",
    "ImagePrediction",
    "Model",
    "Predictions",
    "Report",
    "Robustness",
    "TransferReport",
    "TuningSettings",
    "UserError",
    "__version__",
    "attack",
    "audit",
    "build_report",
    "classify",
    "compare",
    "evaluate",
    "explain",
    "export",
    "feature_maps",
    "finetune",
    "fit",
    "imagine",
    "list_backbones",
    "list_datasets",
    "load_backbone",
    "measure_transfer",
    "open_dataset",
    "robustness",
    "verify",
]
_HOMES = {
    "AdversarialImage": "inspection.adversarial_file",
    "Audit": "auditing.audit",
    "Backbone": "backbones",
    "Classifier": "models.estimator",
    "Comparison": "comparison.result",
    "Explanation": "inspection.explanation",
    "FeatureMaps": "inspection.feature_maps",
    "Featurizer": "models.featurizer",
    "FineTuneResult": "finetuning.finetune",
    "FitResult": "models.fit_result",
    "HeadstartError": "errors",
    "HeadstartWarning": "errors",
    "IdealImage": "inspection.ideal_image",
    "ImageDataset": "datasets",
    "ImagePrediction": "models.prediction_stream",
    "Model": "models.trained_model",
    "Predictions": "models.prediction",
    "Report": "evaluation.report",
    "Robustness": "inspection.robustness_result",
    "TransferReport": "transfer.result",
    "TuningSettings": "finetuning.settings",
    "UserError": "errors",
    "attack": "api.inspecting",
    "audit": "api.measuring",
    "build_report": "evaluation.report",
    "classify": "api.classifying",
    "compare": "api.measuring",
    "evaluate": "api.measuring",
    "explain": "api.inspecting",
    "export": "api.exports",
    "feature_maps": "api.inspecting",
    "finetune": "api.training",
    "fit": "api.training",
    "imagine": "api.inspecting",
    "list_backbones": "backbones",
    "list_datasets": "datasets",
    "load_backbone": "backbones",
    "measure_transfer": "api.measuring",
    "open_dataset": "datasets",
    "robustness": "api.inspecting",
    "verify": "api.exports",
}


_MODULES = ("plots",)


def __dir__() -> list[str]:
    return sorted([*__all__, *_MODULES])


def __getattr__(name: str) -> Any:
    # On first use, so that `headstart --help` does not wait for scikit-learn and OpenVINO.
    if name in _MODULES:
        return import_module(f"headstart.{name}")
    if name not in _HOMES:
        text = import_module("headstart.system.text")
        meant = text.did_you_mean(name, __dir__(), otherwise="see dir(headstart)", most=1)
        # With a name and without an object, Python does not add a suggestion of its own.
        raise AttributeError(f"module 'headstart' has no attribute {name!r}; {meant}", name=name)
    errors = import_module("headstart.errors")
    try:
        return getattr(import_module(f"headstart.{_HOMES[name]}"), name)
    except errors.MissingExtraError as error:
        raise errors.UnavailableError(f"headstart.{name}", extra=error.extra) from error
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise errors.UnavailableError(f"headstart.{name}", extra="torch") from error
