"""What to do next, from what was measured. docs/decisions/0008-transfer-verdict.md has the reasons.

One question after the other, the first that is answered decides:

1. Are fewer than `LITTLE` wrong? Then there is little to win: keep what is there.
2. Did an earlier graft beat the last layer, or did something without pre-training? Then what the
   last stages learned does not suit these images: train them anew, from the shallowest stage that
   the head wants to see. With fewer than `FEW` images a class there is too little to train them
   with: graft earlier.
3. Does one more point of accuracy cost at most as many images as there are? Then collect more.
4. Are at least `MUCH` wrong? Then the features suit the images and are not good enough: take a
   better backbone.
5. Otherwise keep the probe.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from headstart.backbones import BackboneInfo
from headstart.evaluation.metrics import ProportionDifference
from headstart.transfer.learning_curve import SampleCost

LITTLE: Final = 0.02
MUCH: Final = 0.05
FEW: Final = 75
"""Images a class: fine-tuning won with 100 and more, and not with 50 and fewer (docs/decisions)."""
LEAST: Final = 3
"""Stages that are trained at least, as `headstart finetune` does by itself."""
UNPRICED: Final = "what more images would buy is unknown: there are too few to tell"
"""Where there is no price."""
_BETTER: Final = 0.02
"""A backbone must be better by this much on ImageNet to be worth a try: gains there come through
to other photographs at about their size (Kornblith et al. 2019)."""


class Action(StrEnum):
    """What can be done next."""

    KEEP_PROBE = "keep-probe"
    GRAFT_EARLIER = "graft-earlier"
    FINE_TUNE = "fine-tune"
    COLLECT_MORE = "collect-more"
    ANOTHER_BACKBONE = "another-backbone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What the verdict rests on.

    Attributes:
        images: that there are.
        classes: how many.
        accuracy: of the chosen graft, cross-validated.
        stages: names of all stages, shallow to deep.
        chosen: those that the head grows on, shallow to deep.
        graft_gain: of the chosen graft over the last layer.
        beaten_by: what needs no pre-training and beats the last layer, as words.
        price: of one more point; None where it is not known.
    """

    images: int
    classes: int
    accuracy: float
    stages: tuple[str, ...]
    chosen: tuple[str, ...]
    graft_gain: ProportionDifference
    beaten_by: tuple[str, ...]
    price: SampleCost | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What to do next, and why.

    Attributes:
        action: what.
        depth: how many of the last stages to train; None unless `action` is to fine-tune.
        sentence: the advice and its reason.
        command: a command line that does it.
    """

    action: Action
    depth: int | None
    sentence: str
    command: str

    def as_dict(self) -> dict[str, Any]:
        """As JSON knows it."""
        return {
            "action": str(self.action),
            "depth": self.depth,
            "sentence": self.sentence,
            "command": self.command,
        }


def judge(
    evidence: Evidence,
    *,
    data: str,
    options: Sequence[str] = (),
    backbone: str,
    known: Sequence[BackboneInfo],
) -> Advice:
    """Apply the rule of the module's docstring.

    Args:
        evidence: what was measured.
        data: as the user named it.
        options: further arguments that the user gave and every command needs.
        backbone: name of the network.
        known: the backbones that are listed.
    """
    action, reason = _decided(evidence)
    depth = _depth(evidence) if action is Action.FINE_TUNE else None
    advice, verb = "", ["fit", data]
    if action is Action.KEEP_PROBE:
        advice = "Keep the probe"
    elif action is Action.GRAFT_EARLIER:
        advice = f"Graft on {' + '.join(evidence.chosen)}"
        for stage in evidence.chosen:
            verb += ["--stage", stage]
    elif action is Action.FINE_TUNE:
        whole = depth == len(evidence.stages)
        ends = evidence.chosen[-1]
        what = ends if depth == 1 else f"the {depth} stages that end at {ends}"
        advice = f"Fine-tune {'the whole network' if whole else what}"
        verb = ["finetune", data, "--depth", str(depth)]
    elif action is Action.COLLECT_MORE:
        advice = "Collect more images"
    else:
        advice = "Try another backbone"
    other = better_backbone(backbone, known)
    if action is Action.ANOTHER_BACKBONE:
        name = other.name if other else "NAME"
        rest = _without_backbone(options)
        words = [*verb, "--backbone", name, *rest]
    else:
        words = [*verb, *options]
    return Advice(
        action=action,
        depth=depth,
        sentence=f"{advice}: {reason}.",
        command=shlex.join(["headstart", *words, "--out", "model"]),
    )


def _decided(evidence: Evidence) -> tuple[Action, str]:
    wrong = 1 - evidence.accuracy
    gain, price, last = evidence.graft_gain, evidence.price, evidence.stages[-1]
    earlier = evidence.chosen != (last,)
    better = earlier and gain.low > 0
    kept = Action.GRAFT_EARLIER if earlier else Action.KEEP_PROBE
    grown = f"the head on {_range(evidence.chosen)}" if earlier else "the last layer"
    if wrong < LITTLE:
        return kept, f"{grown} is right on {evidence.accuracy:.1%}, and there is little to win"
    if better or evidence.beaten_by:
        reasons = []
        if better:
            reasons.append(
                f"{grown} beats the last layer by {100 * gain.value:.1f} points "
                f"({100 * gain.low:.1f} to {100 * gain.high:.1f})"
            )
        if evidence.beaten_by:
            reasons.append(f"{' and '.join(evidence.beaten_by)} beat the last layer")
        why = (
            f"{', and '.join(reasons)}, so what the last stages learned does not suit these images"
        )
        if evidence.images < FEW * evidence.classes:
            each = evidence.images // evidence.classes
            return kept, f"{why}, and {each} images a class are too few to train them anew"
        return Action.FINE_TUNE, why
    suits = (
        f"{grown} is not surely better than the last layer"
        if earlier
        else "the last layer is the best place to graft"
    ) + ", so the features suit these images"
    if price is not None and price.images is not None and price.images <= evidence.images:
        return Action.COLLECT_MORE, f"{suits}, and {price}"
    if wrong >= MUCH:
        return (
            Action.ANOTHER_BACKBONE,
            f"{suits}, but {wrong:.1%} are wrong, and {price or UNPRICED}",
        )
    return kept, f"{suits}, and {price or UNPRICED}"


def _depth(evidence: Evidence) -> int:
    """Counted as `headstart finetune` does: back from the deepest stage that the head sees."""
    first, last = (evidence.stages.index(evidence.chosen[place]) for place in (0, -1))
    # Where plain features beat the last layer and yet nothing earlier does, nothing is to rely on.
    if evidence.beaten_by and first == len(evidence.stages) - 1:
        return len(evidence.stages)
    return min(max(last - first + 1, LEAST), last + 1)


def _range(stages: Sequence[str]) -> str:
    return stages[0] if len(stages) == 1 else f"{stages[0]} to {stages[-1]}"


def better_backbone(name: str, known: Sequence[BackboneInfo]) -> BackboneInfo | None:
    """The cheapest network that is clearly better on ImageNet, or the best if none is.

    Args:
        name: of the present one.
        known: networks to choose from.

    Returns:
        None where `name` is not among the known, or is the best of them.
    """
    here = next((info for info in known if info.name == name), None)
    if here is None:
        return None
    better = [info for info in known if info.top1 >= here.top1 + _BETTER]
    if better:
        return min(better, key=lambda info: (not info.on_this_machine, info.multiply_adds))
    best = max(known, key=lambda info: info.top1)
    return None if best is here else best


def _without_backbone(options: Sequence[str]) -> list[str]:
    """The options less those that name the network and its weights."""
    kept, skip = [], False
    for option in options:
        if not skip and option not in ("--backbone", "--weights"):
            kept.append(option)
        skip = not skip and option in ("--backbone", "--weights")
    return kept
