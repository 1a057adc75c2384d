"""Where a model's training images are, recorded in the cache of the machine that trained it.

A model records the digests of its training files but not their paths, since it may be shared.
`headstart finetune MODEL` finds the files by this note.
"""

import contextlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from headstart.errors import HeadstartError
from headstart.models.trained_model import TrainingData
from headstart.system.cache_folder import cache_folder
from headstart.system.digests import bytes_digest
from headstart.system.files import atomic_write, read_regular

_KIND = "index"


@dataclass(frozen=True, slots=True, kw_only=True)
class DataLocation:
    """How a data set was specified on the command line.

    Attributes:
        data: Absolute path of a folder, table or archive, or the name of a known data set.
        image_column: The table's column of image files; None to detect it.
        label_column: The table's column of labels; None to detect it.
        group_by: What the images were grouped by; None to find series in them.
        classes_from: Which part of nested folders names the class, a `ClassLevel`.
        holdout: Share of the images that was held out, in [0, 1).
        seed: Random seed of that share.
        review: Absolute path of the reviewed audit that was applied; None without one.
        image_folder: Absolute path that the table's file names are relative to; None for its own.
        image_suffix: What was added to the table's names; None for nothing.
    """

    data: str
    image_column: str | None
    label_column: str | None
    classes_from: str
    group_by: str | None
    holdout: float
    seed: int
    review: str | None = None
    image_folder: str | None = None
    image_suffix: str | None = None


def save_data_location(root: Path, data: TrainingData, location: DataLocation) -> None:
    """Record where a model's images are; does nothing if the cache cannot be written."""
    with contextlib.suppress(OSError, HeadstartError):
        cache_folder(root, _KIND)
        atomic_write(_note(root, data), json.dumps(asdict(location)).encode(), private=True)


def find_data_location(root: Path, data: TrainingData) -> DataLocation | None:
    """Return where the images of a model were on this machine; None if that is not known."""
    try:
        return DataLocation(**json.loads(read_regular(_note(root, data), limit=2**20, own=True)))
    except (OSError, ValueError, TypeError):
        return None


def _note(root: Path, data: TrainingData) -> Path:
    return root / _KIND / f"source-{bytes_digest(data.digests.tobytes())}.json"
