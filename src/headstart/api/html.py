"""Results as HTML for a notebook: compact tables with thumbnails.

The HTML has no script and no color of its own, so that it suits light and dark pages. What it shows
by name is looked up by the names of types: the modules of some import PyTorch, which takes seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
from PIL import Image

from headstart.images.thumbnails import SIDE, data_uri, thumbnail
from headstart.system.prefetch import prefetch
from headstart.system.text import join_names, one_line, pluralize, shortened

if TYPE_CHECKING:
    from headstart.auditing.audit import Audit
    from headstart.comparison.result import Comparison
    from headstart.datasets import ImageDataset
    from headstart.evaluation.metrics import Accuracy
    from headstart.evaluation.report import Report
    from headstart.finetuning.finetune import FineTuneResult
    from headstart.inspection.adversarial_file import AdversarialImage
    from headstart.inspection.explanation import Explanation
    from headstart.inspection.feature_maps import FeatureMaps
    from headstart.inspection.ideal_image import IdealImage
    from headstart.inspection.robustness_result import Robustness
    from headstart.models.fit_result import FitResult
    from headstart.models.prediction import Predictions
    from headstart.models.trained_model import AccuracyEstimate, Model
    from headstart.transfer.result import TransferReport
    from headstart.types import Interval, Pixels

_ROWS: Final = 24
"""Rows and thumbnails at most."""
_PER_CLASS: Final = 4
_CELL: Final = "padding:.2em .6em;text-align:left;border:1px solid rgba(128,128,128,.35)"
_LONGEST: Final = 80
_LARGE: Final = 224
"""Pixels of images that are themselves the result, at most."""


class _Markup(str):
    """HTML that is written as it is; other text is escaped."""

    __slots__ = ()


Cell: TypeAlias = "str | _Markup"


def html(result: object) -> str:
    """Return a result as HTML; of a type without a view of its own, its `repr`."""
    for kind in type(result).__mro__:
        if view := _VIEWS.get(kind.__name__):
            title, *parts = view(result)
            return f"<div><p><b>{_escaped(title)}</b></p>{''.join(parts)}</div>"
    return f"<pre>{_escaped(repr(result))}</pre>"


def _table(header: Sequence[str], rows: Iterable[Sequence[Cell]], *, total: int = 0) -> str:
    """Return a table of the first rows; if there are more, `total` in all, it says how many."""
    listed = [*islice(rows, _ROWS)]
    head = "".join(f'<th style="{_CELL}">{_escaped(one)}</th>' for one in header)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in listed)
    more = f"<p>and {total - len(listed):,} more</p>" if total > len(listed) else ""
    top = f"<thead><tr>{head}</tr></thead>" if header else ""
    return f'<table style="border-collapse:collapse">{top}<tbody>{body}</tbody></table>{more}'


def _cell(text: Cell) -> str:
    return f'<td style="{_CELL}">{_escaped(text)}</td>'


def _facts(facts: Mapping[str, str | None]) -> str:
    """Return a table of labels and texts, without those that are None."""
    return _table((), [(label, text) for label, text in facts.items() if text is not None])


def _escaped(text: str) -> str:
    if isinstance(text, _Markup):
        return text
    safe = one_line(shortened(text, 500)).encode("utf-8", "backslashreplace").decode()
    return escape(safe)


def _named(name: str) -> str:
    return shortened(name, _LONGEST)


def _images(sources: Iterable[str | None], names: Iterable[str]) -> _Markup:
    return _Markup(
        "".join(
            f'<img src="{source}" alt="{_escaped(name)}" style="margin:1px;vertical-align:middle">'
            if source
            else "cannot be read "
            for source, name in zip(sources, names, strict=True)
        )
    )


def _thumbnails(paths: Sequence[Any]) -> list[str | None]:
    return [found for _, found in prefetch(thumbnail, paths)]


def _shown(pixels: Pixels, name: str, *, side: int = SIDE) -> _Markup:
    return _images([data_uri(Image.fromarray(pixels), side=side)], [name])


def _accuracy(value: float | None, interval: Interval | None, images: int) -> str:
    if value is None or interval is None:
        return "unknown"
    return f"{value:.3f} ({interval.low:.3f} to {interval.high:.3f}, {pluralize(images, 'image')})"


def _estimate(one: AccuracyEstimate) -> str:
    known = one.value is not None
    return _accuracy(one.value, one.interval, one.images) + (f", {one.method}" if known else "")


def _dataset(dataset: ImageDataset) -> list[str]:
    parts = [part.value for part in dict.fromkeys(dataset.splits)]
    splits = np.array(dataset.splits, dtype=str)
    shown = range(min(len(dataset.classes), _ROWS))
    count = max(1, min(_PER_CLASS, _ROWS // max(len(shown), 1)))
    rows = [np.flatnonzero(dataset.labels == label) for label in range(len(dataset.classes))]
    picked = [[dataset.paths[row] for row in rows[label][:count].tolist()] for label in shown]
    small = iter(_thumbnails([path for paths in picked for path in paths]))
    lines = [
        (
            _named(dataset.classes[label]),
            *(
                [f"{int((splits[rows[label]] == part).sum()):,}" for part in parts]
                or [f"{len(rows[label]):,}"]
            ),
            _images(islice(small, len(picked[label])), [path.name for path in picked[label]]),
        )
        for label in shown
    ]
    table = _table(["class", *(parts or ["images"]), ""], lines, total=len(dataset.classes))
    skipped = f"<p>{pluralize(len(dataset.skipped), 'file')} skipped</p>" if dataset.skipped else ""
    return [repr(dataset).strip("<>"), table, skipped]


def _model_facts(model: Model) -> dict[str, str | None]:
    origin = model.origin
    members = [f"{one.origin.name} ({one.weight:.0%})" for one in model.members]
    return {
        "accuracy": _estimate(model.accuracy),
        "classes": f"{len(model.classes):,}: {join_names(model.classes)}",
        "trained on": f"{pluralize(sum(model.data.images), 'image')} of {model.data.name}",
        "network": join_names(members) or f"{origin.name}, stages {' + '.join(origin.stages)}",
        "weights": f"license {origin.license}",
        "tells unknown images": "yes" if model.novelty else "no",
        "fine-tuned": pluralize(model.tuning.depth, "stage") if model.tuning else None,
    }


def _model(model: Model) -> list[str]:
    return [f"Model of {model.data.name}", _facts(_model_facts(model))]


def _fit_result(found: FitResult) -> list[str]:
    facts = {
        **_model_facts(found.model),
        **_breakdown_facts(found),
        "skipped": pluralize(len(found.skipped), "file") if found.skipped else None,
        "time": f"{found.seconds:.1f} s",
    }
    return [f"Fit on {found.model.data.name}", _facts(facts)]


def _breakdown_facts(found: FitResult | Report) -> dict[str, str]:
    facts = {}
    if largest := found.largest_class:
        facts["baseline"] = f"{largest.accuracy:.3f}: always answering {largest.label}"
    if found.recalls:
        worst = found.recalls[0]
        interval = f"{worst.interval.low:.3f} to {worst.interval.high:.3f}"
        facts["lowest recall"] = f"{worst.label}: {worst.value:.3f} ({interval})"
    return facts


def _tuning(found: FineTuneResult) -> list[str]:
    kept = "kept" if found.kept else "not better, so the model stays as it was"
    facts = {
        "fine-tuning": kept if found.attempt else "only the head was trained",
        "accuracy before": _estimate(found.probe.model.accuracy),
        **_model_facts(found.model),
    }
    return [f"Fine-tuning on {found.model.data.name}", _facts(facts)]


def _predictions(found: Predictions) -> list[str]:
    kept = [row for row in found.rows[:_ROWS].tolist() if row < len(found.images)]
    sources = [found.images[row] for row in kept]
    small = _thumbnails(sources)
    known = found.known
    rows = []
    for number in range(min(len(found.rows), _ROWS)):
        label, probability = found.top(number, 1)[0]
        novelty = []
        if found.novelty is not None and known is not None:
            novelty = [f"{found.novelty[number]:.3f}", "yes" if known[number] else "no"]
        seen = ""
        if number < len(sources):
            seen = _images([small[number]], [str(sources[number])])
        rows.append((seen, _named(label), f"{probability:.3f}", *novelty))
    header = ["image", "label", "probability"]
    if found.novelty is not None:
        header += ["novelty", "known"]
    skipped = _table(
        ["skipped", "reason"],
        [(_named(one.path), one.reason) for one in found.skipped],
        total=len(found.skipped),
    )
    title = pluralize(len(found.rows), "prediction")
    return [title, _table(header, rows, total=len(found.rows)), skipped if found.skipped else ""]


def _report(found: Report) -> list[str]:
    facts = {
        "accuracy": _accuracy(found.accuracy, found.interval, found.images),
        **_breakdown_facts(found),
        "balanced accuracy": f"{found.balanced_accuracy:.3f}",
        "log loss": f"{found.nll:.3f}",
        "calibration error": f"{found.ece:.3f}",
        "called unknown": None if found.unknown is None else f"{found.unknown:.1%}",
    }
    scores = [
        (_named(name), *("" if x is None else f"{x:.3f}" for x in (one.precision, one.recall)),
         f"{one.support:,}")
        for name, one in found.per_class.items()
    ]  # fmt: skip
    header = ["class", "precision", "recall", "images"]
    return ["Evaluation", _facts(facts), "<br>", _table(header, scores, total=len(scores))]


def _comparison(found: Comparison) -> list[str]:
    rows = [
        (
            f"{one.name}{' (recommended)' if one.name == found.recommendation.backbone else ''}",
            *_score(one.accuracy),
            f"{one.milliseconds:.1f}",
            f"{one.cost.images_per_second:,.0f}",
            one.license,
        )
        for one in found.backbones
    ]
    header = ["backbone", "accuracy", "95% interval", "core-ms", "images/s", "license"]
    advice = f"<p>{_escaped(found.recommendation.sentence)}.</p>"
    excluded = [(one.name, one.reason) for one in found.left_out]
    left_out = _table(["excluded", "reason"], excluded, total=len(excluded)) if excluded else ""
    title = f"Backbones on {found.data}: {pluralize(found.images, 'image')}"
    return [title, _table(header, rows, total=len(rows)), advice, left_out]


def _score(accuracy: Accuracy) -> tuple[str, str]:
    interval = accuracy.interval
    return f"{accuracy.value:.3f}", f"{interval.low:.3f} to {interval.high:.3f}"


def _transfer(found: TransferReport) -> list[str]:
    scores = [*found.stages, found.chosen, *found.baselines]
    rows = [(one.name, one.detail, *_score(one.accuracy)) for one in scores]
    header = ["classifier on", "", "accuracy", "95% interval"]
    advice = f"<p>{_escaped(found.advice.sentence)}</p>"
    return [f"{found.backbone} on {found.data}", _table(header, rows, total=len(rows)), advice]


def _audit(found: Audit) -> list[str]:
    counts = [(kind, f"{count:,}") for kind, count in found.counts.items()]
    listed = found.issues[:_ROWS]
    small = _thumbnails([Path(one.path) for one in listed])
    rows = [
        (
            _images([source], [one.path]) if one.path else "",
            one.kind,
            _named(one.label)
            + (f" → {_named(one.suggested_label)}" if one.suggested_label else ""),
            one.evidence,
            _named(one.path),
        )
        for one, source in zip(listed, small, strict=True)
    ]
    issues = _table(["", "issue", "class", "evidence", "file"], rows, total=len(found.issues))
    title = f"Audit of {found.data}: {pluralize(found.images, 'image')}"
    if not found.issues:
        return [title, "<p>no issues found</p>"]
    return [title, _table(["issue", "number"], counts), "<br>", issues]


def _robustness(found: Robustness) -> list[str]:
    attacked = [
        (f"{epsilon * 255:.3g}/255" if found.norm == "linf" else f"{epsilon:.3g}", *_score(share))
        for epsilon, share in zip(found.epsilons, found.attacked, strict=True)
    ]
    strengths = len(next(iter(found.corrupted.values()), ()))
    corrupted = [
        (str(kind), *(f"{share.value:.3f}" for share in row))
        for kind, row in found.corrupted.items()
    ]
    return [
        f"Robustness on {found.sample.name}: {pluralize(len(found.sample), 'image')}",
        _table([f"epsilon ({found.norm})", "accuracy", "95% interval"], attacked),
        "<br>",
        _table(["corruption", *map(str, range(1, strengths + 1))], corrupted),
    ]


def _explanation(found: Explanation) -> list[str]:
    from headstart.plots import overlay  # imports matplotlib

    reading = found.prediction
    rows = [
        (
            _shown(
                overlay(found.pixels, one.full_size.values, one.full_size.seen),
                one.method,
                side=_LARGE,
            ),
            one.method,
            "yes" if one.faithfulness.trustworthy else "doubtful",
            f"{one.faithfulness.deletion:.3f} ({one.faithfulness.random_deletion:.3f})",
            f"{one.faithfulness.insertion:.3f} ({one.faithfulness.random_insertion:.3f})",
        )
        for one in found.maps
    ]
    header = ["", "method", "faithful", "deletion (shifted)", "insertion (shifted)"]
    title = f"{reading.explained} {reading.explained_probability:.3f}"
    return [title, _shown(found.pixels, str(reading.image)), _table(header, rows)]


def _attack(found: AdversarialImage) -> list[str]:
    rows = [
        (_shown(found.original, "before", side=_LARGE), "before", found.before.label,
         f"{found.before.probability:.3f}"),
        (_shown(found.pixels, "after", side=_LARGE), "after", found.after.label,
         f"{found.after.probability:.3f}"),
    ]  # fmt: skip
    verdict = "misclassified" if found.success else "still classified correctly"
    title = f"{verdict} after changes of at most {found.linf * 255:.0f}/255"
    return [title, _table(["", "", "label", "probability"], rows)]


def _ideal(found: IdealImage) -> list[str]:
    facts = {"predicted": f"{found.label} {found.probability:.3f}", "steps": f"{found.steps:,}"}
    return [
        f"Ideal image of {found.target.name}",
        _shown(found.pixels, found.target.name, side=_LARGE),
        _facts(facts),
    ]


def _feature_maps(found: FeatureMaps) -> list[str]:
    rows = [
        (one.name, f"{one.channels:,}", f"{one.height} x {one.width}",
         " ".join(str(channel.index) for channel in one.ranked[:6]))
        for one in found.stages
    ]  # fmt: skip
    header = ["stage", "channels", "map", "strongest channels"]
    title = f"Feature maps of {found.network} for {found.image}"
    return [title, _shown(found.pixels, found.image), _table(header, rows, total=len(rows))]


_VIEWS: Final[Mapping[str, Callable[[Any], list[str]]]] = {
    "AdversarialImage": _attack,
    "Audit": _audit,
    "Comparison": _comparison,
    "Explanation": _explanation,
    "FeatureMaps": _feature_maps,
    "FineTuneResult": _tuning,
    "FitResult": _fit_result,
    "IdealImage": _ideal,
    "ImageDataset": _dataset,
    "Model": _model,
    "Predictions": _predictions,
    "Report": _report,
    "Robustness": _robustness,
    "TransferReport": _transfer,
}
