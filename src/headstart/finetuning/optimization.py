"""How weights move: which learn how fast, and how the rate changes over time."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import nn, optim
from torch.optim import SGD, AdamW
from torch.optim.lr_scheduler import LambdaLR

from headstart.backbones.backbone import stages_of_modules
from headstart.finetuning.network import TunedNetwork
from headstart.finetuning.settings import Optimizer, Schedule, TuningSettings

_SGD_FACTOR = 10.0
"""SGD's steps are as long as the gradient, Adam's as long as the rate: it needs a higher one."""
_MOMENTUM = 0.9
_TAIL = "tail.graph."
"""Where a `TunedNetwork` has the network's own weights."""
_STEPS = ((0.5, 0.1), (0.75, 0.01))
"""Of the step schedule: from this share of the steps on, this share of the rate."""


def optimizer_for(
    network: TunedNetwork, stages: Sequence[str], settings: TuningSettings, *, rate: float
) -> optim.Optimizer:
    """An optimizer with a rate for each stage.

    Args:
        network: its tail and its head are trained.
        stages: of the whole network, shallow to deep, down to the deepest the head grows on.
        settings: how.
        rate: of the deepest stage.
    """
    owners = stages_of_modules([name for name, _ in network.tail.graph.named_modules()], stages)
    depths = {module: len(stages) - 1 - stages.index(stage) for module, stage in owners.items()}
    factor = _SGD_FACTOR if settings.optimizer is Optimizer.SGD else 1.0
    groups = []
    for name, parameter in network.named_parameters():
        inside = name.removeprefix(_TAIL)
        own = rate * settings.head_rate
        if inside != name:
            own = rate * settings.rate_decay ** depths[inside.rpartition(".")[0]]
        filters = inside != name and parameter.ndim > 1
        groups.append(
            {
                "name": name,
                "params": [parameter],
                "lr": own * factor,
                "weight_decay": settings.weight_decay if filters else 0.0,
            }
        )
    if settings.optimizer is Optimizer.ADAMW:
        return AdamW(groups)
    return SGD(groups, momentum=_MOMENTUM, nesterov=True)


def rate_of(optimizer: optim.Optimizer) -> float:
    """The present rate of the deepest stage that is trained: no earlier one has a higher."""
    groups = optimizer.param_groups
    return max(float(group["lr"]) for group in groups if group["name"].startswith(_TAIL))


def schedule_for(
    optimizer: optim.Optimizer, settings: TuningSettings, *, steps: int, done: int = 0
) -> LambdaLR:
    """The learning rate over `steps` steps, `done` of them taken, as a share of each group's own.

    The groups must have their own rates: no schedule may have changed them.
    """
    rising = settings.warm_up * steps
    return LambdaLR(optimizer, lambda step: rate_at(done + step, steps, rising, settings.schedule))


def rate_at(step: int, steps: int, rising: float, schedule: Schedule) -> float:
    """Share of the rate at a step, [0, 1].

    Args:
        step: from 0.
        steps: in all.
        rising: first steps, in which the rate rises in proportion.
        schedule: what follows.
    """
    if step < rising:
        return (step + 1) / (rising + 1)
    done = (step - rising) / max(1.0, steps - rising)
    if schedule is Schedule.COSINE:
        return 0.5 + 0.5 * math.cos(math.pi * min(done, 1.0))
    if schedule is Schedule.STEP:
        return min((share for start, share in _STEPS if done >= start), default=1.0)
    return 1.0


def clip(network: nn.Module, longest: float) -> None:
    """Shorten the gradient of all weights together to a length of at most `longest`."""
    nn.utils.clip_grad_norm_(network.parameters(), longest)
