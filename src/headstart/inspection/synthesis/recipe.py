"""The two recipes for ideal images of `headstart imagine`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from headstart.inspection.synthesis.ascent import AscentSettings, Level
from headstart.inspection.synthesis.objective import (
    Logits,
    Objective,
    log_likelihood,
    log_odds,
)
from headstart.inspection.synthesis.parameterization import PlainPixels, Spectrum
from headstart.inspection.synthesis.transforms import TransformRanges


@dataclass(frozen=True, slots=True)
class SynthesisRecipe:
    """How to synthesize an image.

    Attributes:
        latent: the parameterization of the image.
        class_objective: logits and the indices of classes to the objective to maximize.
        settings: settings of the ascent.
        least_side: default side of the image in pixels, if the network's input is smaller.
    """

    latent: type[Spectrum] | type[PlainPixels]
    class_objective: Callable[[Logits, Sequence[int]], Objective]
    settings: AscentSettings
    least_side: int = 1

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


_VIEWS = TransformRanges(turn=15, shift=0.05, flip=True)
_CLOSE, _WHOLE = replace(_VIEWS, spread=0.5), replace(_VIEWS, scale=(0.5, 1.4), spread=0.3)
_FAR = replace(_WHOLE, scale=(0.6, 1.4))
CHANNEL = SynthesisRecipe(
    Spectrum,
    log_odds,
    AscentSettings(
        steps=200,
        rate=0.12,
        levels=(
            Level(views=replace(_CLOSE, scale=(0.7, 1.2)), until=0.35, resolution=2 / 7),
            Level(views=replace(_CLOSE, scale=(0.5, 1.15)), until=0.6, resolution=1 / 2),
            Level(views=replace(_CLOSE, scale=(0.5, 1.15)), until=0.8, resolution=13 / 14),
            Level(views=replace(_CLOSE, scale=(0.35, 1.0))),
        ),
    ),
    least_side=384,
)
"""For channels: from coarse to fine. Without total variation: activations may be far below it."""
BEST = SynthesisRecipe(
    Spectrum,
    log_odds,
    AscentSettings(
        steps=300,
        rate=0.12,
        tv=20.0,
        levels=(
            # Without noise at first, which would hide the class in an image that is almost gray.
            Level(views=_WHOLE, until=0.15, resolution=2 / 7, window=True),
            Level(views=replace(_WHOLE, noise=0.2), until=0.35, resolution=2 / 7, window=True),
            Level(views=replace(_FAR, noise=0.3), until=0.6, resolution=1 / 2, window=True),
            Level(views=replace(_FAR, noise=0.3), until=0.8, resolution=13 / 14),
            Level(views=replace(_FAR, noise=0.1)),
        ),
        center_at=0.35,
    ),
    least_side=384,
)
"""From coarse to fine, seen from near and far through noise: a large, whole object first, in the
middle, then its details; measured in docs/ideal-images.md."""
LESSON = SynthesisRecipe(PlainPixels, log_likelihood, AscentSettings(steps=100, rate=0.1, tv=10.0))
"""The textbook method: plain pixels, cross-entropy and total variation."""
