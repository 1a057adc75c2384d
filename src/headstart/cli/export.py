"""headstart export and verify."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headstart.cli import options as shared
from headstart.cli.console import facts, print_json, progress, warn
from headstart.cli.model_argument import check_first
from headstart.cli.result_files import OVERWRITE
from headstart.errors import DataError, UserError
from headstart.exporting.file_format import TOLERANCE, Format, InputForm, Weights
from headstart.system.option import Option
from headstart.system.text import pluralize
from headstart.types import Precision

if TYPE_CHECKING:
    from headstart.cli.documents.handover import ExportDocument
    from headstart.datasets import ImageDataset
    from headstart.exporting.check_images import CheckImage
    from headstart.exporting.export import ExportSettings
    from headstart.exporting.proof import Proof
    from headstart.models.trained_model import Model

_HERE = 50
"""Images on which the file is also compared with predictions in bf16."""
_WIDTH = 12
Tolerance = Annotated[
    float,
    Option(
        low=0,
        high=1,
        help="Largest accepted difference of a probability from that of 'headstart predict'; "
        "another label is accepted only if the model's own probabilities of both are this close.",
    ),
]


def export(
    model: shared.ModelFolder,
    *,
    out: Path,
    kind: Annotated[
        Format | None,
        Option(
            flag="--format",
            help="Format of the file.",
            unset="by the ending of --out: .onnx, .xml, .pt2",
        ),
    ] = None,
    taken: Annotated[
        InputForm | None,
        Option(
            flag="--input",
            help="What the file takes: one RGB image of any size, or many that are already "
            "resized and cropped.",
            unset="image",
        ),
    ] = None,
    force: shared.Force = False,
    half: bool = False,
    int8: bool = False,
    check: Annotated[int, Option(low=1)] = 200,
    data: str | None = None,
    tolerance: Tolerance = TOLERANCE,
    weights: shared.Weights = None,
    allow_download: shared.AllowDownload = False,
    allow_code: shared.AllowCode = False,
    cache: shared.Cache = None,
    as_json: shared.Json = False,
) -> None:
    """Write a model to one file that other programs run, and prove that it answers alike.

    Options:
        out: File to write; a table of the differences is written beside it.
        half: Store weights in 16 bits: half the size.
        int8: Store weights in 8 bits where possible: about 0.3 of the size. Most such files need a
            larger --tolerance.
        check: Number of training images that the file is checked on, besides generated ones.
        data: The images that MODEL was trained on, if they have moved.
    """
    from headstart.exporting.check_images import check_images
    from headstart.exporting.export import ExportSettings, check_target, export_model
    from headstart.models.saved_model import load_model

    if half and int8:
        raise UserError("--half and --int8 contradict each other; remove one of them")
    settings = ExportSettings.for_file(
        out,
        format=kind,
        input=taken,
        weights=Weights.HALF if half else Weights.INT8 if int8 else Weights.FLOAT32,
        tolerance=tolerance,
    )
    try:
        check_target(out, settings.format, force=force)
    except DataError as error:
        raise DataError(f"{error}, or {OVERWRITE}") from None
    trained = load_model(model)
    dataset = _training_images(model, trained, data, cache)
    runtime = shared.RuntimeOptions(weights=weights, cache=cache, allow_code=allow_code)
    extractor = replace(runtime, precision=Precision.FLOAT32).extractor_of(
        trained, allow_download=allow_download
    )
    images = check_images(dataset.paths, check)
    with progress() as bars:
        proof = export_model(
            trained,
            extractor,
            out,
            settings,
            images,
            force=force,
            progress=bars.bar("checking", "images"),
        )
    here = _in_bf16(trained, out, images, runtime, allow_download=allow_download)
    warn([*extractor.warnings, *proof.remarks(trained)])
    _show(out, settings, proof, here, as_json=as_json)


def verify(
    file: Annotated[Path, Option(help="A file written by 'headstart export'.")],
    data: shared.Data,
    *,
    model: Path | None = None,
    tolerance: Tolerance = TOLERANCE,
    dataset_options: shared.DatasetOptions,
    weights: shared.Weights = None,
    allow_download: shared.AllowDownload = False,
    allow_code: shared.AllowCode = False,
    cache: shared.Cache = None,
    as_json: shared.Json = False,
) -> None:
    """Check again that an exported file answers as its model does.

    Options:
        model: The model folder that the file was made from; by default, the file is compared with
            the table beside it, for images that are in the table.
    """
    from headstart.exporting.exported_file import open_exported
    from headstart.exporting.verification import verify_with_model, verify_with_record
    from headstart.models.saved_model import load_model

    endings = {one.suffix for one in Format}
    check_first(
        "verify", [file, data], "exported file", lambda one: Path(one).suffix.lower() in endings
    )
    if Format.of(file) is Format.TORCH and not allow_code:
        raise UserError(f"{file} may run code when it is opened; if you trust it, add --allow-code")
    opened = open_exported(file)
    dataset = dataset_options.open(data, cache, require_classes=1)
    with progress() as bars:
        bar = bars.bar("checking", "images")
        if model is None:
            found = verify_with_record(
                opened, file, dataset.paths, tolerance=tolerance, progress=bar
            )
        else:
            trained = load_model(model)
            runtime = shared.RuntimeOptions(
                weights=weights, cache=cache, allow_code=allow_code, precision=Precision.FLOAT32
            )
            found = verify_with_model(
                opened,
                dataset.test_images(),
                trained,
                runtime.extractor_of(trained, allow_download=allow_download),
                tolerance=tolerance,
                progress=bar,
            )
    if as_json:
        print_json(
            {
                "file": file,
                "check": found.proof,
                "accuracy": found.accuracy,
                "model_accuracy": found.model_accuracy,
            }
        )
    else:
        from headstart.models.model_card import accuracy_text

        accuracy = found.accuracy and accuracy_text(found.accuracy)
        own = found.model_accuracy and f"the model's: {accuracy_text(found.model_accuracy)}"
        facts(
            [
                *_proof_facts(found.proof),
                ("accuracy", [one for one in (accuracy, own) if one]),
            ],
            width=_WIDTH,
        )
    if not found.proof.holds:
        raise typer.Exit(1)


def _training_images(
    folder: Path, model: Model, data: str | None, cache: Path | None
) -> ImageDataset:
    """Open the images that a model was trained on, where they were or where they are now."""
    from headstart.models.data_location import find_data_location
    from headstart.system.cache_folder import cache_root

    known = find_data_location(cache_root(cache), model.data)
    again = f"give them with --data: headstart export {folder} --data DATA --out ..."
    where = data or (known.data if known else None)
    if where is None:
        raise UserError(
            f"the file is checked on the images that {folder} was trained on, and their location "
            f"on this machine is unknown; {again}"
        )
    if data is None and Path(where).is_absolute() and not Path(where).exists():
        raise UserError(f"the images of {folder} are no longer at {where}; {again}")
    options = shared.DatasetOptions.of(known) if known else shared.DatasetOptions()
    found = options.open(where, cache, require_classes=1)
    return found.training_images() or found


def _in_bf16(
    model: Model,
    out: Path,
    images: list[CheckImage],
    runtime: shared.RuntimeOptions,
    *,
    allow_download: bool,
) -> Proof | None:
    """Compare the file with what 'headstart predict' says here, if that is not in float32."""
    from headstart.engines import make_plan
    from headstart.exporting.exported_file import open_exported
    from headstart.exporting.proof import prove_model

    if make_plan().precision is Precision.FLOAT32:
        return None
    extractor = runtime.extractor_of(model, allow_download=allow_download)
    photos = [one for one in images if one.content is None][:_HERE]
    return prove_model(open_exported(out), photos, model, extractor)


def _show(
    out: Path, settings: ExportSettings, proof: Proof, here: Proof | None, *, as_json: bool
) -> None:
    from headstart.exporting.proof import record_beside

    parts = [out, *([out.with_suffix(".bin")] if settings.format == "openvino" else [])]
    size = sum(one.stat().st_size for one in parts)
    if as_json:
        document: ExportDocument = {
            "file": out,
            "format": settings.format,
            "input": settings.input,
            "weights": settings.weights,
            "bytes": size,
            "check": proof,
            "check_bf16": here,
            "record": record_beside(out),
        }
        print_json(document)
        return
    facts(
        [
            ("file", f"{' and '.join(map(str, parts))}: {size / 1e6:.1f} MB, {settings.weights}"),
            *_proof_facts(proof),
            ("bf16", _bf16_text(here) if here else None),
            ("written", str(record_beside(out))),
        ],
        width=_WIDTH,
    )


def _proof_facts(proof: Proof) -> list[tuple[str, str | None]]:
    from headstart.exporting.proof import rounded_up

    images, differing = len(proof.images), proof.differing
    worst = [f"{one.image} ({one.label}, in the file {one.file_label})" for one in differing[:3]]
    return [
        ("checked", f"{pluralize(images, 'image')} with {proof.runtime}"),
        (
            "labels",
            f"{proof.equal_labels} of {images} equal those of 'headstart predict --precision f32'",
        ),
        (
            "difference",
            (
                f"of a probability at most {rounded_up(proof.quantile(1))}; 99% of the images at "
                f"most {rounded_up(proof.quantile(0.99))}"
            ),
        ),
        (
            "differs",
            (
                f"by more than {proof.tolerance:g} on {pluralize(len(differing), 'image')}: "
                f"{', '.join(worst)}"
            )
            if differing
            else None,
        ),
    ]


def _bf16_text(here: Proof) -> str:
    return (
        f"'headstart predict' computes in bf16 on this processor: {here.equal_labels} of "
        f"{len(here.images)} labels are the same, probabilities differ by up to "
        f"{here.quantile(1):.3f}; with --precision f32 it answers nearly as the file does"
    )
