"""What a prediction cost on this machine when it was last measured, for each view.

The index is one small JSON file. One that is damaged, or that another machine wrote, is ignored and
replaced; if two processes save at the same time, one may lose its entries: they are measured again.
"""

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Final

from headstart.errors import HeadstartError
from headstart.system.cache_folder import cache_folder
from headstart.system.digests import bytes_digest
from headstart.system.files import atomic_write, read_regular
from headstart.system.machine import cores

_NAME: Final = "costs-2.json"
"""To be changed when costs are measured differently."""
_MAX_BYTES: Final = 2**20
_MAX_ENTRIES: Final = 1000
_LARGEST: Final = 1e7
"""Milliseconds; no image takes hours."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a view costs, in core-milliseconds.

    Attributes:
        decoding: Decoding and resizing an image, which depends on the images that it was measured
            on.
        network: Running the network on a crop.
        crops: Crops per image, which also depend on the images if they are tiles.
    """

    decoding: float
    network: float
    crops: float = 1.0

    @property
    def total(self) -> float:
        """The cost of an image."""
        return self.decoding + self.crops * self.network


def cost_key(view: str, weights: str, engine: str, precision: str, device: str = "") -> str:
    """Return the key of a cost: what was run, and how.

    Args:
        view: Name of the view, or of the backbone.
        weights: Digest of its weights.
        engine: What runs it.
        precision: Its numeric precision.
        device: What it runs on; empty for the name in `on_any_device`.
    """
    return " ".join([view, weights, engine, precision, *([device] if device else [])])


def on_any_device(costs: Mapping[str, Cost]) -> dict[str, Cost]:
    """Return the newest costs by their names without the device, which models do not record."""
    return {key.rpartition(" ")[0]: cost for key, cost in costs.items()}


class CostIndex:
    """Name of a view -> cost; without a cache folder, nothing is known or kept."""

    def __init__(self, root: Path | None) -> None:
        self._root = root
        self._machine = _machine()

    def load(self) -> dict[str, Cost]:
        """Return all costs that were measured here."""
        if self._root is None:
            return {}
        try:
            content = read_regular(self._root / "index" / _NAME, limit=_MAX_BYTES, own=True)
            document = json.loads(content)
            if document["machine"] != self._machine:
                return {}
            found = {str(key): Cost(*map(_checked, one)) for key, one in document["costs"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return {}
        return found

    def save(self, costs: Mapping[str, Cost]) -> None:
        """Add or replace costs, unless the cache cannot be written."""
        if self._root is None:
            return
        kept = {key: cost for key, cost in self.load().items() if key not in costs} | dict(costs)
        newest = {key: astuple(cost) for key, cost in list(kept.items())[-_MAX_ENTRIES:]}
        document = {"machine": self._machine, "costs": newest}
        try:
            path = cache_folder(self._root, "index") / _NAME
            atomic_write(path, json.dumps(document).encode(), private=True)
        except (OSError, HeadstartError):
            return


def _checked(milliseconds: object) -> float:
    if isinstance(milliseconds, float) and 0 <= milliseconds < _LARGEST:
        return milliseconds
    raise ValueError(f"{milliseconds!r} is not a cost")


def _machine() -> str:
    """Return a digest of what tells this machine from others that may share the cache."""
    parts = [platform.node(), platform.machine(), str(cores()), os.name]
    return bytes_digest(" ".join(parts).encode())
