"""Pictures of results; the only place with matplotlib."""

from headstart.plots.canvas import save
from headstart.plots.results import accuracy_by_stage, confusion_matrix, most_wrong, reliability
from headstart.plots.sheets import Panel, sheet

__all__ = [
    "Panel",
    "accuracy_by_stage",
    "confusion_matrix",
    "most_wrong",
    "reliability",
    "save",
    "sheet",
]
