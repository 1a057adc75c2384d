"""One immutable file of features: what the feature store is made of.

A segment is an ordinary safetensors file, so any tool can open it. It holds the digests of N
images, sorted, as (N, 16) uint8 under "digests", and one (N, width) float32 tensor a stage under
"stage:<name>". Its metadata carry a blake2b digest of every tensor, and the file is named by the
blake2b digest of its header. So the name vouches for the header, the header for the tensors, and
a tensor can be verified alone: reading one stage of ten hashes a tenth of the file (blake2b does
0.9 GB/s). The bytes of a tensor are hashed before its first row is handed out, once a process.

The metadata also hold a random number, so no name is ever used twice. That makes deleting safe: a
process about to delete a damaged or merged segment cannot hit one that another has just written.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from headstart.system.digests import bytes_digest, hasher
from headstart.system.files import TEMPORARY
from headstart.types import Floats

Keys: TypeAlias = npt.NDArray[np.bytes_]
"""Image digests, 16 raw bytes each: (N,) of dtype "S16", which NumPy sorts and searches fast."""
Indices: TypeAlias = npt.NDArray[np.intp]

FORMAT = "headstart-features-1"
_NAME = re.compile(r"[0-9a-f]{32}\.safetensors")
_BLOCK = 4 << 20  # bytes read, hashed or written at once: quick, and small beside the data
_HEADER_LIMIT = 1 << 20  # a header takes about 200 bytes a stage


class DamagedSegmentError(Exception):
    """The bytes of a segment are not those that were written. Never leaves the store."""


class ForeignSegmentError(Exception):
    """An intact segment of another format: neither read nor deleted. Never leaves the store."""


@dataclass(frozen=True, slots=True)
class _Tensor:
    begin: int  # bytes from the start of the file
    end: int
    shape: tuple[int, ...]
    digest: str


class Segment:
    """An opened segment: its digests in memory, its features on disk.

    The constructor reads and verifies the header and the digests.

    Attributes:
        path: the file.
        size: bytes of the file.
        widths: stage -> number of features.
        keys: (N,) sorted, without duplicates.

    Raises:
        DamagedSegmentError: the name does not vouch for the bytes.
        ForeignSegmentError: the file is intact, but of another format.
        OSError: the file cannot be read, or is gone.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._verified: set[str] = set()
        with path.open("rb", buffering=0) as file:
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
    def open(self, stages: Iterable[str]) -> Iterator[FileIO]:
        """Opens the file and hashes those of the stages not hashed yet; raises as above."""
        with self.path.open("rb", buffering=0) as file:
            if _identity(file) != self._identity:
                self._verified.clear()  # touched since it was hashed: trust nothing
            for stage in stages:
                self._verify(file, f"stage:{stage}")
            yield file

    def verify(self, stages: Iterable[str]) -> None:
        """Hashes those of the stages not hashed yet; raises as above."""
        with self.open(stages):
            pass

    def gather(self, file: FileIO, stage: str, rows: Indices, *, into: Floats, at: Indices) -> None:
        """Copies rows into an array, a few MB at a time, reading only the spans they lie in.

        Args:
            file: from `open`, which verified the stage.
            stage: which tensor.
            rows: (K,) rows of the tensor in ascending order; repeats are fine.
            into: (M, width) float32, filled in place.
            at: (K,) the rows of `into` that they go to.
        """
        tensor, width = self._tensors[f"stage:{stage}"], self.widths[stage]
        span = _rows_a_block(width)
        done = 0
        while done < len(rows):
            first = int(rows[done])
            end = int(np.searchsorted(rows, first + span))
            block = np.empty((int(rows[end - 1]) + 1 - first, width), "<f4")
            file.seek(tensor.begin + 4 * width * first)
            _fill(file, block.view(np.uint8).reshape(-1).data, self.path)
            into[at[done:end]] = block[rows[done:end] - first]
            done = end

    def _verify(self, file: FileIO, name: str) -> None:
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
    """Writes a segment so that it is there whole and on the disk itself, or not at all.

    The sizes are known beforehand, so the header is laid out with empty digests, the tensors
    stream past once, and the header is written again with what they hashed to.

    Args:
        folder: an existing folder.
        keys: (N,) sorted, without duplicates.
        widths: stage -> number of features.
        rows: (stage, begin, end) -> (end - begin, width) float32, asked for in order.

    Returns:
        The segment's path.

    Raises:
        OSError: no room, no permission ...; nothing is left behind.
    """
    digests = dict.fromkeys(["digests", *(f"stage:{stage}" for stage in widths)], "0" * 32)
    nonce = secrets.token_hex(16)
    temporary = folder / f"{nonce}{TEMPORARY}"
    try:
        with temporary.open("xb") as file:
            file.write(_header(len(keys), widths, digests, nonce))
            file.write(keys.view(np.uint8).data)
            digests["digests"] = bytes_digest(keys.view(np.uint8).data)
            for stage, width in widths.items():
                found, step = hasher(), _rows_a_block(width)
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
    _sync_folder(folder)
    return path


def segment_names(folder: Path) -> frozenset[str]:
    """Lists the segments of a folder, until two lists in a row agree.

    A folder is not listed at one instant: beside a compaction, one pass could miss the merged file
    (born behind the pass) and those it replaces (gone before the pass) alike.
    """
    names: frozenset[str] = frozenset()
    for attempt in range(10):
        try:
            with os.scandir(folder) as entries:
                found = frozenset(entry.name for entry in entries if _NAME.fullmatch(entry.name))
        except OSError:  # most often there is no folder yet
            return frozenset()
        if attempt and found == names:
            break
        names = found
    return names


def _rows_a_block(width: int) -> int:
    return max(1, _BLOCK // (4 * width))


def _identity(file: FileIO) -> tuple[int, int, int]:
    """What changes when a file is written to: size, inode and time."""
    status = os.fstat(file.fileno())
    return status.st_size, status.st_ino, status.st_mtime_ns


def _fill(file: FileIO, buffer: memoryview, path: Path) -> None:
    """Reads until the buffer is full: one read may return less."""
    while len(buffer):
        count = file.readinto(buffer)
        if not count:
            raise DamagedSegmentError(path)
        buffer = buffer[count:]


def _header(count: int, widths: Mapping[str, int], digests: Mapping[str, str], nonce: str) -> bytes:
    """The length prefix and the JSON of a safetensors file: equally long whatever the digests."""
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
    text += b" " * (-len(text) % 8)  # safetensors wants the data aligned to 8 bytes
    return len(text).to_bytes(8, "little") + text


def _read_header(file: FileIO, path: Path, size: int) -> dict[str, _Tensor]:
    prefix = file.read(8)
    length = int.from_bytes(prefix, "little")
    if not 0 < length <= min(_HEADER_LIMIT, size):
        raise DamagedSegmentError(path)
    text = bytearray(length)
    _fill(file, memoryview(text), path)
    if bytes_digest(prefix + text) != path.stem:
        raise DamagedSegmentError(path)
    # From here on the header is what its writer meant, who may have been another version.
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
        raise DamagedSegmentError(path)  # cut short, or something was added
    return tensors


def _sync_folder(folder: Path) -> None:
    """Makes a rename survive a power cut, on platforms that can."""
    if os.name != "nt":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
