"""What `headstart finetune` says and writes of its result."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.cli.console import say
from headstart.cli.training import CURVES, HISTORY, say_data, say_left_out
from headstart.system.text import pluralize

if TYPE_CHECKING:
    from headstart.datasets import ImageDataset
    from headstart.finetuning.finetune import FineTuneResult, TuningAttempt


def write_history(tuned: FineTuneResult, out: Path) -> None:
    """history.csv and curves.png; those of a run before go, where nothing was trained now."""
    from headstart.evaluation.report import write_csv

    attempt = tuned.attempt
    if attempt is None:
        for name in (HISTORY, CURVES):
            (out / name).unlink(missing_ok=True)
        return
    write_csv([asdict(row) for row in attempt.history], out / HISTORY)
    from headstart import plots

    figure = plots.training_curves(
        [row.loss for row in attempt.history],
        [row.accuracy for row in attempt.history],
        [row.validation_loss for row in attempt.history],
        [row.validation_accuracy for row in attempt.history],
        probe=(attempt.probe_loss, attempt.probe.value or 0.0),
        closing=sum(row.validation_loss is None for row in attempt.history),
        title=_verdict(attempt, kept=tuned.kept),
    )
    plots.save(figure, out / CURVES)


def _verdict(attempt: TuningAttempt | None, *, kept: bool) -> str:
    """One sentence: whether fine-tuning paid."""
    if attempt is None:
        return "Only the head was trained: the model is the probe."
    loss = "none, for it diverged" if attempt.tuned_loss is None else f"{attempt.tuned_loss:.3f}"
    figures = (
        f"on {pluralize(attempt.tuned.images, 'validation image')} loss {loss} after "
        f"{attempt.probe_loss:.3f}, "
        f"accuracy {attempt.tuned.value:.3f} after {attempt.probe.value:.3f}"
    )
    if kept:
        way = "" if attempt.share == 1 else f" {attempt.share:.0%} of the way is kept."
        return f"Fine-tuning did better and is kept: {figures}.{way}"
    return f"Fine-tuning did not surely pay, so the probe is kept: {figures}."


def summary(tuned: FineTuneResult, seconds: float) -> dict[str, Any]:
    """The document of `--json`; what was not measured is null."""
    model, attempt = tuned.model, tuned.attempt
    borne = attempt.augmentation if attempt else None
    return {
        "backbone": model.origin.backbone,
        "engine": model.origin.engine,
        "precision": model.origin.precision,
        "stages": list(model.origin.stages),
        "kept": tuned.kept,
        "verdict": {"sentence": _verdict(attempt, kept=tuned.kept)},
        "depth": attempt.depth if attempt else 0,
        "cut": attempt.cut if attempt else "",
        "parameters": attempt.parameters if attempt else 0,
        "share": attempt.share if attempt else 0.0,
        "temperature": model.temperature,
        "result": model.accuracy.as_dict(),
        "probe": tuned.probe.model.accuracy.as_dict(),
        "validation": {
            "probe": attempt.probe.as_dict() if attempt else None,
            "tuned": attempt.tuned.as_dict() if attempt else None,
        },
        "augmentation": None
        if borne is None
        else {**asdict(borne.augmentation), "probe_under": borne.under, "images": borne.images},
        "history": [
            {name: _finite(value) for name, value in asdict(row).items()}
            for row in (attempt.history if attempt else ())
        ],
        "images": tuned.probe.images,
        "classes": list(model.classes),
        "skipped": [{"path": one.path, "reason": one.reason} for one in tuned.probe.skipped],
        "duplicates": model.data.duplicates,
        "conflicts": [
            {"paths": list(one.paths), "labels": list(one.labels)} for one in tuned.probe.conflicts
        ],
        "seconds": seconds,
    }


def _finite(value: Any) -> Any:
    """JSON has no word for the loss of a training that diverged."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def describe(dataset: ImageDataset, tuned: FineTuneResult, seconds: float, out: Path) -> None:
    """A dozen lines for people."""
    from headstart.models.model_card import accuracy_text

    model, attempt = tuned.model, tuned.attempt
    say_data(dataset.name, tuned.probe)
    say(f"backbone  {model.origin.backbone} on {model.origin.engine}, {model.origin.precision}")
    say(f"stages    {' + '.join(model.origin.stages)}")
    if attempt is not None:
        views = attempt.augmentation.augmentation
        flips = [
            name
            for name, on in (("mirrored", views.flip), ("upside down", views.upside_down))
            if on
        ]
        say(
            f"views     crops of {views.scale[0]:.0%} and more"
            + "".join(f", {name}" for name in flips)
        )
        place = f"behind {attempt.cut}" if attempt.cut else "the whole network"
        stages = pluralize(attempt.depth, "stage")
        say(f"trained   {stages}, {place}: {attempt.parameters / 1e6:.1f} M numbers")
    say(f"probe     {accuracy_text(tuned.probe.model.accuracy)}")
    say(f"accuracy  {accuracy_text(model.accuracy)}")
    say(f"verdict   {_verdict(attempt, kept=tuned.kept)}")
    say_left_out(tuned.probe, out)
    say(f"time      {seconds:.1f} s")
    say(f"model     {out}")
