"""An immutable file of features: the feature store consists of such segments.

A segment is an ordinary safetensors file, so any tool can open it. It contains the digests of N
images, sorted, as (N, 16) uint8 under "digests", and one (N, width) float32 tensor per stage under
"stage:<name>". Its metadata contain a blake2b digest of every tensor, and the file is named by the
blake2b digest of its header. So the name verifies the header, the header verifies the tensors, and
each tensor can be verified alone: reading one stage of ten hashes a tenth of the file (blake2b does
0.9 GB/s). The bytes of a tensor are hashed before its first row is returned, once per process.

The metadata also contain a random number, so no name is ever used twice. That makes deleting safe:
a process about to delete a damaged or merged segment cannot hit one just written by another.
"""

import contextlib
import json
import os
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from headstart.system.digests import bytes_digest, hasher
from headstart.system.files import TEMPORARY, open_regular, set_mode, sync_folder
from headstart.types import Floats

Keys: TypeAlias = npt.NDArray[np.bytes_]
"""Image digests, 16 raw bytes each: (N,) of dtype "S16", which NumPy sorts and searches fast."""
Indices: TypeAlias = npt.NDArray[np.intp]

FORMAT = "headstart-features-1"
_NAME = re.compile(r"[0-9a-f]{32}\.safetensors")
_BLOCK = 4 << 20  # bytes read, hashed or written at once
_HEADER_LIMIT = 1 << 20  # a header takes about 200 bytes per stage


class DamagedSegmentError(Exception):
    """The bytes of a segment have changed. Handled inside the store."""


class ForeignSegmentError(Exception):
    """An intact segment of another format: neither read nor deleted. Handled inside the store."""


@dataclass(frozen=True, slots=True)
class _Tensor:
    begin: int  # bytes from the start of the file
    end: int
    shape: tuple[int, ...]
    digest: str


