"""Several backbones on the same images: accuracy, cost, and which to take."""

from headstart.comparison.contest import compare
from headstart.comparison.result import Compared, Comparison, LeftOut, Recommendation
from headstart.evaluation.paired_tests import Paired, paired

__all__ = ["Compared", "Comparison", "LeftOut", "Paired", "Recommendation", "compare", "paired"]
