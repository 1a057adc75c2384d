"""The files of a saved model, and how they are replaced while other processes read or write them.

The arrays are named by their content, and the manifest names them, so a model is replaced in one
step: when its manifest is. After an interruption the folder contains the old model or the new one.
"""

import json
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from headstart.errors import HeadstartError, SavedModelError
from headstart.system.digests import bytes_digest
from headstart.system.files import (
    atomic_write,
    check_writable,
    is_temporary,
    locked,
    open_regular,
    read_regular,
    remove_stale_files,
)
from headstart.system.text import shortened

MANIFEST, CARD = "model.json", "README.md"
FORMAT: Final = "headstart model"
"""The entry "format" of a manifest; other tools write a model.json, too."""
ARRAYS: Final = re.compile(r"model-[0-9a-f]{16}\.safetensors")
_MAX_MANIFEST: Final = 64 * 2**20
_MAX_ARRAYS: Final = 4 * 2**30
_MAX_HEADER: Final = 16 * 2**20
_GRACE: Final = 60.0
"""Seconds for which arrays without a manifest are kept: another process may be about to write it,
or still be reading the manifest that named them."""


def arrays_name(content: bytes) -> str:
    """Return the file name of arrays, which their content determines."""
    return f"model-{bytes_digest(content)[:16]}.safetensors"


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """The folder of a saved model."""

    path: Path

    def check_target(self, *, force: bool = False) -> None:
        """Check that a model can be written here, before any work is done.

        With `force`, the folder may contain other files, of which those are replaced that have the
        name of a model's file.

        Raises:
            SavedModelError: This is a file, or contains other files but no model.
            UserError: It cannot be created or written.
        """
        for place in (self.path, *self.path.parents):
            if place.is_file():
                raise SavedModelError(f"{place} is a file; choose a folder for the model")
        check_writable(self.path)
        if not force and self.path.is_dir() and not self._is_ours():
            raise SavedModelError(
                f"{self.path} contains files but no model; choose a new folder for the model"
            )

    def _is_ours(self) -> bool:
        """Whether there is a model, which may be damaged, or nothing but the start of one."""
        # In this order: another process may write its first model here between the two.
        if all(is_temporary(path) or ARRAYS.fullmatch(path.name) for path in self.path.iterdir()):
            return True
        try:
            content = read_regular(self.path / MANIFEST, limit=_MAX_MANIFEST)
        except OSError:
            return False
        return f'"{FORMAT}"'.encode() in content

    def write(self, *, arrays: bytes, manifest: str, card: str, force: bool = False) -> None:
        """Write a model, replacing a model here; other files are left alone.

        `force` is as in `check_target`.

        Raises:
            SavedModelError: The folder contains other files but no model.
            HeadstartError: It cannot be written.
        """
        self.check_target(force=force)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with locked(self.path):
                atomic_write(self.path / arrays_name(arrays), arrays, durable=True)
                atomic_write(self.path / MANIFEST, manifest.encode(), durable=True)
                atomic_write(self.path / CARD, card.encode())
                self._remove_old(arrays_name(arrays))
        except OSError as error:
            raise HeadstartError(
                f"cannot write the model to {self.path}: {error.strerror or error}; choose another "
                "folder"
            ) from error

    def _remove_old(self, current: str) -> None:
        remove_stale_files(self.path)
        for path in self.path.iterdir():
            old = ARRAYS.fullmatch(path.name) and path.name != current
            if old and time.time() - path.lstat().st_mtime > _GRACE:
                path.unlink(missing_ok=True)

    def read_manifest(self) -> bytes:
        """Return the content of the manifest.

        Raises:
            SavedModelError: There is none, or it cannot be read.
        """
        path = self.path / MANIFEST
        try:
            return read_regular(path, limit=_MAX_MANIFEST)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
            what = f"contains no {MANIFEST}" if self.path.is_dir() else "is not a folder"
            raise SavedModelError(
                f"{self.path} {what}; give the folder that 'headstart fit DATA --out MODEL' wrote"
            ) from error
        except OSError as error:
            raise _unreadable(path, error) from error

    def read_arrays(self, name: str) -> dict[str, np.ndarray]:
        """Return the arrays in the file that a manifest names.

        Raises:
            FileNotFoundError: There is no such file; another process may have replaced the model.
            SavedModelError: The file is damaged, or cannot be read.
        """
        path = self.path / name
        try:
            with open_regular(path) as file:
                size = os.fstat(file.fileno()).st_size
                # A file that is larger than it says is not read into memory.
                whole = size == _declared_size(file) <= _MAX_ARRAYS
                content = file.read(size) if whole else b""
        except FileNotFoundError:
            raise
        except OSError as error:
            raise _unreadable(path, error) from error
        if name != arrays_name(content):
            raise SavedModelError(
                f"{path} is damaged: its content has changed; copy or fit the model again"
            )
        try:
            arrays: dict[str, np.ndarray] = load(content)
        except (LookupError, SafetensorError) as error:
            raise SavedModelError(
                f"{path} is damaged ({shortened(str(error), 200)}); copy or fit the model again"
            ) from error
        return arrays


def _declared_size(file: BinaryIO) -> int:
    """Return the size of a safetensors file by its header, and go back to its start; 0 if wrong."""
    length = int.from_bytes(file.read(8), "little")
    try:
        header = json.loads(file.read(min(length, _MAX_HEADER)))
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name[:2] != "__"]
        end = max(ends, default=0)
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError):
        return 0
    file.seek(0)
    return 8 + length + end if isinstance(end, int) else 0


def _unreadable(path: Path, error: OSError) -> SavedModelError:
    """Return the error for a model that may be intact, so fitting it again would not help."""
    advice = "make it readable" if isinstance(error, PermissionError) else "copy the model again"
    return SavedModelError(f"cannot read {path}: {error.strerror or error}; {advice}")
