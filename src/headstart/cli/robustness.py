"""headstart robustness."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headstart.cli import options as shared
from headstart.cli.console import print_json, progress, say, table, warn
from headstart.cli.left_out import say_skipped, seen_text
from headstart.errors import DataError
from headstart.types import ClassLevel, Norm

if TYPE_CHECKING:
    from headstart.inspection.robustness import Robustness

_REPORT = "robustness.json"
_DOUBT = (
    "more than 1% stays right within 4/255, so the attack is too weak, unless the network was "
    "trained against attacks; look again with --steps 200 --restarts 5. Votes of k-NN give an "
    "attack no slope where all neighbors agree"
)


def robustness(
    model: shared.ModelOrBackbone,
    data: shared.Data,
    out: Annotated[
        Path, typer.Option("--out", file_okay=False, help="Folder for the numbers and the picture.")
    ],
    images: Annotated[
        int, typer.Option("--images", min=1, help="How many to draw, evenly from the classes.")
    ] = 200,
    norm: Annotated[
        Norm,
        typer.Option(
            "--norm",
            help="What bounds the attacker: the largest change of a pixel, or the root of the "
            "sum of all squared changes.",
        ),
    ] = Norm.LINF,
    epsilons: Annotated[
        str | None,
        typer.Option(
            "--epsilons",
            help="Sizes of the attacker's change for pixels from 0 to 1, such as "
            "0.5/255,1/255,4/255. [default: 0, 0.25, 0.5, 1, 2, 4 and 8 over 255; of l2 0, 0.1, "
            "0.25, 0.5, 1, 2 and 4]",
        ),
    ] = None,
    steps: Annotated[
        int, typer.Option("--steps", min=1, help="Gradients of the attack, for each start.")
    ] = 50,
    restarts: Annotated[
        int, typer.Option("--restarts", min=1, help="Starts of the attack; more find more.")
    ] = 1,
    weights: shared.WeightsFile = None,
    image_column: shared.ImageColumn = None,
    label_column: shared.LabelColumn = None,
    classes_from: shared.ClassesFrom = ClassLevel.PATH,
    cache: shared.CacheFolder = None,
    seed: shared.Seed = 0,
    as_json: shared.Json = False,
) -> None:
    """Measure how accuracy falls under attack, and under noise, blur and fog."""
    started = time.perf_counter()
    shared.check_results(out, _REPORT, data)
    sizes = None if epsilons is None else _sizes(epsilons)
    study = shared.study_of(model, weights)

    from headstart import plots
    from headstart.inspection.attacks import APGD
    from headstart.inspection.labeled_sample import draw_sample
    from headstart.inspection.robustness import measure_robustness
    from headstart.system.files import atomic_write

    dataset = shared.opened(
        data, cache, image_column, label_column, classes_from, require_classes=1
    )
    with progress() as bars:
        sample = draw_sample(
            dataset.test_images(),
            study.subject,
            model=study.model,
            images=images,
            seed=seed,
            progress=bars.bar("images", "images"),
        )
        found = measure_robustness(
            study,
            sample,
            norm=norm,
            epsilons=sizes,
            attack=APGD(steps=steps, restarts=restarts),
            seed=seed,
            on_steps=bars.bar("attacking", "steps"),
            on_pictures=bars.bar("corrupting", "images"),
        )
    document = {
        "backbone": study.backbone.name,
        "model": model if study.model else None,
        **found.as_dict(),
    }
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    atomic_write(out / _REPORT, f"{text}\n".encode(errors="surrogateescape"))
    figure = plots.robustness_curves(
        [_size(epsilon, norm) for epsilon in found.epsilons],
        [(share.accuracy, share.interval) for share in found.attacked],
        {
            kind: [(share.accuracy, share.interval) for share in row]
            for kind, row in found.corrupted.items()
        },
        axis="largest change that the attacker may make "
        + ("to a pixel (linf)" if norm is Norm.LINF else "(l2, pixels from 0 to 1)"),
        images=len(sample),
    )
    plots.save(figure, out / "robustness.png")
    if found.doubtful:
        warn([_DOUBT])
    if as_json:
        print_json(document)
    else:
        _describe(found, norm, out, time.perf_counter() - started)


def _sizes(text: str) -> list[float]:
    """The numbers of "0.5/255,1/255", as `headstart attack` takes one of them."""
    sizes = []
    for one in text.split(","):
        try:
            sizes.append(shared.fraction(one))
        except ValueError:
            raise DataError(
                f"--epsilons {text} holds {one!r}, which is no number; write 1/255,4/255 or 0.016"
            ) from None
    return sizes


def _size(epsilon: float, norm: Norm) -> str:
    if norm is Norm.LINF and epsilon:
        return f"{epsilon * 255:.3g}/255"
    return f"{epsilon:.3g}"


def _describe(found: Robustness, norm: Norm, out: Path, seconds: float) -> None:
    sample = found.sample
    rows = [
        [
            _size(epsilon, norm),
            f"{share.accuracy:.3f}",
            f"{share.interval.low:.3f} to {share.interval.high:.3f}",
            f"{share.correct:,}",
        ]
        for epsilon, share in zip(found.epsilons, found.attacked, strict=True)
    ]
    table([f"epsilon ({norm})", "accuracy", "95% interval", "right"], rows, right={0, 1, 3})
    say("")
    strengths = len(next(iter(found.corrupted.values())))
    table(
        ["corruption", *(str(strength) for strength in range(1, strengths + 1))],
        [
            [str(kind), *(f"{share.accuracy:.3f}" for share in row)]
            for kind, row in found.corrupted.items()
        ],
        right=set(range(1, strengths + 1)),
    )
    say("")
    say(f"images     {len(sample):,} of {sample.available:,}, drawn with seed {found.seed}")
    say(f"corrupted  {found.corruption_accuracy:.3f} on average")
    if sample.seen:
        say(f"left out   {seen_text(sample.seen)}")
    if sample.conflicts:
        say(f"conflicts  {len(sample.conflicts):,} with two labels, left out")
    say_skipped(sample.skipped, out / _REPORT, width=11)
    say(f"time       {seconds:.1f} s")
    say(f"written    {out}")
