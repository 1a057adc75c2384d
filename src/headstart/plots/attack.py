"""An image before and after an attack."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from headstart.plots.image_grid import Panel, image_grid

if TYPE_CHECKING:
    from headstart.inspection.adversarial_file import AdversarialImage


def attack_figure(found: AdversarialImage) -> Figure:
    """Draw original, attacked image and their difference, side by side."""
    change = found.pixels.astype(np.int16) - found.original
    gain = max(1, 127 // max(1, int(np.abs(change).max())))
    magnified = (127 + gain * change).clip(0, 255).astype(np.uint8)
    row = [
        Panel(found.original, found.before.label, f"{found.before.probability:.3f}"),
        Panel(found.pixels, found.after.label, f"{found.after.probability:.3f}"),
        Panel(magnified, "difference", f"{gain} times; gray: no change"),
    ]
    verb = "is now classified as" if found.success else "is still classified as"
    finding = f"{found.before.label} {verb} {found.after.label}; changes of at most "
    return image_grid([row], title=f"{finding}{found.linf * 255:.0f}/255", width=3.0)
