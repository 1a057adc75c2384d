"""How long explanations and attacks are expected to take, measured on a few images of noise."""

import time
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch

from headstart.inspection.image_tensor import to_tensor
from headstart.inspection.inspected_network import InspectedNetwork
from headstart.system.prefetch import stack_batches

_IMAGES: Final = 4
"""Images that are timed, after as many to compile the networks and to warm up."""


@dataclass(frozen=True, slots=True)
class Passes:
    """How often images are run through a network.

    Attributes:
        forward: Images that the inference engine runs, without gradients.
        gradients: Images that the differentiable form runs, forward and backward.
    """

    forward: int
    gradients: int


def expected_seconds(network: InspectedNetwork, passes: Passes) -> float:
    """Return how many seconds passes through all views of a network take on this machine.

    Raises:
        DataError: The network computes NaN or infinity.
    """
    model = network.differentiable
    side, rng = model.preprocessing.crop, np.random.default_rng(0)
    pixels = rng.integers(0, 256, (_IMAGES, side, side, 3), dtype=np.uint8)

    def forward() -> None:
        for _ in network.engine_outputs(stack_batches(iter(pixels), network.batch), model):
            pass

    def gradients() -> None:
        images = to_tensor(pixels, model.device).requires_grad_()
        torch.autograd.grad(model.logits(images).sum(), images)

    seconds = 0.0
    for run, count in ((forward, passes.forward), (gradients, passes.gradients)):
        if count:
            run()
            started = time.perf_counter()
            run()
            seconds += (time.perf_counter() - started) / _IMAGES * count
    return seconds
