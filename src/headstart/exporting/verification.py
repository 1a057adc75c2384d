"""Check an exported file again: later, elsewhere, on other images, with or without its model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headstart.datasets import ImageDataset
from headstart.datasets.class_names import spelled_as
from headstart.errors import UserError
from headstart.exporting.check_images import CheckImage
from headstart.exporting.exported_file import ExportedFile
from headstart.exporting.file_format import TOLERANCE
from headstart.exporting.proof import (
    Expected,
    Proof,
    prove,
    prove_model,
    read_record,
    record_beside,
)
from headstart.features.extractor import Extractor
from headstart.models.trained_model import AccuracyEstimate, Model
from headstart.system.digests import bytes_digest
from headstart.types import EstimateMethod, ProgressCallback, no_progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What a check of an exported file found.

    Attributes:
        proof: How its answers differ.
        accuracy: Accuracy of the file on images that did not train the model; None if the model is
            not given, or there is none.
        model_accuracy: Accuracy of the model on the same images.
    """

    proof: Proof
    accuracy: AccuracyEstimate | None = None
    model_accuracy: AccuracyEstimate | None = None


def verify_with_model(
    file: ExportedFile,
    dataset: ImageDataset,
    model: Model,
    extractor: Extractor,
    *,
    tolerance: float = TOLERANCE,
    progress: ProgressCallback = no_progress,
) -> Verification:
    """Compare a file with the model that it was made from, on labeled images.

    Args:
        file: The file.
        dataset: The images.
        model: The model.
        extractor: Runs its networks in float32.
        tolerance: By how much a probability may differ.
        progress: Called with (done, total) images.

    Raises:
        UserError: The file is that of another model, or no image can be used.
    """
    if file.description.classes != model.classes:
        raise UserError(
            f"the file knows {len(file.description.classes)} classes, which are not those of the "
            "model; give the model that it was exported from"
        )
    proof = prove_model(
        file,
        [CheckImage(str(path)) for path in dataset.paths],
        model,
        extractor,
        tolerance=tolerance,
        progress=progress,
    )
    names = dataset.rename_classes(spelled_as(dataset.classes, model.classes).__getitem__)
    labels = {
        str(path): names.classes[label]
        for path, label in zip(names.paths, names.labels.tolist(), strict=True)
    }
    seen = model.data.contains(tuple(one.digest for one in proof.images))
    new = [
        one
        for one, trained in zip(proof.images, seen.tolist(), strict=True)
        if not trained and labels[one.image] in model.classes
    ]
    if not new:
        return Verification(proof=proof)
    return Verification(
        proof=proof,
        accuracy=_accuracy([one.file_label == labels[one.image] for one in new]),
        model_accuracy=_accuracy([one.label == labels[one.image] for one in new]),
    )


def verify_with_record(
    file: ExportedFile,
    path: Path,
    images: Sequence[Path],
    *,
    tolerance: float = TOLERANCE,
    progress: ProgressCallback = no_progress,
) -> Verification:
    """Compare a file with the table of its proof, on those of the images that are in it.

    Args:
        file: The file.
        path: Where it is.
        images: Among others, images of the proof, wherever they are now.
        tolerance: By how much the probability of a label may differ.
        progress: Called with (done, total) images.

    Raises:
        UserError: There is no table beside the file, it is that of another file, or it has none of
            the images.
    """
    table = record_beside(path)
    recorded = read_record(table)
    if unknown := {one.label for one in recorded.values()} - {*file.description.classes}:
        raise UserError(
            f"{table} is the table of another file: {min(unknown)!r} is not a class of {path}; "
            "export the model again, or give it to compare with it instead"
        )

    def expected(contents: Sequence[bytes]) -> list[Expected | None]:
        return [recorded.get(bytes_digest(one)) for one in contents]

    try:
        proof = prove(
            file,
            [CheckImage(str(image)) for image in images],
            expected,
            tolerance=tolerance,
            progress=progress,
        )
    except UserError as error:
        raise UserError(
            f"none of the {len(images)} images is in {table.name}, which says what is "
            "expected; give the images of the proof, or the model to compare with"
        ) from error
    return Verification(proof=proof)


def _accuracy(correct: Sequence[bool]) -> AccuracyEstimate:
    return AccuracyEstimate.of(np.array(correct), EstimateMethod.HELD_OUT)
