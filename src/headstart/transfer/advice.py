"""Recommend the next step from the measurements; docs/decisions/0008 explains the rules.

The first rule that applies decides:

1. Fewer than `LOW_ERROR` of the images are wrong: there is little to gain, so keep the stages.
2. The head on earlier stages is better than on the last layer, or a classifier without pre-training
   is: the last stages do not suit these images, so fine-tune them, from the shallowest stage that
   the head uses. With fewer than `FEW_IMAGES` per class there is too little to fine-tune on, so use
   the earlier stages instead.
3. One more percentage point of accuracy costs at most as many images as there are: collect more.
4. At least `HIGH_ERROR` are wrong: the features suit the images but are not good enough. Of the
   default network, use more of them, from larger images and for further heads; try a better network
   in place of one that was chosen.
5. Otherwise keep the linear probe.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from headstart.backbones import BackboneInfo
from headstart.evaluation.paired_tests import PairedTest
from headstart.finetuning.settings import MIN_DEPTH
from headstart.transfer.learning_curve import SampleCost
from headstart.types import Quality

LOW_ERROR: Final = 0.02
HIGH_ERROR: Final = 0.05
FEW_IMAGES: Final = 75
"""Images per class: fine-tuning was better with 100 or more, but not with 50 or fewer."""
UNKNOWN_COST: Final = "there are too few images to predict whether more would help"
_BETTER: Final = 0.02
"""A backbone must be this much better on ImageNet to be worth a try: gains there carry over to
other photos at about their size (Kornblith et al. 2019)."""


class Action(StrEnum):
    """A recommended next step."""

    KEEP_PROBE = "keep-probe"
    EARLIER_STAGES = "earlier-stages"
    FINE_TUNE = "fine-tune"
    COLLECT_MORE = "collect-more"
    HIGHER_QUALITY = "higher-quality"
    ANOTHER_BACKBONE = "another-backbone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The measurements that the advice is based on.

    Attributes:
        images: number of available images.
        classes: number of classes.
        accuracy: cross-validated accuracy of the head on the chosen stages, [0, 1].
        stages: names of all stages, shallow to deep.
        chosen: names of the stages that the head uses, shallow to deep.
        stage_gain: accuracy on the chosen stages minus that on the last layer.
        beaten_by: names of the classifiers without pre-training that beat the last layer.
        matched_by: names of those that are at least as accurate as the head on the chosen stages.
        sample_cost: images that one more percentage point costs; None where it is unknown.
    """

    images: int
    classes: int
    accuracy: float
    stages: tuple[str, ...]
    chosen: tuple[str, ...]
    stage_gain: PairedTest
    beaten_by: tuple[str, ...]
    matched_by: tuple[str, ...] = ()
    sample_cost: SampleCost | None

    @property
    def uses_earlier_stages(self) -> bool:
        """Whether the head uses anything but the last layer alone."""
        return self.chosen != self.stages[-1:]


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """A recommended next step and its reason.

    Attributes:
        action: the recommended step.
        depth: number of last stages to fine-tune; None for any other action.
        sentence: the recommendation and its reason.
        command: command line that does it.
    """

    action: Action
    depth: int | None
    sentence: str
    command: str


def recommend(
    evidence: Evidence,
    *,
    data: str,
    options: Mapping[str, str] | None = None,
    backbone: str,
    known: Sequence[BackboneInfo],
) -> Advice:
    """Apply the rules in the module's docstring.

    `data` and `options` are the data set and further options as given on the command line, where
    the value of a flag is ""; `backbone` is the current one, and `known` are those to choose from.
    """
    action, reason = _decide(evidence, own_network="--backbone" in (options or {}))
    depth = _depth(evidence) if action is Action.FINE_TUNE else None
    step, verb, chosen = "Keep the linear probe", "fit", []
    options = dict(options or {})
    if action is Action.EARLIER_STAGES:
        step = f"Train the head on {' + '.join(evidence.chosen)}"
        chosen = [("--stage", stage) for stage in evidence.chosen]
    elif action is Action.FINE_TUNE:
        step = f"Fine-tune {_stages_to_tune(evidence, depth)}"
        verb, chosen = "finetune", [("--depth", str(depth))]
    elif action is Action.COLLECT_MORE:
        step = "Collect more images"
    elif action is Action.HIGHER_QUALITY:
        step = "Try larger images and further heads"
        chosen = [("--quality", Quality.BALANCED)]
    elif action is Action.ANOTHER_BACKBONE:
        step = "Try another backbone"
        other = better_backbone(backbone, known)
        chosen = [("--backbone", other.name if other else "NAME")]
        own = ("--backbone", "--weights", "--allow-code")
        options = {k: v for k, v in options.items() if k not in own}
    words = [word for pair in (*chosen, *options.items()) for word in pair if word]
    return Advice(
        action=action,
        depth=depth,
        sentence=f"{step}: {reason}.",
        command=shlex.join(["headstart", verb, data, *words, "--out", "model"]),
    )


