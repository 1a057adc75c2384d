"""Features of images that show other things than most models know, to measure what is caught."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

import numpy as np
from safetensors import safe_open

from headstart.types import Floats


def other_images(weights: str, stages: Sequence[str]) -> dict[str, list[Floats]]:
    """Return features of other images from the default backbone.

    They are 128 ordinary photos of objects and places, and 16 images each of noise and of blank
    frames; `benchmarks/novelty_images.py` made the file.

    Args:
        weights: digest of the backbone's weights.
        stages: names of the stages whose features are needed.

    Returns:
        By kind ("photos", "noise", "blank"), the features (N, width) of each stage; empty for
        another backbone.
    """
    path = str(files("headstart.novelty") / "other_images.safetensors")
    with safe_open(path, framework="numpy") as file:
        names = {f"{kind}/{stage}" for kind in KINDS for stage in stages}
        if file.metadata()["weights"] != weights or not names <= set(file.keys()):
            return {}
        return {
            kind: [file.get_tensor(f"{kind}/{stage}").astype(np.float32) for stage in stages]
            for kind in KINDS
        }


KINDS = ("photos", "noise", "blank")