class Segment:
    """An opened segment, its header and digests verified: digests in memory, features on disk.

    Attributes:
        path: Path of the segment, named by the digest of its header.
        size: Size of the file in bytes.
        widths: Stage name -> number of features.
        keys: (N,) image digests, sorted, without duplicates.

    Raises:
        DamagedSegmentError: The bytes do not match the name.
        ForeignSegmentError: The file is intact, but of another format.
        OSError: The file cannot be read, or has vanished.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._verified: set[str] = set()
        with open_regular(path, own=True, buffering=0) as file:
            self._identity = _identity(file)
            self.size = self._identity[0]
            self._tensors = _read_header(file, path, self.size)
            self.widths = {
                name.removeprefix("stage:"): tensor.shape[1]
                for name, tensor in self._tensors.items()
                if name != "digests"
            }
            self._verify(file, "digests")
            raw = np.empty(self._tensors["digests"].shape, np.uint8)
            file.seek(self._tensors["digests"].begin)
            _fill(file, raw.reshape(-1).data, path)
        self.keys: Keys = raw.view("S16")[:, 0]

    @contextlib.contextmanager
    def open(self, stages: Iterable[str]) -> Iterator[BufferedReader]:
        """Open the file and verify the stages not verified yet; raises like the constructor."""
        with open_regular(self.path, own=True, buffering=0) as file:
            if _identity(file) != self._identity:
                self._verified.clear()  # modified since it was verified
            for stage in stages:
                self._verify(file, f"stage:{stage}")
            yield file

    def verify(self, stages: Iterable[str]) -> None:
        """Verify the stages not verified yet; raises like the constructor."""
        with self.open(stages):
            pass

    def copy_rows(
        self, file: BufferedReader, stage: str, rows: Indices, *, into: Floats, at: Indices
    ) -> None:
        """Copy rows into an array, a few MB at a time, reading only the spans that contain them.

        Args:
            file: Returned by `open`, which verified the stage.
            stage: Name of the stage.
            rows: (K,) rows of the stage's tensor in ascending order; repeats are allowed.
            into: (M, width) float32, filled in place.
            at: (K,) rows of `into` to copy to.
        """
        tensor, width = self._tensors[f"stage:{stage}"], self.widths[stage]
        span = _rows_per_block(width)
        done = 0
        while done < len(rows):
            first = int(rows[done])
            end = int(np.searchsorted(rows, first + span))
            block = np.empty((int(rows[end - 1]) + 1 - first, width), "<f4")
            file.seek(tensor.begin + 4 * width * first)
            _fill(file, block.view(np.uint8).reshape(-1).data, self.path)
            into[at[done:end]] = block[rows[done:end] - first]
            done = end

    def _verify(self, file: BufferedReader, name: str) -> None:
        if name in self._verified:
            return
        tensor = self._tensors[name]
        found, left = hasher(), tensor.end - tensor.begin
        buffer = memoryview(bytearray(min(_BLOCK, left)))
        file.seek(tensor.begin)
        while left:
            part = buffer[:left]
            _fill(file, part, self.path)
            found.update(part)
            left -= len(part)
        if found.hexdigest() != tensor.digest:
            raise DamagedSegmentError(self.path)
        self._verified.add(name)


def write_segment(
    folder: Path,
    keys: Keys,
    widths: Mapping[str, int],
    rows: Callable[[str, int, int], Floats],
) -> Path:
    """Write a segment, completely and on the disk itself or not at all, and return its path.

    The sizes are known, so a header without digests is written first and overwritten at the end,
    when the tensors have been written and hashed.

    Args:
        folder: An existing folder.
        keys: (N,) image digests, sorted, without duplicates.
        widths: Stage name -> number of features.
        rows: (stage, begin, end) -> (end - begin, width) float32; called in order.

    Raises:
        OSError: It cannot be written; nothing is left behind.
    """
    digests = dict.fromkeys(["digests", *(f"stage:{stage}" for stage in widths)], "0" * 32)
    nonce = secrets.token_hex(16)
    temporary = folder / f"{nonce}{TEMPORARY}"
    try:
        with temporary.open("xb") as file:
            set_mode(file, 0o644)  # see `headstart.system.cache_folder`
            file.write(_header(len(keys), widths, digests, nonce))
            file.write(keys.view(np.uint8).data)
            digests["digests"] = bytes_digest(keys.view(np.uint8).data)
            for stage, width in widths.items():
                found, step = hasher(), _rows_per_block(width)
                for begin in range(0, len(keys), step):
                    block = rows(stage, begin, min(begin + step, len(keys)))
                    raw = np.ascontiguousarray(block, "<f4").view(np.uint8).data
                    found.update(raw)
                    file.write(raw)
                digests[f"stage:{stage}"] = found.hexdigest()
            header = _header(len(keys), widths, digests, nonce)
            file.seek(0)
            file.write(header)
            file.flush()
            os.fsync(file.fileno())
        path = folder / f"{bytes_digest(header)}.safetensors"
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(folder)
    return path


def segment_names(folder: Path) -> frozenset[str]:
    """List the segments of a folder, until two lists in a row agree.

    A folder is not listed at one instant: during a compaction, one list could lack both the merged
    file (created too late) and the files that it replaces (deleted too early).
    """
    names: frozenset[str] = frozenset()
    for attempt in range(10):
        try:
            with os.scandir(folder) as entries:
                found = frozenset(entry.name for entry in entries if _NAME.fullmatch(entry.name))
        except OSError:  # usually the folder does not exist yet
            return frozenset()
        if attempt and found == names:
            break
        names = found
    return names


def _rows_per_block(width: int) -> int:
    return max(1, _BLOCK // (4 * width))


def _identity(file: BufferedReader) -> tuple[int, int, int]:
    """Return values that change when the file is written to: size, inode and time."""
    status = os.fstat(file.fileno())
    return status.st_size, status.st_ino, status.st_mtime_ns


def _fill(file: BufferedReader, buffer: memoryview, path: Path) -> None:
    """Read until the buffer is full: one read may return less."""
    while len(buffer):
        count = file.readinto(buffer)
        if not count:
            raise DamagedSegmentError(path)
        buffer = buffer[count:]


def _header(count: int, widths: Mapping[str, int], digests: Mapping[str, str], nonce: str) -> bytes:
    """Return the length prefix and JSON header of a safetensors file; digests keep its size."""
    metadata = {"format": FORMAT, "blake2b": json.dumps(digests), "nonce": nonce}
    end = 16 * count
    header: dict[str, object] = {
        "__metadata__": metadata,
        "digests": {"dtype": "U8", "shape": [count, 16], "data_offsets": [0, end]},
    }
    for stage, width in widths.items():
        begin, end = end, end + 4 * count * width
        entry = {"dtype": "F32", "shape": [count, width], "data_offsets": [begin, end]}
        header[f"stage:{stage}"] = entry
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # safetensors aligns the data to 8 bytes
    return len(text).to_bytes(8, "little") + text


def _read_header(file: BufferedReader, path: Path, size: int) -> dict[str, _Tensor]:
    prefix = file.read(8)
    length = int.from_bytes(prefix, "little")
    if not 0 < length <= min(_HEADER_LIMIT, size):
        raise DamagedSegmentError(path)
    text = bytearray(length)
    _fill(file, memoryview(text), path)
    if bytes_digest(prefix + text) != path.stem:
        raise DamagedSegmentError(path)
    # The header is intact, but another version may have written it.
    try:
        header = json.loads(text)
        metadata = header.pop("__metadata__")
        if metadata["format"] != FORMAT:
            raise ForeignSegmentError(path)
        digests = json.loads(metadata["blake2b"])
        tensors = {
            name: _Tensor(
                begin=8 + length + entry["data_offsets"][0],
                end=8 + length + entry["data_offsets"][1],
                shape=tuple(entry["shape"]),
                digest=digests[name],
            )
            for name, entry in header.items()
        }
    except (ValueError, KeyError, TypeError) as error:
        raise ForeignSegmentError(path) from error
    if max(tensor.end for tensor in tensors.values()) != size:
        raise DamagedSegmentError(path)  # truncated or extended
    return tensors
