"""Where the images of a model were found, noted beside the cache.

A model says what its training files contained and not where they lay: it may be given away. On
the machine that fitted it, `headstart finetune MODEL` finds them by this note.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from headstart.errors import HeadstartError
from headstart.models.trained_model import TrainingData
from headstart.system.cache_folder import cache_folder
from headstart.system.digests import bytes_digest
from headstart.system.files import write_file

_KIND = "index"


@dataclass(frozen=True, slots=True, kw_only=True)
class DataLocation:
    """How a data set was named, in the words of the command line.

    Attributes:
        data: a folder, table or archive by its absolute path, or the name of a known data set.
        image_column: of a table.
        label_column: of a table.
        classes_from: what of a folder's path names the class.
        holdout: share of the images that was kept aside.
        seed: that chose them.
    """

    data: str
    image_column: str | None
    label_column: str | None
    classes_from: str
    holdout: float
    seed: int


def remember_source(root: Path, data: TrainingData, source: DataLocation) -> None:
    """Note where the images of a model are; where that cannot be written, nothing is lost."""
    with contextlib.suppress(OSError, HeadstartError):
        cache_folder(root, _KIND)
        write_file(_note(root, data), json.dumps(asdict(source)).encode())


def known_source(root: Path, data: TrainingData) -> DataLocation | None:
    """Where the images of a model were found on this machine; None if nothing was noted."""
    try:
        return DataLocation(**json.loads(_note(root, data).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _note(root: Path, data: TrainingData) -> Path:
    return root / _KIND / f"source-{bytes_digest(data.digests.tobytes())}.json"
