"""Exported files against `headstart predict`, on the test parts of data sets.

Trains a model on the part `train` of each data set, exports it, and compares what the files answer
for the part `test` with the predictions in float32:

    python -m benchmarks.exported_files FOLDER_OF_SETS [--sets NAME ...] [--quality best]
"""

import argparse
import tempfile
from pathlib import Path

from headstart.cli.app import run
from headstart.datasets import open_dataset
from headstart.exporting.check_images import of_every_shape
from headstart.exporting.export import DifferingFileError, ExportSettings, export_model
from headstart.exporting.exported_file import open_exported
from headstart.exporting.file_format import Format, Weights
from headstart.exporting.proof import TOLERANCE, Proof
from headstart.exporting.verification import verify_with_model
from headstart.models.model_backbone import build_model_extractor
from headstart.models.saved_model import load_model
from headstart.types import Precision, Split

SETS = ("cats-dogs", "ants-bees", "pets", "satellite", "leaves", "mnist")
CHECKED = 50
"""Training images that a file is checked on before: the test images are what counts here."""
KINDS = (
    (Format.ONNX, Weights.FLOAT32),
    (Format.OPENVINO, Weights.FLOAT32),
    (Format.ONNX, Weights.HALF),
    (Format.ONNX, Weights.INT8),
)


def measure(data: Path, quality: str, folder: Path) -> None:
    """Print a row of a table for each kind of file."""
    source = folder / data.name
    code = run(["fit", str(data / "train"), "--quality", quality, "--out", str(source)])
    assert code == 0, data
    model = load_model(source)
    extractor = build_model_extractor(model, precision=Precision.FLOAT32)
    training = open_dataset(str(data / "train"), require_classes=2)
    whole = open_dataset(str(data), require_classes=2)
    for kind, weights in KINDS:
        out = folder / f"{data.name}-{weights}{kind.suffix}"
        # Everything is accepted, to see how much it would differ.
        settings = ExportSettings(format=kind, weights=weights, tolerance=1.0)
        images = of_every_shape(training.paths, CHECKED)
        try:
            export_model(model, extractor, out, settings, images)
        except DifferingFileError as error:
            print(f"| {data.name} | {kind}, {weights} | {error} |")
            continue
        found = verify_with_model(
            open_exported(out), whole.in_split(Split.TEST), model, extractor, tolerance=TOLERANCE
        )
        size = out.stat().st_size
        if kind is Format.OPENVINO:
            size += out.with_suffix(".bin").stat().st_size
        assert found.accuracy is not None
        assert found.model_accuracy is not None
        cells = [data.name, f"{kind}, {weights}", f"{size / 1e6:.1f}", *_cells(found.proof)]
        accuracies = f"{found.model_accuracy.value:.4f} | {found.accuracy.value:.4f}"
        print(f"| {' | '.join(cells)} | {accuracies} |", flush=True)


def _cells(proof: Proof) -> list[str]:
    images = len(proof.images)
    within = sum(one.difference <= TOLERANCE for one in proof.images)
    return [
        str(images),
        f"{proof.equal_labels / images:.4f}",
        f"{within / images:.4f}",
        f"{proof.quantile(0.99):.4f}",
        f"{proof.quantile(1):.4f}",
    ]


def main() -> None:
    """Measure all sets."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--quality", default="fast")
    arguments = parser.parse_args()
    print("| set | file | MB | test images | labels equal | within 0.02 | p99 | largest |", end="")
    print(" accuracy | of the file |\n|---|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.sets:
            measure(arguments.folder / name, arguments.quality, Path(folder))


if __name__ == "__main__":
    main()
