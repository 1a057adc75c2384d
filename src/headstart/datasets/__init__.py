"""Labeled images from folders, tables, archives, and named data sets."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headstart.datasets.dataset import ImageDataset
    from headstart.datasets.grouping import GroupBy
    from headstart.datasets.named import NamedDataset, list_datasets
    from headstart.datasets.opening import open_dataset

__all__ = ["GroupBy", "ImageDataset", "NamedDataset", "list_datasets", "open_dataset"]
_HOMES = {
    "GroupBy": "grouping",
    "ImageDataset": "dataset",
    "NamedDataset": "named",
    "list_datasets": "named",
    "open_dataset": "opening",
}


def __getattr__(name: str) -> Any:
    # On first use, so that `headstart predict` does not wait for what reads tables.
    if name not in _HOMES:
        raise AttributeError(f"module 'headstart.datasets' has no attribute {name!r}")
    return getattr(import_module(f"headstart.datasets.{_HOMES[name]}"), name)
