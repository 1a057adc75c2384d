"""Several backbones on the same images: accuracy, cost, and which to take."""

from headstart.comparison.race import compare
from headstart.comparison.result import BackboneResult, Comparison, ExcludedBackbone, Recommendation
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
