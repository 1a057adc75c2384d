"""Write a model to a file, and accept it only if it answers as `headstart predict` does."""

from __future__ import annotations

import mmap
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Self

from headstart.errors import (
    DataError,
    HeadstartError,
    MissingExtraError,
    UserError,
)
from headstart.exporting.check_images import CheckImage
from headstart.exporting.description import MARK, FileDescription
from headstart.exporting.exported_file import open_exported
from headstart.exporting.file_format import TOLERANCE, Format, InputForm, Weights
from headstart.exporting.proof import (
    Proof,
    is_record,
    prove_model,
    record_beside,
    refused_record,
    rounded_up,
    write_record,
)
from headstart.features.extractor import Extractor
from headstart.models.trained_model import Model
from headstart.system.files import TEMPORARY, check_writable
from headstart.types import ProgressCallback, no_progress


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportSettings:
    """What is written, and what is accepted.

    Attributes:
        format: The format of the file.
        input: What the file takes.
        weights: How it stores its weights.
        tolerance: Largest accepted difference of a probability; another label is accepted only if
            the model's own probabilities of both labels are this close.
    """

    format: Format
    input: InputForm = InputForm.IMAGE
    weights: Weights = Weights.FLOAT32
    tolerance: float = TOLERANCE

    @classmethod
    def for_file(
        cls,
        out: Path,
        *,
        format: Format | None = None,  # noqa: A002 - what the option is called
        input: InputForm | None = None,  # noqa: A002
        weights: Weights = Weights.FLOAT32,
        tolerance: float = TOLERANCE,
    ) -> Self:
        """Return settings, by default for the format that the ending of a file says.

        Raises:
            UserError: It is the ending of no format, or the settings do not fit one another.
        """
        kind = format or Format.of(out)
        form = input or InputForm.IMAGE
        found = cls(format=kind, input=form, weights=weights, tolerance=tolerance)
        found.check()
        return found

    def check(self) -> None:
        """Check that the settings fit one another.

        Raises:
            UserError: They do not.
        """
        if self.format is Format.TORCH and self.weights is not Weights.FLOAT32:
            raise UserError(
                f"files for PyTorch have weights of float32, not {self.weights}; choose another "
                "format for smaller ones: onnx or openvino"
            )


class DifferingFileError(HeadstartError):
    """The file does not answer as `headstart predict` does, so it was not kept.

    Attributes:
        proof: On which images it differs.
    """

    def __init__(self, message: str, proof: Proof) -> None:
        super().__init__(message)
        self.proof = proof


def export_model(
    model: Model,
    extractor: Extractor,
    out: Path,
    settings: ExportSettings,
    images: Sequence[CheckImage],
    *,
    force: bool = False,
    progress: ProgressCallback = no_progress,
) -> Proof:
    """Write a model to a file, and the table of differences beside it.

    Args:
        model: The model.
        extractor: Runs its networks in float32.
        out: The file; one that was exported before is replaced.
        settings: What is written.
        images: What the file is checked on.
        force: Whether to replace other files, too.
        progress: Called with (done, total) images.

    Raises:
        DifferingFileError: The file's answers are too different; it was not kept. The table is
            beside it, as NAME.refused.csv.
        UserError: Something in the model cannot be exported, or there is another file at `out`.
        MissingExtraError: A library that writes or runs the file is not installed.
    """
    settings.check()
    check_target(out, settings.format, force=force)
    description = FileDescription.of(model, extractor, settings.input, settings.weights)
    with _draft_folder(out) as folder:
        draft = folder / out.name
        _write(model, extractor, description, settings, draft)
        proof = prove_model(
            open_exported(draft),
            images,
            model,
            extractor,
            tolerance=settings.tolerance,
            progress=progress,
        )
        if not proof.holds:
            write_record(proof, refused_record(out))
            raise DifferingFileError(_refusal(proof, out, settings.weights), proof)
        write_record(proof, record_beside(draft))
        for part in sorted(folder.iterdir(), key=lambda one: one == draft):  # weights first
            part.replace(out.with_name(part.name))
        refused_record(out).unlink(missing_ok=True)
    return proof


def check_target(out: Path, kind: Format, *, force: bool = False) -> None:
    """Check that a file and what belongs to it can be written, before any work is done.

    With `force`, files that were not exported are replaced.

    Raises:
        UserError: Its name has another ending, its folder cannot be written, or there is a file
            in the place of one of them that was not exported.
    """
    if out.suffix.lower() != kind.suffix:
        raise UserError(f"{out} does not end in {kind.suffix}, as files for {kind} do; add it")
    check_writable(out.parent, out)
    if force and not out.is_dir():
        return
    if out.exists() and not _is_exported(out):
        raise DataError(f"{out} exists and is not an exported file; choose another name")
    parts = [out.with_suffix(".bin")] if kind is Format.OPENVINO and not out.exists() else []
    tables = [one for one in (record_beside(out), refused_record(out)) if not is_record(one)]
    for other in (*parts, *tables):
        if other.exists():
            raise DataError(
                f"{other} would be overwritten, and does not belong to an exported file; choose "
                f"another name than {out}"
            )


def _is_exported(file: Path) -> bool:
    if not file.is_file() or not file.stat().st_size:
        return False
    with (
        file.open("rb") as opened,
        mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content,
    ):
        return content.rfind(MARK.encode()) >= 0  # it is near the end; files may be gigabytes


def _write(
    model: Model,
    extractor: Extractor,
    description: FileDescription,
    settings: ExportSettings,
    draft: Path,
) -> None:
    if settings.format is Format.TORCH:
        from headstart.exporting.torch_program import write_program

        write_program(model, extractor, description, draft)
        return
    try:
        import onnx

        from headstart.exporting.onnx_graph import build_graph
        from headstart.exporting.smaller import with_smaller_weights
    except ImportError as error:
        raise MissingExtraError("exporting a model", extra="export") from error
    graph = build_graph(model, extractor, description)
    if settings.weights is not Weights.FLOAT32:
        graph = with_smaller_weights(graph, settings.weights)
    if settings.format is Format.ONNX:
        onnx.save(graph, draft)
        return
    import openvino

    from headstart.engines.openvino import openvino_core

    network = openvino_core().read_model(graph.SerializeToString())
    openvino.save_model(network, draft, compress_to_fp16=False)


@contextmanager
def _draft_folder(out: Path) -> Iterator[Path]:
    """Make a folder beside a file, from which moving is atomic, and remove it."""
    folder = out.parent / f".{secrets.token_hex(8)}{TEMPORARY}"
    try:
        folder.mkdir(parents=True)
        yield folder
    except OSError as error:
        raise HeadstartError(
            f"cannot write {out}: {error.strerror or error}; free some space or choose another "
            "folder"
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _refusal(proof: Proof, out: Path, weights: Weights) -> str:
    worst = proof.differing[0]
    label = (
        f"{worst.file_label} instead of {worst.label}"
        if worst.file_label != worst.label
        else f"{worst.label} with a probability that differs by {rounded_up(worst.difference)}"
    )
    needed = ceil(1000 * max(max(one.difference, one.gap) for one in proof.differing)) / 1000
    smaller = (
        ', or store weights in 16 bits with --half (in Python, storage="float16")'
        if weights is Weights.INT8
        else ""
    )
    return (
        f"the file answers differently on {len(proof.differing)} of {len(proof.images)} images, so "
        f"{out} was not written: {label} for {worst.image}; {refused_record(out)} has all of them. "
        f"To accept such differences, give --tolerance {needed:g} instead of {proof.tolerance:g}"
        f"{smaller}"
    )
