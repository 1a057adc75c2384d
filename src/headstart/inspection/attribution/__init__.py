"""Attribution: maps of the pixels that a prediction depends on, and whether to trust them.

Methods take callables on pixels in [0, 1] and return signed maps: positive values support the
class, negative values oppose it. They depend on neither files nor class names.
"""

from headstart.inspection.attribution.grad_cam import GradCAM
from headstart.inspection.attribution.integrated_gradients import IntegratedGradients
from headstart.inspection.attribution.method import AttributionMethod, NetworkFunctions, Relevance
from headstart.inspection.attribution.occlusion import Occlusion

ATTRIBUTION_METHODS: dict[str, type[AttributionMethod]] = {
    "grad-cam": GradCAM,
    "integrated-gradients": IntegratedGradients,
    "occlusion": Occlusion,
}
"""Methods by name. To add one: `ATTRIBUTION_METHODS["mine"] = Mine`."""

__all__ = [
    "ATTRIBUTION_METHODS",
    "AttributionMethod",
    "NetworkFunctions",
    "Relevance",
]
