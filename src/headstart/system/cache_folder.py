"""The folder of what headstart keeps between runs: where it is, and the mark on its parts.

Everything in it can be made again, so it may be deleted at any time. Each kind of content has a
subfolder, marked as headstart's own by a CACHEDIR.TAG (https://bford.info/cachedir/), which also
keeps it out of backups. The mark is what lets clearing be safe: whoever points HEADSTART_CACHE at
a folder that has a "datasets" of its own does not lose it.
"""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path

import platformdirs

from headstart.system.files import TEMPORARY

KINDS = ("features", "activations", "choices", "archives", "datasets", "index", "fonts")
"""The subfolders: features, activations, selected stages, unpacked archives, named data sets, the
`PathIndex`, and matplotlib's list of fonts."""
TAG = "CACHEDIR.TAG"
_MARK = """Signature: 8a477f597d28d172789f06886806bc55
# Made by headstart, which can make all of this again: `headstart cache --clear` removes it.
"""


def cache_root(chosen: Path | None = None) -> Path:
    """The cache folder: the one chosen, else $HEADSTART_CACHE, else the platform's place.

    It need not exist: those who write create it.
    """
    if chosen is not None:
        return chosen.expanduser()
    if named := os.environ.get("HEADSTART_CACHE"):
        return Path(named).expanduser()
    return platformdirs.user_cache_path("headstart", appauthor=False)


def cache_folder(root: Path, kind: str) -> Path:
    """Gives the subfolder for one of `KINDS`, created and marked if need be.

    Whoever writes to the cache gets the folder here: an unmarked one is never counted nor cleared.

    Raises:
        OSError: it cannot be created.
    """
    folder = root / kind
    if not folder.is_dir():
        # Born elsewhere and moved, so that no kill can leave it without its mark.
        newborn = root / f"{kind}.{secrets.token_hex(8)}{TEMPORARY}"
        newborn.mkdir(parents=True)
        try:
            (newborn / TAG).write_text(_MARK, encoding="utf-8")
            newborn.rename(folder)
        except OSError:
            shutil.rmtree(newborn, ignore_errors=True)
            if not folder.is_dir():  # else another process was quicker
                raise
    return folder


def is_ours(folder: Path) -> bool:
    """Whether `cache_folder` made it. A link to elsewhere is the user's, wherever it leads."""
    try:
        mark = (folder / TAG).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False
    return mark == _MARK and not folder.is_symlink()
