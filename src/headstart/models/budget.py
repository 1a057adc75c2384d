"""A bound on what a prediction may cost, and the sets of views that keep it."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from headstart.errors import UserError
from headstart.features.cost_index import Cost
from headstart.features.extractor import Extractor


@dataclass(frozen=True, slots=True)
class Budget:
    """What the views of a model may cost together.

    Attributes:
        limit: Core-milliseconds of one prediction.
        costs: Those of each view, the first one first.
    """

    limit: float
    costs: tuple[float, ...]

    def affordable(self) -> list[tuple[int, ...]]:
        """Return the largest sets of views within the limit, as places among `costs`.

        No set is part of another one, so a few views give a few sets.
        """
        found: list[tuple[int, ...]] = []
        for size in range(len(self.costs), 0, -1):
            for places in combinations(range(len(self.costs)), size):
                spent = math.fsum(self.costs[place] for place in places)
                if spent <= self.limit and not any(set(places) <= set(one) for one in found):
                    found.append(places)
        return found

    def left_out(self, used: Collection[str], costs: Mapping[str, float]) -> dict[str, float]:
        """Return the views, with what they cost, that there is no room for in a model.

        Args:
            used: Names of the model's views.
            costs: What each view costs, by its name, those that are too expensive alone included.
        """
        spent = math.fsum(costs[name] for name in used)
        return {
            name: cost
            for name, cost in costs.items()
            if name not in used and spent + cost > self.limit
        }

    def of(self, places: Sequence[int]) -> Budget:
        """Return the same limit for some of the views."""
        return replace(self, costs=tuple(self.costs[place] for place in places))


def within_budget(
    extractor: Extractor, costs: Mapping[str, Cost], limit: float | None
) -> tuple[Extractor, Budget | None]:
    """Leave out the views that are too expensive even alone; return the others and their budget.

    Args:
        extractor: The views to try.
        costs: What each of them costs, by its name.
        limit: Core-milliseconds of one prediction; None leaves nothing out, and is no budget.

    Raises:
        UserError: The limit is below the cost of every view, or no cost could be measured.
    """
    if limit is None:
        return extractor, None
    if not costs:
        raise UserError("a budget needs an image to measure costs on, and none can be read")
    kept = [view for view, one in extractor.by_view.items() if costs[one.name].total <= limit]
    if not kept:
        cheapest = min(costs, key=lambda name: costs[name].total)
        least = costs[cheapest].total
        raise UserError(
            f"the budget is {limit:g} core-milliseconds, but the cheapest view ({cheapest}) costs "
            f"{least:.1f} on this machine; give {math.ceil(1.1 * least)} or more"
        )
    chosen = extractor.only(kept)
    return chosen, Budget(limit, tuple(costs[one.name].total for one in chosen.by_view.values()))
