"""Pre-trained networks: by name, frozen, each with its own preprocessing."""

from headstart.backbones.backbone import Backbone, Stage, Weights
from headstart.backbones.catalog import SOURCES, check_name, list_backbones, load_backbone
from headstart.backbones.download import download_size
from headstart.backbones.ladder import ladder
from headstart.backbones.source import BackboneInfo, BackboneSource

__all__ = [
    "SOURCES",
    "Backbone",
    "BackboneInfo",
    "BackboneSource",
    "Stage",
    "Weights",
    "check_name",
    "download_size",
    "ladder",
    "list_backbones",
    "load_backbone",
]
