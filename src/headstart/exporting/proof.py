"""The proof that a file answers as `headstart predict` does: image by image."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import ROUND_CEILING, Context
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np

from headstart.errors import UnreadableImageError, UserError
from headstart.exporting.check_images import CheckImage
from headstart.exporting.exported_file import ExportedFile, FileAnswer
from headstart.exporting.file_format import TOLERANCE
from headstart.features.extractor import Extractor
from headstart.images.decode import decode
from headstart.models.online_prediction import OnlinePredictor, PreparedImage
from headstart.models.trained_model import Model
from headstart.system.digests import bytes_digest
from headstart.system.files import atomic_write
from headstart.system.serialization import csv_text
from headstart.types import Floats, ProgressCallback, no_progress

_TOGETHER: Final = 8
"""Images that are predicted together, as engines do."""
_COLUMNS: Final = (
    *("image", "digest", "width", "height", "label", "probability", "novelty"),
    *("file_label", "file_probability", "file_novelty", "difference", "agrees"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What `headstart predict` says of an image.

    Attributes:
        label: Name of the most probable class.
        probability: Its probability.
        novelty: The p-value of its novelty; None if the model cannot tell.
        probabilities: (K,) of all classes; None if only that of the label is known.
    """

    label: str
    probability: float
    novelty: float | None
    probabilities: Floats | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedImage:
    """The two answers for an image.

    Attributes:
        image: Its path, or what is odd about a generated one.
        digest: Digest of its file, 32 hex digits.
        width: In pixels.
        height: In pixels.
        label: What `headstart predict` says.
        probability: The probability of that label.
        novelty: The p-value of its novelty; None if the model cannot tell.
        file_label: What the file says.
        file_probability: The probability of that label in the file.
        file_novelty: The p-value in the file.
        difference: The largest difference of a probability that is known.
        gap: How much less probable than its own label `headstart predict` finds the file's.
    """

    image: str
    digest: str
    width: int
    height: int
    label: str
    probability: float
    novelty: float | None
    file_label: str
    file_probability: float
    file_novelty: float | None
    difference: float
    gap: float

    def agrees(self, tolerance: float) -> bool:
        """Whether no probability differs by more, and no label unless both are almost tied."""
        return self.difference <= tolerance and self.gap <= tolerance