def _decide(evidence: Evidence, *, own_network: bool) -> tuple[Action, str]:
    earlier = evidence.uses_earlier_stages
    keep = Action.EARLIER_STAGES if earlier else Action.KEEP_PROBE
    head = f"the head on {_range(evidence.chosen)}" if earlier else "the head on the last layer"
    wrong = 1 - evidence.accuracy
    if wrong < LOW_ERROR:
        return keep, f"{head} is {evidence.accuracy:.1%} accurate, so there is little to gain"
    if unsuited := _unsuited_stages(evidence, head):
        per_class = evidence.images // evidence.classes
        if evidence.images < FEW_IMAGES * evidence.classes:
            return keep, f"{unsuited}, but {per_class} images per class are too few to fine-tune on"
        return Action.FINE_TUNE, unsuited
    last_is_best = (
        f"{head} is not significantly better than the last layer"
        if earlier
        else "no earlier stage is better than the last layer"
    )
    suited = f"{last_is_best}, so the features suit these images"
    if evidence.matched_by:
        *first, last = evidence.matched_by
        matched = f"{', '.join(first)} and {last}" if first else last
        last_is_best += f", but {matched} without pre-training do as well as the head"
        suited = last_is_best
    cost = evidence.sample_cost
    if cost is not None and cost.images is not None and cost.images <= evidence.images:
        return Action.COLLECT_MORE, f"{suited}, and {cost}"
    if wrong >= HIGH_ERROR:
        action = Action.ANOTHER_BACKBONE if own_network else Action.HIGHER_QUALITY
        return action, f"{wrong:.1%} are wrong, {last_is_best}, and {cost or UNKNOWN_COST}"
    return keep, f"{suited}, and {cost or UNKNOWN_COST}"


def _unsuited_stages(evidence: Evidence, head: str) -> str | None:
    """Explain why the last stages do not suit the images; None if the last layer is not beaten."""
    reasons = []
    gain = evidence.stage_gain
    if evidence.uses_earlier_stages and gain.low > 0:
        reasons.append(
            f"{head} beats the last layer by {100 * gain.difference:.1f} points "
            f"({100 * gain.low:.1f} to {100 * gain.high:.1f})"
        )
    if evidence.beaten_by:
        reasons.append(f"{' and '.join(evidence.beaten_by)} beat the last layer")
    if not reasons:
        return None
    return f"{', and '.join(reasons)}, so the last stages do not suit these images"


def _depth(evidence: Evidence) -> int:
    """Return the number of stages to fine-tune, counted as in `headstart finetune`."""
    first, last = (evidence.stages.index(evidence.chosen[place]) for place in (0, -1))
    # If plain features beat the last layer and no earlier stage does, no stage is reliable.
    if evidence.beaten_by and first == len(evidence.stages) - 1:
        return len(evidence.stages)
    return min(max(last - first + 1, MIN_DEPTH), last + 1)


def _stages_to_tune(evidence: Evidence, depth: int | None) -> str:
    if depth == len(evidence.stages):
        return "the whole network"
    last = evidence.chosen[-1]
    return last if depth == 1 else f"the {depth} stages up to {last}"


def _range(stages: Sequence[str]) -> str:
    return stages[0] if len(stages) == 1 else f"{stages[0]} to {stages[-1]}"


def better_backbone(name: str, known: Sequence[BackboneInfo]) -> BackboneInfo | None:
    """Return the cheapest backbone that is clearly better on ImageNet, or the best if none is.

    It is None if the current one is unknown, or the best.
    """
    current = next((info for info in known if info.name == name), None)
    if current is None:
        return None
    better = [info for info in known if info.top1 >= current.top1 + _BETTER]
    if better:
        return min(better, key=lambda info: (not info.on_this_machine, info.multiply_adds))
    best = max(known, key=lambda info: info.top1)
    return None if best is current else best
