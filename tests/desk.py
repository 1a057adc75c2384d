"""What the pages and the docstrings take for granted."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image


def photo(color: tuple[int, int, int], seed: int) -> Image.Image:
    noise = np.random.default_rng(seed).normal(0, 40, (96, 120, 3))
    return Image.fromarray(np.clip(noise + color, 0, 255).astype(np.uint8))


def write_desk(folder: Path) -> Path:
    """Write photos/, test-photos/ and new.jpg, of cats and dogs, and return the folder."""
    for part, first in (("photos", 0), ("test-photos", 100)):
        for name, color in (("cat", (180, 90, 60)), ("dog", (60, 90, 180))):
            (folder / part / name).mkdir(parents=True)
            for seed in range(first, first + (24 if part == "photos" else 8)):
                photo(color, seed).save(folder / part / name / f"{seed}.jpg")
    photo((180, 90, 60), 7_000).save(folder / "new.jpg")
    return folder


def use_small_network() -> None:
    """Let this process take a network of a few thousand numbers for the default backbone."""
    from headstart.api import networks
    from headstart.comparison import successive_halving
    from headstart.comparison.cost import Cost
    from headstart.features import extractor
    from headstart.inspection import inspected_network
    from headstart.models import model_backbone, quality
    from tests.finetuning.networks import EAGER, small_backbone

    network = replace(small_backbone(), name="efficientnet-lite0")
    cost = Cost(images_per_second=100, milliseconds=10, memory_bytes=100_000_000)
    for module in (extractor, model_backbone, networks, quality):
        setattr(module, "load_backbone", lambda *_, **__: network)  # noqa: B010
    for module in (extractor, inspected_network):  # to convert it takes longer than to run it
        setattr(module, "make_plan", lambda *_, **__: EAGER)  # noqa: B010
    setattr(successive_halving, "measure_cost", lambda *_, **__: cost)  # noqa: B010
