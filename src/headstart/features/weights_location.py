"""Where a file of weights is on this machine, recorded in its cache by the digest of the weights.

A model names the weights that it needs by their digest, not by a path, since it may be shared.
"""

import contextlib
import json
from pathlib import Path
from typing import Final

from headstart.errors import HeadstartError
from headstart.system.cache_folder import cache_folder
from headstart.system.files import atomic_write, read_regular

_KIND: Final = "index"
_LIMIT: Final = 2**16


def save_weights_location(root: Path | None, digest: str, file: Path) -> None:
    """Record where weights are; does nothing if the cache cannot be written."""
    if root is not None:
        with contextlib.suppress(OSError, HeadstartError):
            cache_folder(root, _KIND)
            note = json.dumps({"file": str(file.resolve())}).encode()
            atomic_write(_note(root, digest), note, private=True)


def find_weights_location(root: Path | None, digest: str) -> Path | None:
    """Return where weights were on this machine; None if that is not known, or they are gone."""
    if root is None:
        return None
    try:
        file = Path(json.loads(read_regular(_note(root, digest), limit=_LIMIT, own=True))["file"])
        return file if file.is_file() else None
    except (OSError, ValueError, TypeError, LookupError):
        return None


def _note(root: Path, digest: str) -> Path:
    return root / _KIND / f"weights-{digest}.json"
