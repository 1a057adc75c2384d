"""headstart explain."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headstart.cli import options as shared
from headstart.cli.console import note, paragraph, print_json, progress, table, warn
from headstart.cli.explained_tiles import explain_tiles, tiled_model
from headstart.cli.model_argument import check_model_first
from headstart.cli.remarks import slow_views_text
from headstart.cli.result_files import check_image_results, check_not_among, result_bases
from headstart.cli.summary import skipped_warnings
from headstart.system.option import Option
from headstart.system.text import pluralize
from headstart.types import Device

if TYPE_CHECKING:
    from headstart.cli.documents.inspection import Explained
    from headstart.inspection.explanation import Explanation


def explain(
    model: shared.ModelOrBackbone,
    images: shared.Images,
    *,
    out: shared.Folder,
    force: shared.Force = False,
    method: Annotated[list[str] | None, Option(unset="all")] = None,
    class_name: Annotated[str | None, Option(flag="--class", unset="the predicted class")] = None,
    stage: Annotated[
        str | None, Option(unset="the deepest stage with spatial maps that the classifier uses")
    ] = None,
    weights: shared.Weights = None,
    device: shared.DeviceName = Device.AUTO,
    allow_download: shared.AllowDownload = False,
    allow_code: shared.AllowCode = False,
    seed: shared.Seed = 0,
    as_json: shared.Json = False,
) -> None:
    """Show which pixels a prediction depends on, and test the maps.

    Deletion is the share of the class's probability that remains while pixels are removed, the most
    relevant first; lower is better. Insertion is the share reached while they are added; higher is
    better. Both are compared with the same map at random positions. Of a model that sees images in
    tiles, the places that decided are marked instead.

    Options:
        out: Folder for the attribution maps.
        method: Attribution method: grad-cam, integrated-gradients, occlusion; repeat the option
            for several.
        class_name: The class to explain.
        stage: The stage whose activations Grad-CAM uses, of all views that have it.
    """
    from headstart.datasets.own_folders import mark_results
    from headstart.datasets.unlabeled import find_images

    check_model_first("explain", [model, *images])
    check_not_among(images, out, "--out")
    check_image_results(out, force=force)
    listed = find_images(images)
    paths = list(dict.fromkeys(listed.paths))
    if tiled := tiled_model(model):
        warn(skipped_warnings(listed.skipped))
        given = {"--method": method, "--stage": stage}
        explain_tiles(
            tiled,
            paths,
            out,
            class_name=class_name,
            refused=[option for option, value in given.items() if value],
            weights=weights,
            device=device,
            allow_download=allow_download,
            allow_code=allow_code,
            as_json=as_json,
        )
        return
    network = shared.inspected_by_name(
        model, weights, allow_download=allow_download, allow_code=allow_code, device=device
    )
    from headstart.inspection.attribution import ATTRIBUTION_METHODS
    from headstart.inspection.explanation import Explainer, predict_files

    methods = method or list(ATTRIBUTION_METHODS)
    endings = [".png", *(f"-{one}.png" for one in methods)]
    bases = dict(zip(paths, result_bases(out, paths, endings), strict=True))
    explainer = Explainer(network, methods, stage=stage, seed=seed)
    predictions, skipped = predict_files(network, paths, explain=class_name)
    warn(skipped_warnings(listed.skipped))
    work = f"explaining {pluralize(len(predictions), 'image')} takes"
    if text := slow_views_text(network, explainer.passes(len(predictions)), work):
        note(text)
    answers: list[Explained] = []
    mark_results(out)
    with progress() as bars:
        bar = bars.bar("images", "images")
        for done, prediction in enumerate(predictions):
            bar(done, len(predictions))
            found = explainer.explain(prediction)
            _draw(found, bases[prediction.image])
            answers.append(_answer(found, bases[prediction.image]))
    if as_json:
        print_json(
            {
                "backbone": network.backbone.name,
                "views": network.views,
                "seed": seed,
                "images": answers,
                "skipped": [{"image": one.path, "reason": one.reason} for one in skipped],
            }
        )
    else:
        _describe(answers)
        paragraph(f"written  {out}: one overview per image, and every map over its image")
    if skipped:
        warn(f"{one.path}: {one.reason}" for one in skipped)
        warn([f"{len(skipped)} of {pluralize(len(paths), 'file')} could not be read"])
        raise typer.Exit(1)


def _file(base: Path, method: str = "") -> Path:
    """Return the PNG of one map over the image, or else of the sheet with all maps."""
    return base.with_name(f"{base.name}-{method}.png" if method else f"{base.name}.png")


def _draw(found: Explanation, base: Path) -> None:
    """Write an overlay for each map, and the sheet."""
    from headstart import plots
    from headstart.inspection.image_tensor import encode
    from headstart.system.files import atomic_write

    overlays = [
        plots.overlay(found.pixels, one.full_size.values, one.full_size.seen) for one in found.maps
    ]
    for one, pixels in zip(found.maps, overlays, strict=True):
        atomic_write(_file(base, one.method), encode(pixels, "PNG"))
    plots.save(plots.explanation_figure(found, overlays), _file(base))


def _answer(found: Explanation, base: Path) -> Explained:
    prediction = found.prediction
    return {
        "image": prediction.image,
        "label": prediction.label,
        "probability": prediction.probability,
        "explained": prediction.explained,
        "explained_probability": prediction.explained_probability,
        "sheet": _file(base),
        "maps": [
            {
                "method": one.method,
                "stage": one.stage,
                "deletion": one.faithfulness.deletion,
                "insertion": one.faithfulness.insertion,
                "random_deletion": one.faithfulness.random_deletion,
                "random_insertion": one.faithfulness.random_insertion,
                "trustworthy": one.faithfulness.trustworthy,
                "overlay": _file(base, one.method),
            }
            for one in found.maps
        ],
    }


def _describe(answers: list[Explained]) -> None:
    rows = []
    for answer in answers:
        own = [str(answer["image"]), answer["explained"], f"{answer['explained_probability']:.4f}"]
        for one in answer["maps"]:
            deletion = one["deletion"], one["random_deletion"]
            insertion = one["insertion"], one["random_insertion"]
            result = "better" if one["trustworthy"] else "not better"
            rows.append(
                [*own, one["method"], *(f"{score:.3f}" for score in deletion + insertion), result]
            )
            own = ["", "", ""]
    table(
        [
            *("image", "explained", "probability", "method", "deletion", "deletion (shifted)"),
            *("insertion", "insertion (shifted)", "than shifted"),
        ],
        rows,
        right={2, 4, 5, 6, 7},
        least=[7, 5],
    )
