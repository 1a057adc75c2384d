"""Copy a few images of a data set, so that there is something to predict."""

import shutil
import sys
from pathlib import Path

from headstart.datasets import open_dataset


def main(name: str, folder: Path, per_class: int = 3) -> None:
    """Copy the first images of each class."""
    dataset = open_dataset(name)
    folder.mkdir(parents=True)
    for label, class_name in enumerate(dataset.classes):
        paths = [p for p, y in zip(dataset.paths, dataset.labels, strict=True) if y == label]
        for path in paths[:per_class]:
            shutil.copy(path, folder / f"{class_name}-{path.name}")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
