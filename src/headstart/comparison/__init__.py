"""Compare backbones on the same images: accuracy, cost, and which one to use."""

from headstart.comparison.result import BackboneResult, Comparison, ExcludedBackbone, Recommendation
from headstart.comparison.successive_halving import compare
from headstart.evaluation.paired_tests import PairedTest, paired

__all__ = [
    "BackboneResult",
    "Comparison",
    "ExcludedBackbone",
    "PairedTest",
    "Recommendation",
    "compare",
    "paired",
]
