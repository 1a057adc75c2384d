"""Output shared by several commands: the model, its images, and the excluded files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from headstart.system.text import join_names, pluralize
from headstart.types import Conflict, Skipped

if TYPE_CHECKING:
    from headstart.cli.documents.training import MemberDocument, TrainingDocument
    from headstart.features.extractor import Extractor
    from headstart.models.fit_result import FitResult
    from headstart.models.trained_model import Model

_LISTED = 5
"""Number of skipped files to list; thousands of them would bury the result."""
_CLASSES = 8
"""Number of class names to list."""


class _LeftOut(Protocol):
    @property
    def skipped(self) -> Sequence[Skipped]: ...

    @property
    def conflicts(self) -> Sequence[Conflict]: ...


def names_text(names: Sequence[str]) -> str:
    """Return the first few names, and how many more there are."""
    return join_names(names, _CLASSES)


def layer_text(stages: Sequence[str], last: str = "") -> str:
    """Return a short name of adjacent stages, shallow to deep; the network's last one is marked."""
    if len(stages) == 1:
        return f"{stages[0]} (last)" if stages[0] == last else stages[0]
    return f"{stages[0]} to {stages[-1]}" if len(stages) > 2 else " + ".join(stages)


def training_document(result: FitResult) -> TrainingDocument:
    """Return the JSON that fit and finetune share, about the saved model, its images and its test.

    What each of several members has is null; see `members_document`.
    """
    model = result.model
    same_scenes, measured = model.accuracy_same_scenes, model.accuracy
    return {
        "backbone": model.origin.backbone,
        "engine": model.origin.engine,
        "precision": model.origin.precision,
        "stages": None if model.members else model.origin.stages,
        "head": None if model.members else model.head.kind,
        "setting": None if model.members else model.setting,
        "temperature": model.temperature,
        "accuracy_by_stage": model.accuracy_by_stage,
        "compared_on": result.compared_on,
        "images": result.images,
        "classes": model.classes,
        "skipped": result.skipped,
        "review": {"dropped": model.data.dropped, "relabeled": model.data.relabeled},
        "duplicates": model.data.duplicates,
        "conflicts": result.conflicts,
        "series": model.series,
        "accuracy": measured.value,
        "interval": measured.interval,
        "estimate": measured.method,
        "tested_images": measured.images,
        "largest_class": result.largest_class,
        "recalls": result.recalls,
        "accuracy_same_scenes": None if same_scenes is None else same_scenes.value,
        "shared_scenes": _shared_scenes(result),
        "novelty": model.novelty.estimate if model.novelty else None,
        "cached": result.cached,
        "images_per_second": images_per_second(result),
    }


def images_per_second(result: FitResult) -> float | None:
    """Return the speed of feature extraction; None if all features were in the cache."""
    return result.computed / result.feature_seconds if result.computed else None


def members_document(model: Model, costs: Mapping[str, float | None]) -> list[MemberDocument]:
    """Return the JSON of a model's members: one for a model that averages none.

    `costs` are the core-milliseconds per image of each view; None where it is not known.
    """
    return [
        {
            "view": one.origin.name,
            "head": one.head,
            "layers": one.origin.stages,
            "weight": one.weight,
            "accuracy": one.accuracy.value,
            "cost": costs[one.origin.name],
        }
        for one in model.all_members
    ]


def total_cost(costs: Mapping[str, float | None]) -> float | None:
    """Return the core-milliseconds of all views together; None if one of them is not known."""
    known = [cost for cost in costs.values() if cost is not None]
    return sum(known) if len(known) == len(costs) else None


def cost_text(costs: Mapping[str, float | None]) -> str | None:
    """Say what the prediction of an image costs; None if it is not known."""
    total = total_cost(costs)
    return None if total is None else f"{total:.1f} core-milliseconds per image on this machine"


def budget_text(limit: float | None, left_out: Mapping[str, float]) -> str | None:
    """Say which views a budget left out, and what they cost alone; None without a budget.

    Args:
        limit: Core-milliseconds per image.
        left_out: The cost of each of these views by its name.
    """
    if limit is None:
        return None
    views = join_names([f"{name} ({cost:.1f})" for name, cost in left_out.items()], len(left_out))
    kept = f"{limit:g} core-milliseconds per image"
    return f"{kept}; too little to add {views}" if left_out else f"{kept}; it left out no view"


def _shared_scenes(result: FitResult) -> int:
    """Return the number of test images that show a scene of the training images."""
    tested = result.held_out
    return 0 if tested is None or tested.new_scene is None else int((~tested.new_scene).sum())


