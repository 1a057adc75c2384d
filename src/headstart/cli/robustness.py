"""headstart robustness."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from headstart.cli import options as shared
from headstart.cli.console import facts, note, print_json, progress, say, table, warn
from headstart.cli.model_argument import check_model_first
from headstart.cli.remarks import slow_views_text
from headstart.cli.result_files import check_results
from headstart.cli.summary import left_out_facts
from headstart.inspection.epsilon import epsilon_text, parse_epsilon
from headstart.system.option import Option
from headstart.system.text import pluralize
from headstart.types import Device, Norm

if TYPE_CHECKING:
    from headstart.inspection.robustness import Robustness

_REPORT = "robustness.json"
_TOO_WEAK = (
    "more than 1% of the images are still classified correctly at 4/255: the attack is too weak, "
    "unless the network was trained to resist attacks; try --steps 200 --restarts 5. A k-NN head "
    "has no gradient where all neighbors agree"
)


def robustness(
    model: shared.ModelOrBackbone,
    data: shared.Data,
    *,
    out: shared.Folder,
    force: shared.Force = False,
    images: Annotated[int, Option(low=1)] = 200,
    norm: shared.NormName = Norm.LINF,
    epsilons: Annotated[
        str | None,
        Option(
            unset="0, 1/16, 1/8, 1/4, 1/2, 1, 2, 4, 8, each of 255; for l2, 0, 0.1, 0.25, 0.5, "
            "1, 2, 4"
        ),
    ] = None,
    steps: Annotated[int, Option(low=1)] = 50,
    restarts: Annotated[int, Option(low=1)] = 1,
    dataset_options: shared.DatasetOptions,
    weights: shared.Weights = None,
    device: shared.DeviceName = Device.AUTO,
    allow_download: shared.AllowDownload = False,
    allow_code: shared.AllowCode = False,
    cache: shared.Cache = None,
    seed: shared.Seed = 0,
    as_json: shared.Json = False,
) -> None:
    """Measure accuracy under attacks and image corruptions.

    Options:
        out: Folder for the numbers and the plot.
        images: Number of images to test, balanced over the classes.
        epsilons: Sizes of the change to test, for pixels from 0 to 1, such as 0.5/255,1/255,4/255.
        steps: Steps of the attack per start.
        restarts: Number of starts of the attack; more make it stronger.
    """
    started = time.perf_counter()
    check_model_first("robustness", [model, data])
    check_results(out, _REPORT, data, force=force)
    sizes = None if epsilons is None else _sizes(epsilons, norm)
    network = shared.inspected_by_name(
        model, weights, allow_download=allow_download, allow_code=allow_code, device=device
    )

    from headstart import plots
    from headstart.inspection.attacks import APGD
    from headstart.inspection.labeled_sample import draw_sample
    from headstart.inspection.robustness import measure_robustness, most_passes
    from headstart.system.serialization import to_json, write_json

    dataset = dataset_options.open(data, cache, require_classes=1)
    with progress() as bars:
        sample = draw_sample(
            dataset.test_images(),
            network.differentiable,
            model=network.model,
            images=images,
            seed=seed,
            progress=bars.bar("images", "images"),
        )
        attack = APGD(steps=steps, restarts=restarts)
        passes = most_passes(sample, norm=norm, epsilons=sizes, attack=attack)
        work = f"testing {pluralize(len(sample), 'image')} takes at most"
        if text := slow_views_text(network, passes, work):
            note(f"{text}; with fewer --images or --steps it takes less")
        found = measure_robustness(
            network,
            sample,
            norm=norm,
            epsilons=sizes,
            attack=attack,
            seed=seed,
            on_steps=bars.bar("attacking", "steps"),
            on_images=bars.bar("corrupting", "images"),
        )
    document = {
        "backbone": network.backbone.name,
        "views": network.views,
        "model": model if network.model else None,
        **to_json(found),
    }
    write_json(out / _REPORT, document)
    plots.save(plots.robustness_curves(found), out / "robustness.png")
    if found.doubtful:
        warn([_TOO_WEAK])
    if as_json:
        print_json(document)
    else:
        _describe(found, out, time.perf_counter() - started)


def _sizes(text: str, norm: Norm) -> list[float]:
    """Parse a list of sizes such as "0.5/255,1/255"."""
    return [parse_epsilon(one, norm, option="--epsilons") for one in text.split(",")]


def _describe(found: Robustness, out: Path, seconds: float) -> None:
    sample = found.sample
    rows = [
        [
            epsilon_text(epsilon, found.norm),
            f"{share.value:.3f}",
            f"{share.interval.low:.3f} to {share.interval.high:.3f}",
            f"{share.correct:,}",
        ]
        for epsilon, share in zip(found.epsilons, found.attacked, strict=True)
    ]
    table([f"epsilon ({found.norm})", "accuracy", "95% interval", "correct"], rows, right={0, 1, 3})
    say("")
    strengths = len(next(iter(found.corrupted.values())))
    table(
        ["corruption", *(str(strength) for strength in range(1, strengths + 1))],
        [
            [str(kind), *(f"{share.value:.3f}" for share in row)]
            for kind, row in found.corrupted.items()
        ],
        right=set(range(1, strengths + 1)),
    )
    say("")
    facts(
        [
            ("images", f"{len(sample):,} of {sample.available:,}, sampled with seed {found.seed}"),
            ("corrupted", f"accuracy {found.corruption_accuracy:.3f} on average"),
            *left_out_facts(sample, seen=sample.seen, file=out / _REPORT),
            ("time", f"{seconds:.1f} s"),
            ("written", str(out)),
        ],
        width=11,
    )
