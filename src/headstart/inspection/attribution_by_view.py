"""Attribution by the stages of several views: one map per view, added on the canvas."""

from collections.abc import Sequence

import torch
from torch import Tensor

from headstart.features.views import qualified
from headstart.inspection.attribution import AttributionMethod, NetworkFunctions, Relevance
from headstart.inspection.attribution.full_size import to_full_size
from headstart.inspection.differentiable_model import DifferentiableModel
from headstart.system.text import join_names


def attribute_by_view(
    method: AttributionMethod,
    model: DifferentiableModel,
    pixels: Tensor,
    target: Tensor,
    stages: Sequence[Sequence[str]],
) -> Relevance:
    """Explain the class by the stages of each view, and add the maps.

    The method sees one view at a time, with the logits of the whole model; the features of the
    other views stay as they are. A value of a map counts for the share of the canvas that it
    covers: the finer the grid of a view, the less each of its values.

    Args:
        method: a method that uses stages.
        model: several views.
        pixels: (1, 3, crop, crop), a canvas.
        target: (1,) int64, index of the class.
        stages: for each view the stages to take a map from, the preferred one first; none leaves
            the view out.
    """
    inputs, side = model.inputs(pixels), model.preprocessing.crop
    sizes = model.canvas.resized(*model.image_size)
    with torch.no_grad():
        features = [view.features(one) for view, one in zip(model.views, inputs, strict=True)]
    total, found_at = torch.zeros(side, side), dict[str, str]()
    for place, view in enumerate(model.views):
        if not stages[place]:
            continue
        alone = model.with_one_view(place, features)
        functions = NetworkFunctions(
            logits=alone.logits,
            fast_logits=torch.no_grad()(alone.logits),
            forward_pass=alone.forward_pass,
            stages=tuple(stages[place]),
        )
        found = method.attribute(functions, inputs[place], target)
        values = found.values[0].float().cpu().numpy()
        shown = to_full_size(values, view.preprocessing, side, side, resized=sizes[place])
        share = (found.positions or values.size) / int(shown.seen.sum())
        total += torch.from_numpy(shown.values) * share
        found_at[view.name] = found.stage or ""
    names = list(dict.fromkeys(found_at.values()))
    if len(names) > 1:
        names = [qualified(view, stage) for view, stage in found_at.items()]
    return Relevance(total[None].to(pixels.device), join_names(names))
