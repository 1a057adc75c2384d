"""Choose the members of a model: heads on different views of the images, and their weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from headstart.features.views import View
from headstart.heads.blend import (
    blend,
    floored,
    nested_weights,
    select_affordable,
    select_weights,
)
from headstart.heads.calibration import fit_temperatures
from headstart.heads.candidates import Candidate
from headstart.heads.selection import Selection
from headstart.models.budget import Budget
from headstart.types import Doubles, Floats, Labels


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenMember:
    """A head on one view.

    Attributes:
        view: The view; None for the first one.
        selection: The family, the stages, the setting and the temperature of its head.
        weight: Its share of the weights, in (0, 1].
    """

    view: View | None
    selection: Selection
    weight: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenMembers:
    """The members of a model.

    Attributes:
        members: One or more, those of a view side by side: the first view first if it is among
            them, then by the weight of all heads on a view.
        whole: What a `Selection` says, about the weighted average; its stages are those of all
            members side by side.
    """

    members: tuple[ChosenMember, ...]
    whole: Selection


def choose_members(
    selections: Sequence[tuple[View | None, Selection]],
    labels: Labels,
    row_weights: Floats,
    clusters: Labels | None,
    budget: Budget | None = None,
) -> ChosenMembers:
    """Choose the members among heads on several views, by their predictions for held-out images.

    The probabilities of the result are nested: the weights for the images of a fold are chosen on
    the other folds. Where nothing can be held out, all heads have the same weight.

    Args:
        selections: The view of each head, and how it was selected; all on the same folds.
        labels: (N,) labels of the images that they were selected on.
        row_weights: (N,) weight of each image.
        clusters: (N,) the series of each image; None if all are independent.
        budget: What the members may cost together; None if it does not matter.
    """
    first = selections[0][1]
    if len(selections) == 1:
        return _only(selections[0])
    views = list(dict.fromkeys(view for view, _ in selections))
    places = [views.index(view) for view, _ in selections]
    affordable = budget.affordable() if budget else [tuple(range(len(views)))]
    sets = [np.flatnonzero(np.isin(places, one)).tolist() for one in affordable]
    if first.fold_by_image is None:
        return _equal([selections[place] for place in sets[0]])
    found = np.stack([_log_probabilities(selection) for _, selection in selections])
    select = partial(select_affordable, sets=sets) if budget else select_weights
    weights = select(found, labels, row_weights, clusters)
    shares = np.bincount(places, weights)
    order = sorted(
        np.flatnonzero(weights).tolist(),
        key=lambda place: (places[place] > 0, -shares[places[place]], places[place], place),
    )
    folds = [first.fold_by_image == fold for fold in range(first.folds)]
    nested = nested_weights(found, labels, row_weights, folds, clusters, select)
    members = tuple(
        ChosenMember(view=view, selection=selection, weight=float(weights[place]))
        for place in order
        for view, selection in [selections[place]]
    )
    if len(members) == 1:
        only = _only(selections[order[0]])
        # Which view it is was chosen too, so its accuracy is that of the choice.
        probabilities = np.exp(nested).astype(np.float32)
        return replace(only, whole=replace(only.whole, probabilities=probabilities))
    whole = blend(found, weights).T[None].astype(np.float32)
    return ChosenMembers(
        members=members,
        whole=replace(
            first,
            candidate=_joined(members),
            temperature=float(fit_temperatures(whole, labels, row_weights)[0]),
            probabilities=_recalibrated(nested, labels, row_weights, folds),
        ),
    )


def _only(chosen: tuple[View | None, Selection]) -> ChosenMembers:
    view, selection = chosen
    member = ChosenMember(view=view, selection=selection, weight=1.0)
    return ChosenMembers(members=(member,), whole=selection)


def _equal(selections: Sequence[tuple[View | None, Selection]]) -> ChosenMembers:
    members = tuple(
        ChosenMember(view=view, selection=selection, weight=1 / len(selections))
        for view, selection in selections
    )
    whole = replace(selections[0][1], candidate=_joined(members))
    return ChosenMembers(members=members, whole=whole)


def _joined(members: Sequence[ChosenMember]) -> Candidate:
    """Return the stages of all members side by side."""
    parts = [one.selection.candidate for one in members]
    return Candidate(tuple(stage for one in parts for stage in one.stages), parts[0].depth)


def _log_probabilities(selection: Selection) -> Doubles:
    assert selection.probabilities is not None
    return floored(np.log(np.maximum(selection.probabilities.astype(np.float64), 1e-30)))


def _recalibrated(
    log_probabilities: Doubles,
    labels: Labels,
    row_weights: Floats,
    folds: Sequence[np.ndarray],
) -> Floats:
    """Return probabilities (N, K), each fold with the temperature of the other folds."""
    found = np.empty(log_probabilities.shape, np.float32)
    for tested in folds:
        others = log_probabilities[~tested].T[None].astype(np.float32)
        (temperature,) = fit_temperatures(others, labels[~tested], row_weights[~tested])
        scaled = log_probabilities[tested] / temperature
        shifted = np.exp(scaled - scaled.max(1, keepdims=True))
        found[tested] = shifted / shifted.sum(1, keepdims=True)
    return found
