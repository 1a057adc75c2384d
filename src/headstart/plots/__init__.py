"""Figures of results. Only this folder imports matplotlib."""

import logging
import os

from headstart.errors import StoreError
from headstart.system.cache_folder import cache_folder, cache_root

# By default, matplotlib writes its list of fonts to the home folder.
if "MPLCONFIGDIR" not in os.environ:
    try:
        os.environ["MPLCONFIGDIR"] = str(cache_folder(cache_root(), "fonts"))
    except (OSError, StoreError):
        # matplotlib then uses a temporary folder, and would remark upon that.
        logging.getLogger("matplotlib").setLevel(logging.ERROR)

from headstart.plots.attack import attack_figure
from headstart.plots.canvas import save
from headstart.plots.comparison import accuracy_and_cost
from headstart.plots.feature_maps import channels_by_stage, filters, strongest_channels
from headstart.plots.finetuning import training_curves
from headstart.plots.image_grid import Panel, image_grid, small_copy
from headstart.plots.learning_curves import learning_curves
from headstart.plots.overlays import explanation_figure, overlay
from headstart.plots.results import accuracy_by_stage, confusion_matrix, most_wrong, reliability
from headstart.plots.robustness import robustness_curves
from headstart.plots.transfer import transfer_figure

__all__ = [
    "Panel",
    "accuracy_and_cost",
    "accuracy_by_stage",
    "attack_figure",
    "channels_by_stage",
    "confusion_matrix",
    "explanation_figure",
    "filters",
    "image_grid",
    "learning_curves",
    "most_wrong",
    "overlay",
    "reliability",
    "robustness_curves",
    "save",
    "small_copy",
    "strongest_channels",
    "training_curves",
    "transfer_figure",
]
