"""The documents of report, export and verify."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

from headstart.exporting.file_format import Format, InputForm, Weights
from headstart.exporting.proof import Proof
from headstart.models.trained_model import AccuracyEstimate


class ReportDocument(TypedDict):
    """The document of `headstart report --json`.

    Attributes:
        page: The file that was written.
        title: Title of the page.
        summary: The sentences at its top.
        sections: Titles of its sections.
    """

    page: Path
    title: str
    summary: Sequence[str]
    sections: Sequence[str]


class ExportDocument(TypedDict):
    """The document of `headstart export --json`.

    Attributes:
        file: The file that was written.
        format: Its format.
        input: What it takes.
        weights: How it stores the weights.
        bytes: Its size.
        check: How its answers differ from the model's.
        check_bf16: How they differ from what predict says on this processor; null where predict
            computes in float32.
        record: The table of all answers that were compared.
    """

    file: Path
    format: Format
    input: InputForm
    weights: Weights
    bytes: int
    check: Proof
    check_bf16: Proof | None
    record: Path


class VerifyDocument(TypedDict):
    """The document of `headstart verify --json`.

    Attributes:
        file: The file, as it was given.
        check: How its answers differ.
        accuracy: Its accuracy on images that did not train the model; null without `--model`.
        model_accuracy: That of the model on the same images.
    """

    file: Path
    check: Proof
    accuracy: AccuracyEstimate | None
    model_accuracy: AccuracyEstimate | None
