"""Pictures of results; the only place with matplotlib."""

from headstart.plots.canvas import save
from headstart.plots.feature_maps import channels_by_stage, filters, strongest_channels
from headstart.plots.results import accuracy_by_stage, confusion_matrix, most_wrong, reliability
from headstart.plots.sheets import Panel, sheet

__all__ = [
    "Panel",
    "accuracy_by_stage",
    "channels_by_stage",
    "confusion_matrix",
    "filters",
    "most_wrong",
    "reliability",
    "save",
    "sheet",
    "strongest_channels",
]