def shared_text(result: FitResult) -> str | None:
    """Say which test images do not count for the accuracy; None if all do."""
    shared, tested = _shared_scenes(result), result.held_out
    if not shared or tested is None:
        return None
    return (
        f"{shared:,} of {pluralize(len(tested.labels), 'test image')} show scenes of training "
        "images; the accuracy is measured without them"
    )


def training_facts(
    name: str, result: FitResult, extractor: Extractor, features: str | None = None
) -> Iterator[tuple[str, str | list[str] | None]]:
    """Yield labeled lines about the images, the backbone and its stages, for `facts`.

    `features` says how the features were computed; None omits that line.
    """
    from headstart.models.model_card import review_text

    model, origin = result.model, result.model.origin
    test = ""
    if result.held_out and result.has_test_part:
        test = f" and {len(result.held_out.labels):,} held out"
    classes = f"{len(model.classes):,} classes ({names_text(model.classes)})"
    yield "data", f"{name}: {pluralize(result.images, 'image')}{test}, {classes}"
    yield "review", review_text(model)
    yield "backbone", f"{origin.backbone} on {origin.engine}, {origin.precision}"
    if not model.members:
        yield "view", origin.view
    yield "features", features
    few = result.compared_on < result.images
    sample = f", chosen on {result.compared_on:,} of the images" if few else ""
    if not model.members:
        yield "layer", layer_text(origin.stages, extractor.backbone.stages[-1].name) + sample
        return
    lines = member_lines(model)
    yield "views", [*lines[:-1], lines[-1] + sample]


def member_lines(model: Model) -> list[str]:
    """Return a line about each of a model's members."""
    return [
        f"{one.origin.name}, {one.head} on {layer_text(one.origin.stages)}: weight "
        f"{one.weight:.2f}, alone {_accuracy(one.accuracy.value)}"
        for one in model.members
    ]


def _accuracy(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"


def left_out_facts(
    found: _LeftOut, *, duplicates: int = 0, seen: int = 0, file: Path | None = None
) -> Iterator[tuple[str, str | list[str]]]:
    """Yield labeled lines about everything that was excluded, for `facts`.

    Args:
        found: a result with the files that could not be used and the conflicting labels.
        duplicates: number of copies of other images.
        seen: number of test images that the model was trained on.
        file: file that lists all skipped files, if any.
    """
    conflicts, skipped = found.conflicts, found.skipped
    if duplicates:
        yield "copies", f"{pluralize(duplicates, 'duplicate image')} excluded"
    if seen:
        yield "excluded", f"{pluralize(seen, 'image')} that the model was trained on"
    if conflicts:
        yield "conflicts", _conflicts_text(conflicts)
    if skipped:
        yield "skipped", _skipped_lines(skipped, file)


def _conflicts_text(conflicts: Sequence[Conflict]) -> str:
    """Count the files, and name those of the first image."""
    pairs = zip(conflicts[0].paths, conflicts[0].labels, strict=True)
    named = [f"{path} ({label})" for path, label in pairs]
    example = " and ".join(named) if len(named) == 2 else join_names(named, _LISTED)
    files = pluralize(sum(len(one.paths) for one in conflicts), "file")
    if len(conflicts) == 1:
        return f"{files} of one image with conflicting labels excluded: {example}"
    of = f"{files} of {len(conflicts):,} images"
    return f"{of} with conflicting labels excluded, such as {example}"


def skipped_warnings(skipped: Sequence[Skipped]) -> list[str]:
    """Return a warning about the files in folders that are not used; nothing without any."""
    if not skipped:
        return []
    _, *listed = _skipped_lines(skipped, None)
    return [f"{pluralize(len(skipped), 'file')} skipped: {', '.join(listed)}"]


def _skipped_lines(skipped: Sequence[Skipped], file: Path | None) -> list[str]:
    """Return the first files with their reasons, damaged images before other files."""
    from headstart.images.formats import NOT_AN_IMAGE, looks_like_image

    ordered = sorted(
        skipped,
        key=lambda one: (one.reason.startswith(NOT_AN_IMAGE), not looks_like_image(one.path)),
    )
    listed = [f"{one.path} ({one.reason})" for one in ordered[:_LISTED]]
    more = [f"and {len(skipped) - _LISTED:,} more"] if len(skipped) > _LISTED else []
    return [pluralize(len(skipped), "file") + (f"; all in {file}" if file else ""), *listed, *more]
