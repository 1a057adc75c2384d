"""Compare backbones on the same images: accuracy, cost, and which one to use."""

from headstart.comparison.result import BackboneResult, Comparison, ExcludedBackbone, Recommendation
from headstart.comparison.successive_halving import compare

__all__ = [
    "BackboneResult",
    "Comparison",
    "ExcludedBackbone",
    "Recommendation",
    "compare",
]