def rounded_up(difference: float) -> str:
    """Return a difference as text, rounded up to three digits: as a tolerance, it would hold."""
    digits = Context(prec=3, rounding=ROUND_CEILING).create_decimal_from_float(difference)
    return f"{float(digits):g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """How a file's answers differ from those of `headstart predict`.

    Attributes:
        images: The images that it was checked on.
        tolerance: What is accepted.
        runtime: What ran the file.
    """

    images: tuple[CheckedImage, ...]
    tolerance: float
    runtime: str

    def __repr__(self) -> str:
        return (
            f"<Proof: {self.equal_labels:,} of {len(self.images):,} labels equal, probabilities "
            f"differ by at most {rounded_up(self.quantile(1))}>"
        )

    @property
    def differing(self) -> tuple[CheckedImage, ...]:
        """The images on which the file is not accepted, the worst first."""
        found = [one for one in self.images if not one.agrees(self.tolerance)]
        return tuple(sorted(found, key=lambda one: -max(one.difference, one.gap)))

    @property
    def holds(self) -> bool:
        """Whether the file is accepted."""
        return not self.differing

    @property
    def equal_labels(self) -> int:
        """Number of images with the same label."""
        return sum(one.label == one.file_label for one in self.images)

    def remarks(self, model: Model) -> list[str]:
        """Return warnings for the user about what the file of a model was checked on."""
        if model.data.contains(tuple(one.digest for one in self.images)).any():
            return []
        text = (
            "none of the images was among the training images of the model, so the file is not "
            "checked on images like those that it is for; give the training images"
        )
        return [text]

    def quantile(self, share: float) -> float:
        """Return the difference that this share of the images does not exceed."""
        return float(np.quantile([one.difference for one in self.images], share))

    def as_dict(self) -> dict[str, object]:
        """Return the summary as it is printed as JSON."""
        return {
            "images": len(self.images),
            "equal_labels": self.equal_labels,
            "largest_difference": self.quantile(1),
            "difference_p99": self.quantile(0.99),
            "tolerance": self.tolerance,
            "runtime": self.runtime,
            "holds": self.holds,
            "differing": [one.image for one in self.differing],
        }


def prove(
    file: ExportedFile,
    images: Sequence[CheckImage],
    expected: Callable[[Sequence[bytes]], Sequence[Expected | None]],
    *,
    tolerance: float = TOLERANCE,
    progress: ProgressCallback = no_progress,
) -> Proof:
    """Compare a file with what is expected of it.

    Args:
        file: The file, as the library opens it that will run it.
        images: What it is checked on; those that cannot be read are left out.
        expected: Gives what is expected for images by the contents of their files; None for those
            that are left out.
        tolerance: By how much a probability may differ.
        progress: Called with (done, total) images.

    Raises:
        UserError: There is no image to check it on.
    """
    checked: list[CheckedImage] = []
    done, pending = 0, iter(images)
    while some := list(islice(pending, _TOGETHER)):
        contents = dict(_read(some))
        wanted = expected(list(contents.values()))
        for (image, content), one in zip(contents.items(), wanted, strict=True):
            with suppress(UnreadableImageError):
                if one is not None:
                    checked.append(_compared(image, content, one, file))
        done += len(some)
        progress(done, len(images))
    if not checked:
        raise UserError("none of the images can be used to check the file; give others")
    return Proof(images=tuple(checked), tolerance=tolerance, runtime=file.runtime)


def prove_model(
    file: ExportedFile,
    images: Sequence[CheckImage],
    model: Model,
    extractor: Extractor,
    *,
    tolerance: float = TOLERANCE,
    progress: ProgressCallback = no_progress,
) -> Proof:
    """Compare a file with a model; for the arguments see `prove`.

    Args:
        file: The file.
        images: What it is checked on.
        model: The model.
        extractor: Runs its networks.
        tolerance: By how much a probability may differ.
        progress: Called with (done, total) images.

    Raises:
        UserError: There is no image to check it on.
    """
    predictor = OnlinePredictor(model, extractor)
    return prove(
        file,
        images,
        lambda contents: _predicted(predictor, model.classes, contents),
        tolerance=tolerance,
        progress=progress,
    )


def _read(images: Iterable[CheckImage]) -> Iterator[tuple[CheckImage, bytes]]:
    for image in images:
        with suppress(UnreadableImageError):
            yield image, image.read()


def _predicted(
    predictor: OnlinePredictor, classes: Sequence[str], contents: Sequence[bytes]
) -> list[Expected | None]:
    """Return what `headstart predict` says of images; None for those that cannot be read."""
    prepared: list[PreparedImage | None] = []
    for content in contents:
        try:
            prepared.append(predictor.prepare(content))
        except UnreadableImageError:
            prepared.append(None)
    usable = [one for one in prepared if one is not None]
    if not usable:
        return [None] * len(contents)
    found = predictor.predict(usable)
    novelty = [None] * len(usable) if found.novelty is None else found.novelty.tolist()
    answers = iter(zip(found.probabilities, novelty, strict=True))
    return [None if one is None else _expected(classes, *next(answers)) for one in prepared]


def _expected(classes: Sequence[str], p: Floats, novelty: float | None) -> Expected:
    best = int(p.argmax())
    return Expected(
        label=classes[best], probability=float(p[best]), novelty=novelty, probabilities=p
    )


def _compared(
    image: CheckImage, content: bytes, wanted: Expected, file: ExportedFile
) -> CheckedImage:
    pixels = np.asarray(decode(content))
    answer: FileAnswer = file.predict(pixels)
    classes, p = file.description.classes, answer.probabilities
    own = p[classes.index(wanted.label)]
    if wanted.probabilities is None:
        difference, gap = abs(float(own) - wanted.probability), float(p[answer.label] - own)
    else:
        difference = float(np.abs(p - wanted.probabilities).max())
        gap = wanted.probability - float(wanted.probabilities[answer.label])
    return CheckedImage(
        image=image.name,
        digest=bytes_digest(content),
        width=pixels.shape[1],
        height=pixels.shape[0],
        label=wanted.label,
        probability=wanted.probability,
        novelty=wanted.novelty,
        file_label=classes[answer.label],
        file_probability=float(p[answer.label]),
        file_novelty=answer.novelty,
        difference=difference,
        gap=gap,
    )


def record_beside(file: Path) -> Path:
    """Return the table of the proof of a file."""
    return file.with_name(f"{file.name}.check.csv")


def refused_record(file: Path) -> Path:
    """Return the table of the proof of a file that was not kept."""
    return file.with_name(f"{file.name}.refused.csv")


def is_record(path: Path) -> bool:
    """Whether a file is the table of a proof, by its first line."""
    first = csv_text([_COLUMNS]).encode()
    if not path.is_file():
        return False
    with path.open("rb") as table:
        return table.read(len(first)) == first


def write_record(proof: Proof, path: Path) -> None:
    """Write the table of a proof.

    Raises:
        HeadstartError: It cannot be written.
    """
    rows = [
        [
            *(getattr(one, name) for name in _COLUMNS[:-1]),
            "yes" if one.agrees(proof.tolerance) else "no",
        ]
        for one in proof.images
    ]
    cells = [["" if cell is None else cell for cell in row] for row in rows]
    atomic_write(path, csv_text([_COLUMNS, *cells]).encode(errors="surrogateescape"))


def read_record(path: Path) -> dict[str, Expected]:
    """Read what was expected of images, by the digests of their files, from the table of a proof.

    Raises:
        UserError: It is missing or damaged.
    """
    try:
        with path.open(encoding="utf-8", errors="surrogateescape", newline="") as table:
            return dict(_recorded(table))
    except FileNotFoundError as error:
        raise UserError(
            f"there is no {path.name} beside the file, which says what is expected of it; give the "
            "model to compare with it instead"
        ) from error
    except (OSError, LookupError, ValueError) as error:
        raise UserError(
            f"{path} cannot be read ({error}); give the model to compare with it instead"
        ) from error


def _recorded(table: Iterable[str]) -> Iterator[tuple[str, Expected]]:
    for row in csv.DictReader(table):
        novelty = row["novelty"]
        yield (
            row["digest"],
            Expected(
                label=row["label"],
                probability=float(row["probability"]),
                novelty=float(novelty) if novelty else None,
            ),
        )
