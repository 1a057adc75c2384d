"""An image before and after an attack."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from headstart.plots.image_grid import Panel, image_grid

_IMAGE = 2.5  # inches; three fill the page

if TYPE_CHECKING:
    from headstart.inspection.adversarial_file import AdversarialImage


def attack_figure(found: AdversarialImage) -> Figure:
    """Draw original, attacked image and their difference, side by side."""
    change = found.pixels.astype(np.int16) - found.original
    gain = max(1, 127 // max(1, int(np.abs(change).max())))
    magnified = (127 + gain * change).clip(0, 255).astype(np.uint8)
    times = f", {gain} times" if gain > 1 else ""
    row = [
        Panel(found.original, f"original: {found.before.label} {found.before.probability:.3f}"),
        Panel(found.pixels, f"attacked: {found.after.label} {found.after.probability:.3f}"),
        Panel(magnified, f"difference{times}; gray: no change{_border(change)}"),
    ]
    same = found.after.label == found.before.label
    finding = f"{found.before.label} is {'still' if same else 'now'} classified as"
    levels = f"{found.linf * 255:.0f}"
    size = f"at most {levels}/255 of" if levels != "255" else "up to"
    title = f"{finding} {found.after.label}, after changes of {size} a pixel's range"
    return image_grid([row], title=title, width=_IMAGE)


def _border(change: np.ndarray) -> str:
    """Say why a border of the image is left as it was, if one is; `change` is (H, W, 3)."""
    edges = change[0], change[-1], change[:, 0], change[:, -1]
    unseen = change.any() and not all(edge.any() for edge in edges)
    return ", as at the edges, which the network does not see" if unseen else ""
