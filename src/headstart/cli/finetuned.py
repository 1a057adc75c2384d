"""The output of `headstart finetune`: text, JSON, history.csv and curves.png."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.cli.breakdown import breakdown_facts
from headstart.cli.console import facts
from headstart.cli.fit import CURVES, HISTORY
from headstart.cli.summary import (
    left_out_facts,
    member_lines,
    members_document,
    training_document,
    training_facts,
)
from headstart.finetuning.settings import Keep
from headstart.system.text import pluralize

if TYPE_CHECKING:
    from headstart.cli.documents.training import (
        AugmentationDocument,
        FineTuneDocument,
        TestDocument,
    )
    from headstart.datasets import ImageDataset
    from headstart.features.extractor import Extractor
    from headstart.finetuning.finetune import FineTuneResult, TuningAttempt
    from headstart.finetuning.invariance import InvarianceTest
    from headstart.finetuning.validation import ValidationResult
    from headstart.models.fit_result import HeldOutPredictions
    from headstart.models.trained_model import AccuracyEstimate


def write_history(result: FineTuneResult, out: Path) -> None:
    """Write history.csv and curves.png, or remove those of an earlier run if nothing was tuned."""
    from headstart.evaluation.report import write_csv

    attempt = result.attempt
    if attempt is None:
        for name in (HISTORY, CURVES):
            (out / name).unlink(missing_ok=True)
        return
    write_csv([asdict(row) for row in attempt.history], out / HISTORY)
    from headstart import plots

    title = _outcome(attempt, kept=result.kept)
    plots.save(plots.training_curves(attempt, title=title), out / CURVES)


def _outcome(attempt: TuningAttempt | None, *, kept: bool) -> str:
    if attempt is None:
        return "Only the head was trained, so the model is the probe."
    if attempt.keep is not Keep.BETTER and kept == (attempt.keep is Keep.TUNED):
        which = "fine-tuned network" if kept else "model before fine-tuning"
        figures = _compared(attempt.start, attempt.tuned)
        return f"The {which} is kept, as --keep {attempt.keep} asks: fine-tuned, {figures}."
    if not kept:
        figures = _compared(attempt.start, attempt.tuned)
        return f"Fine-tuning was not clearly better, so the model stays as it was: {figures}."
    share, weight = attempt.interpolation, attempt.weight
    figures = _compared(attempt.start, attempt.result)
    blend = f" Weights: {share:.0%} fine-tuned, {1 - share:.0%} probe." if share < 1 else ""
    if weight == 1:
        return f"Fine-tuning was better and is kept: {figures}.{blend}"
    return (
        f"Fine-tuning was better and counts {weight:.0%} in the average with the model before: "
        f"{figures}.{blend}"
    )


def _compared(before: ValidationResult, after: ValidationResult) -> str:
    loss = f"{after.loss:.3f}" if math.isfinite(after.loss) else "diverged"
    return (
        f"validation loss {loss} (was {before.loss:.3f}), accuracy {after.accuracy:.3f} "
        f"(was {before.accuracy:.3f}) on {pluralize(len(after.correct), 'image')}"
    )


def document(result: FineTuneResult, seconds: float) -> FineTuneDocument:
    """Return the document of `--json`; values that were not measured are null."""
    model, attempt, probe = result.model, result.attempt, result.probe
    return {
        **training_document(result.fitted),
        "kept": result.kept,
        "verdict": {"sentence": _outcome(attempt, kept=result.kept)},
        "depth": attempt.cut.depth if attempt else 0,
        "cut": attempt.cut.last_frozen if attempt else "",
        "parameters": attempt.parameters if attempt else 0,
        "share": attempt.interpolation if attempt else 0.0,
        "result": model.accuracy,
        "probe": probe.model.accuracy,
        "validation": {
            "probe": attempt.probe.estimate if attempt else None,
            "tuned": attempt.tuned.estimate if attempt else None,
            "start": attempt.start.estimate if attempt else None,
            "result": attempt.result.estimate if attempt else None,
        },
        "test": _tested(result),
        "keep": attempt.keep if attempt else Keep.BETTER,
        "weight": attempt.weight if attempt else 0.0,
        "members": members_document(
            model, dict.fromkeys(one.origin.name for one in model.all_members)
        ),
        "augmentation": _augmentation(attempt.invariance) if attempt else None,
        "history": attempt.history if attempt else (),
        "seconds": seconds,
    }


def _augmentation(tested: InvarianceTest) -> AugmentationDocument:
    found = tested.augmentation
    return {
        "scale": found.scale,
        "ratio": found.ratio,
        "flip": found.flip,
        "upside_down": found.upside_down,
        "color": found.color,
        "probe_under": tested.accuracy_by_transform,
        "exchanges": tested.exchanges,
        "images": tested.images,
    }


def _tested(result: FineTuneResult) -> TestDocument | None:
    """Return the accuracies on the test part, which decided nothing; None if there is none."""
    from headstart.models.accuracies import held_out_accuracies

    attempt = result.attempt
    if attempt is None or attempt.tested is None:
        return None

    def accuracy(held_out: HeldOutPredictions | None) -> AccuracyEstimate | None:
        return None if held_out is None else held_out_accuracies(held_out)[1]

    return {
        "probe": accuracy(result.probe.held_out),
        "tuned": attempt.tested,
        "result": accuracy(result.held_out),
    }


def describe(
    dataset: ImageDataset,
    extractor: Extractor,
    result: FineTuneResult,
    seconds: float,
    out: Path,
) -> None:
    """Print the result as text."""
    from headstart.models.model_card import accuracy_text, novelty_text

    model, probe, fitted = result.model, result.probe, result.fitted
    facts(
        [
            *training_facts(dataset.name, probe, extractor),
            *_training_facts(result.attempt),
            ("probe", accuracy_text(probe.model.accuracy)),
            ("tuned", _tuned_text(result.attempt)),
            ("accuracy", accuracy_text(model.accuracy)),
            *breakdown_facts(fitted.largest_class, fitted.recalls),
            ("unknown", novelty_text(model)),
            ("averages", member_lines(model) if result.kept and model.members else None),
            ("result", _outcome(result.attempt, kept=result.kept)),
            *left_out_facts(probe, duplicates=model.data.duplicates, file=out / "skipped.csv"),
            ("time", f"{seconds:.1f} s"),
            ("model", str(out)),
        ]
    )


def _tuned_text(attempt: TuningAttempt | None) -> str | None:
    """Return the accuracy of the fine-tuned network alone on the test part, which chose nothing."""
    from headstart.models.model_card import accuracy_text

    return None if attempt is None or attempt.tested is None else accuracy_text(attempt.tested)


def _training_facts(attempt: TuningAttempt | None) -> list[tuple[str, str]]:
    if attempt is None:
        return []
    augmentation = attempt.invariance.augmentation
    flips = {"mirrored": augmentation.flip, "upside down": augmentation.upside_down}
    views = [
        f"crops of {augmentation.scale[0]:.0%} or more",
        *(name for name in flips if flips[name]),
    ]
    names = {"flip": "mirrored", "upside_down": "upside down"}
    lost = [
        f"not {names[change]}, or {one.label} could look like {one.resembles} "
        f"(--{change.replace('_', '-')} does it anyway)"
        for change, one in attempt.invariance.exchanges.items()
        if not getattr(augmentation, change)
    ]
    cut = attempt.cut
    where = f"after {cut.last_frozen}" if cut.last_frozen else "the whole network"
    stages = pluralize(cut.depth, "stage")
    return [
        ("augmented", "; ".join([", ".join(views), *lost])),
        ("trained", f"{stages}, {where}: {attempt.parameters / 1e6:.1f} M parameters"),
    ]
