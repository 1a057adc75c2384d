"""Copy a few of the images that a model was tested on, as examples for `headstart predict`.

python examples/some_images.py evaluation/predictions.csv FOLDER
"""

import csv
import shutil
import sys
from collections import Counter
from pathlib import Path

PER_CLASS = 3


def main(predictions: Path, folder: Path) -> None:
    """Copy the first tested images of each class, and name them after their class."""
    folder.mkdir(parents=True)
    copied: Counter[str] = Counter()
    with predictions.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            copied[row["truth"]] += 1
            if copied[row["truth"]] <= PER_CLASS:
                image = Path(row["path"])
                shutil.copy(image, folder / f"{row['truth']}-{image.name}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
