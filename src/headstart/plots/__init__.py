"""Figures of results; the only place with matplotlib."""

import os
from contextlib import suppress

from headstart.system.cache_folder import cache_folder, cache_root

# Without this, matplotlib writes its list of fonts into the home folder.
if "MPLCONFIGDIR" not in os.environ:
    with suppress(OSError):  # matplotlib then falls back to a temporary folder
        os.environ["MPLCONFIGDIR"] = str(cache_folder(cache_root(), "fonts"))

from headstart.plots.canvas import save
from headstart.plots.comparison import accuracy_and_cost
from headstart.plots.feature_maps import channels_by_stage, filters, strongest_channels
from headstart.plots.finetuning import training_curves
from headstart.plots.overlays import explained, overlay
from headstart.plots.results import accuracy_by_stage, confusion_matrix, most_wrong, reliability
from headstart.plots.robustness import robustness_curves
from headstart.plots.sheets import Panel, sheet
from headstart.plots.transfer import AccuracyBars, transfer_sheet

__all__ = [
    "AccuracyBars",
    "Panel",
    "accuracy_and_cost",
    "accuracy_by_stage",
    "channels_by_stage",
    "confusion_matrix",
    "explained",
    "filters",
    "most_wrong",
    "overlay",
    "reliability",
    "robustness_curves",
    "save",
    "sheet",
    "strongest_channels",
    "training_curves",
    "transfer_sheet",
]
