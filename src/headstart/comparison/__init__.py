"""Several backbones on the same images: accuracy, cost, and which to take."""

from headstart.comparison.contest import compare
from headstart.comparison.pairs import Paired, paired
from headstart.comparison.result import Compared, Comparison, LeftOut, Recommendation

__all__ = ["Compared", "Comparison", "LeftOut", "Paired", "Recommendation", "compare", "paired"]
