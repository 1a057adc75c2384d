"""A whole training: which views to try, then the fit, and what it had to leave out."""

from collections.abc import Iterator

from headstart.datasets import ImageDataset
from headstart.features.extractor import Extractor
from headstart.models.budget import Budget
from headstart.models.fit import fit
from headstart.models.fit_result import FitResult
from headstart.models.fit_settings import FitSettings
from headstart.models.view_trial import is_large, try_views
from headstart.system.text import count_reasons, pluralize
from headstart.types import ProgressBarFactory, no_progress_bars


def fit_views(
    dataset: ImageDataset,
    extractor: Extractor,
    settings: FitSettings,
    *,
    budget: Budget | None = None,
    named: bool = False,
    bars: ProgressBarFactory = no_progress_bars,
) -> FitResult:
    """Train on the views of an extractor; those of a large data set are tried on a sample first.

    Args:
        dataset: Images with labels.
        extractor: The views.
        settings: How the head is trained.
        budget: What the views may cost together; None if it does not matter.
        named: Whether the views were named, so that all of them are computed.
        bars: Creates progress bars.

    Raises:
        DataError: Fewer than two classes have a readable training image.
        BackboneError: The backbone lacks one of the named stages.
    """
    if extractor.others and not named and is_large(dataset):
        trial = try_views(
            dataset,
            extractor,
            settings,
            budget=budget,
            on_images=bars("images tried", "images"),
            on_candidates=bars("trying views", "candidates"),
        )
        extractor, budget = trial.extractor, trial.budget
    return fit(
        dataset,
        extractor,
        settings,
        budget=budget,
        on_images=bars("images", "images"),
        on_candidates=bars("choosing stages", "candidates"),
        on_steps=bars("training the head, at most", "steps"),
    )


def excluded_texts(found: FitResult) -> Iterator[str]:
    """Yield a sentence about the images that a training left out, for each kind."""
    if conflicts := found.conflicts:
        count = pluralize(len(conflicts), "image")
        yield f"{count} with conflicting labels excluded; see fit_result_.conflicts"
    if skipped := found.skipped:
        reasons = count_reasons(one.reason for one in skipped)
        yield (
            f"{pluralize(len(skipped), 'image was', 'images were')} excluded ({reasons}); the "
            f"first is {skipped[0].path}, all are in fit_result_.skipped"
        )
