"""Stages of a network: the places where a head can be trained on its activations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from headstart.errors import BackboneError
from headstart.system.text import did_you_mean

LOGITS = "logits"
"""Name of the network's own logits in lists of stages."""
TOKEN_BLOCKS: Final = 6
"""Stages of a transformer; adjacent blocks hardly differ."""
PEAK: Final = "max"
"""Ending of the name of a stage whose features are maxima over positions."""

_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class Stage:
    """A named block of the network, whose pooled output can feed a head.

    Attributes:
        name: the module's path in the network ("layer3"); the last stage stands for the input of
            the network's own classifier.
        width: number of features after averaging over positions.
    """

    name: str
    width: int

    @property
    def peak(self) -> Stage:
        """The same stage, each feature its maximum over positions instead of the average."""
        return Stage(f"{self.name}.{PEAK}", self.width)


def check_stages(network: str, known: Iterable[str], asked: Iterable[str]) -> None:
    """Check names of stages against those that the network has.

    Raises:
        BackboneError: a stage is unknown; the message lists the known ones, and suggests one.
    """
    if unknown := [stage for stage in asked if stage not in known]:
        stages = f"its stages are {', '.join(known)}"
        hints = filter(None, [stages, did_you_mean(unknown[0], known, most=1)])
        raise BackboneError(f"{network} has no stage {unknown[0]!r}; {'; '.join(hints)}")


def stages_of_modules(modules: Sequence[str], stages: Sequence[str]) -> dict[str, str]:
    """Return the stage of every module: the one that contains it, else the next one in the pass.

    Modules after the last stage that contains any belong to the last stage.

    Modules are paths in the order of the forward pass, stages are names from shallow to deep.
    """
    owners: dict[str, str] = {}
    following = stages[-1]
    for module in reversed(modules):
        containing = [stage for stage in stages if f"{module}.".startswith(f"{stage}.")]
        following = max(containing, key=len) if containing else following
        owners[module] = following
    return {module: owners[module] for module in modules}


def evenly(items: Sequence[_Item], count: int) -> list[_Item]:
    """Return at most `count` evenly spaced items, including the last one."""
    count = min(count, len(items))
    return [items[len(items) * (index + 1) // count - 1] for index in range(count)]
