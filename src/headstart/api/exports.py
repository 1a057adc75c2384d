"""Export a model to a file that other programs run, and verify such a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.api.inputs import (
    Data,
    TrainedModel,
    give_warnings,
    open_data,
    open_model_extractor,
)
from headstart.exporting.file_format import TOLERANCE, Format, InputForm, Weights
from headstart.models.network_options import enum_member
from headstart.system.progress import progress
from headstart.types import Precision

if TYPE_CHECKING:
    from headstart.exporting.proof import Proof
    from headstart.exporting.verification import Verification


def export(
    model: TrainedModel,
    out: str | Path,
    data: Data,
    *,
    format: str | None = None,  # noqa: A002 - what the option of the command is called
    input: str | None = None,  # noqa: A002
    storage: str = Weights.FLOAT32.value,
    check: int = 200,
    tolerance: float = TOLERANCE,
    verbose: bool | None = None,
    **runtime: Any,
) -> Proof:
    """Write a model to one file that other programs run, and prove that it answers alike.

    Args:
        model: A model, a fitted classifier or the folder of a model.
        out: File to write; a table of the differences is written beside it.
        data: The images that the model was trained on, which the file is checked with.
        format: "onnx", "openvino" or "torch"; by default what the ending of `out` says.
        input: "image", one RGB image of any size, or "crops", images that are already resized and
            cropped; by default "image", and "crops" for PyTorch, which takes nothing else.
        storage: How the file stores weights: "float32", "float16" or "int8".
        check: Number of training images to check the file with, besides generated ones.
        tolerance: Largest accepted difference of a probability; another label is accepted only if
            the model's own probabilities of both labels are this close; in
            [0, 1].
        verbose: Whether to show progress; None does so in terminals and notebooks only.
        runtime: `weights`, the file of the network's weights, `cache`, `allow_download` and
            `allow_code`, as for `headstart.Classifier`.

    Returns:
        By how much the file differs, on which images.

    Raises:
        DifferingFileError: The differences are too large; the file was not kept.
        MissingExtraError: A library that writes or runs the file is not installed.
        UserError: The model has a part that cannot be exported, or `out` is another file.

    Example:
        >>> import headstart
        >>> proof = headstart.export("model", "model.onnx", "photos/", check=4)
        >>> proof.holds
        True
    """
    from headstart.exporting.check_images import check_images
    from headstart.exporting.export import ExportSettings, check_target, export_model

    out = Path(out)
    settings = ExportSettings.for_file(
        out,
        format=enum_member(Format, format, "format") if format else None,
        input=enum_member(InputForm, input, "input") if input else None,
        weights=enum_member(Weights, storage, "storage"),
        tolerance=tolerance,
    )
    check_target(out, settings.format)
    trained, extractor = open_model_extractor(model, precision=Precision.FLOAT32, **runtime)
    with progress(verbose=verbose) as bars:
        dataset = open_data(data, bars, cache=runtime.get("cache"), require_classes=1)
        dataset = dataset.training_images() or dataset
        proof = export_model(
            trained,
            extractor,
            out,
            settings,
            check_images(dataset.paths, check),
            progress=bars.bar("checking", "images"),
        )
    give_warnings([*extractor.warnings, *proof.remarks(trained)])
    return proof


def verify(
    file: str | Path,
    data: Data,
    *,
    model: TrainedModel | None = None,
    tolerance: float = TOLERANCE,
    verbose: bool | None = None,
    **runtime: Any,
) -> Verification:
    """Check again that an exported file answers as its model does.

    Args:
        file: A file that `headstart.export` wrote. One for PyTorch may run code when it is opened.
        data: Images; without a `model`, those of the table beside the file are used.
        model: The model that the file was made from; with it, the accuracy of both is measured on
            the images that are not its training images.
        tolerance: By how much a probability may differ, in [0, 1].
        verbose: Whether to show progress; None does so in terminals and notebooks only.
        runtime: As for `headstart.export`.

    Returns:
        By how much the file differs, and the accuracies.

    Raises:
        UserError: The file was not exported by headstart, or from another model, or no image can
            be compared.

    Example:
        >>> import headstart
        >>> _ = headstart.export("model", "model.onnx", "photos/", check=4)
        >>> headstart.verify("model.onnx", "photos/").proof.holds
        True
    """
    from headstart.exporting.exported_file import open_exported
    from headstart.exporting.verification import verify_with_model, verify_with_record

    file = Path(file)
    opened = open_exported(file)
    with progress(verbose=verbose) as bars:
        dataset = open_data(data, bars, cache=runtime.get("cache"), require_classes=1)
        bar = bars.bar("checking", "images")
        if model is None:
            return verify_with_record(
                opened, file, dataset.paths, tolerance=tolerance, progress=bar
            )
        trained, extractor = open_model_extractor(model, precision=Precision.FLOAT32, **runtime)
        return verify_with_model(
            opened, dataset.test_images(), trained, extractor, tolerance=tolerance, progress=bar
        )
