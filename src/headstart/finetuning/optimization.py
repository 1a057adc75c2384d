"""The optimizer and the learning rate schedule."""

import math
from collections.abc import Sequence

from torch import optim
from torch.optim import SGD, AdamW
from torch.optim.lr_scheduler import LambdaLR

from headstart.backbones.stages import stages_of_modules
from headstart.finetuning.network import TunedNetwork
from headstart.finetuning.settings import Optimizer, Schedule, TuningSettings

_SGD_FACTOR = 10.0
"""SGD's steps scale with the gradient, Adam's with the rate alone, so SGD needs a higher rate."""
_MOMENTUM = 0.9
_TAIL = "tail.graph."
"""Prefix of the backbone's own parameters in a `TunedNetwork`."""
_STEP_FACTORS = ((0.5, 0.1), (0.75, 0.01))
"""The step schedule: from this fraction of the steps on, this factor of the learning rate."""


def build_optimizer(
    network: TunedNetwork, stages: Sequence[str], settings: TuningSettings, *, rate: float
) -> optim.Optimizer:
    """Build an optimizer with a learning rate for each stage.

    Stages are those up to the deepest one that feeds the head, shallow to deep; `rate` is the
    learning rate of the deepest stage for AdamW.
    """
    owners = stages_of_modules([name for name, _ in network.tail.graph.named_modules()], stages)
    distance = {module: len(stages) - 1 - stages.index(stage) for module, stage in owners.items()}
    sgd = settings.optimizer is Optimizer.SGD
    groups = []
    for name, parameter in network.named_parameters():
        in_tail = name.startswith(_TAIL)
        module = name.removeprefix(_TAIL).rpartition(".")[0]
        factor = settings.rate_decay ** distance[module] if in_tail else settings.head_rate
        groups.append(
            {
                "name": name,
                "params": [parameter],
                "lr": rate * factor * (_SGD_FACTOR if sgd else 1.0),
                "weight_decay": settings.weight_decay if in_tail and parameter.ndim > 1 else 0.0,
            }
        )
    return SGD(groups, momentum=_MOMENTUM, nesterov=True) if sgd else AdamW(groups)


def current_rate(optimizer: optim.Optimizer) -> float:
    """Return the current learning rate of the deepest stage in training, the highest of all."""
    groups = optimizer.param_groups
    return max(float(group["lr"]) for group in groups if group["name"].startswith(_TAIL))


def build_schedule(
    optimizer: optim.Optimizer, settings: TuningSettings, *, steps: int, done: int = 0
) -> LambdaLR:
    """Build the schedule over `steps` steps, `done` of which were taken before a resumed run.

    It scales the learning rate of each parameter group, which must still be its peak rate.
    """
    warm_up = settings.warm_up * steps
    return LambdaLR(
        optimizer, lambda step: rate_factor(done + step, steps, warm_up, settings.schedule)
    )


def rate_factor(step: int, steps: int, warm_up: float, schedule: Schedule) -> float:
    """Return the factor of the learning rate, [0, 1], at a step counted from 0."""
    if step < warm_up:
        return (step + 1) / (warm_up + 1)
    progress = (step - warm_up) / max(1.0, steps - warm_up)
    if schedule is Schedule.COSINE:
        return 0.5 + 0.5 * math.cos(math.pi * min(progress, 1.0))
    if schedule is Schedule.STEP:
        return min((factor for start, factor in _STEP_FACTORS if progress >= start), default=1.0)
    return 1.0
