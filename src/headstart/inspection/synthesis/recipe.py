"""The two recipes for ideal images of `headstart imagine`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from headstart.inspection.synthesis.ascent import AscentSettings
from headstart.inspection.synthesis.objective import Objective, log_likelihood, log_odds
from headstart.inspection.synthesis.parameterization import Phases, PlainPixels
from headstart.inspection.synthesis.transforms import TransformRanges


@dataclass(frozen=True, slots=True)
class SynthesisRecipe:
    """How to synthesize an image.

    Attributes:
        latent: the parameterization of the image.
        class_objective: logits and the index of a class to the objective to maximize.
        settings: settings of the ascent.
    """

    latent: type[Phases] | type[PlainPixels]
    class_objective: Callable[[Objective, int], Objective]
    settings: AscentSettings

    def with_settings(self, *, steps: int | None, tv: float | None) -> SynthesisRecipe:
        """Replace the steps or the weight of the total variation, where given.

        There are never more extra steps than planned ones.
        """
        settings = self.settings
        if steps is not None:
            settings = replace(settings, steps=steps, further=min(settings.further, steps))
        if tv is not None:
            settings = replace(settings, tv=tv)
        return replace(self, settings=settings)


BEST = SynthesisRecipe(
    Phases,
    log_odds,
    AscentSettings(
        steps=250,
        rate=0.5,
        views=TransformRanges(scale=(0.4, 1.1), turn=10, shift=0.05, flip=True),
    ),
)
"""MACO: fixed Fourier magnitudes, decorrelated colors and random transforms; measured in
docs/ideal-images.md."""
LESSON = SynthesisRecipe(PlainPixels, log_likelihood, AscentSettings(steps=100, rate=0.1, tv=10.0))
"""The textbook method: plain pixels, cross-entropy and total variation."""
