"""Files from the network: resumed where they broke off, checked, and whole or absent."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import http.client
import os
import re
import secrets
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from headstart.errors import DownloadError, StoreError

ByteProgress: TypeAlias = Callable[[int, int | None], None]
"""Called with the bytes there are so far, and how many there will be, if known."""

_ATTEMPTS: Final = 5
"""Each goes on where the last broke off; a connection that fails so often will fail again."""
_TIMEOUT: Final = 30.0
_DEAD: Final = 600.0
"""Seconds after which a beginning that nothing is added to is taken for a killed process's."""
_CHUNK: Final = 1 << 18


@dataclass(frozen=True, slots=True)
class Download:
    """A file that anybody can fetch.

    Attributes:
        url: where it is; what follows the last slash is the file's name.
        sha256: the digest of its content in hexadecimal digits, or the first of them, as many as
            are known; with none, only its length is checked.
        size: its length in bytes, if known.
    """

    url: str
    sha256: str
    size: int | None = None

    @property
    def name(self) -> str:
        """What the file is called on disk."""
        return self.url.rsplit("/", 1)[-1]


def fetch(
    download: Download,
    folder: Path,
    *,
    progress: ByteProgress | None = None,
    otherwise: str | None = None,
) -> Path:
    """Download a file, unless it is there and whole.

    What has arrived is kept in a file ending in `.part`, which the next call goes on with. While
    it grows it has a name of its own, so that two processes never write to the same one.

    Args:
        download: what to fetch.
        folder: where to put it; made if need be.
        progress: told of each piece that arrives.
        otherwise: what can be done without a network, for the message; by default, putting the
            file in the folder by hand.

    Returns:
        The file, whose content has been checked.

    Raises:
        DownloadError: no network, or what arrives is not what was expected.
        StoreError: the folder cannot be written.
    """
    target = folder / download.name
    if otherwise is None:
        otherwise = f"to go on without a network, fetch it elsewhere and put it at {target}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if target.exists():
            if _sha256(target).startswith(download.sha256):
                return target
            target.unlink()  # put there by hand, and not the right one
        with _claimed(folder / f"{download.name}.part") as part:
            if not download.sha256:  # nothing would tell that the beginning was another version's
                part.unlink(missing_ok=True)
            resumed = part.exists()
            _complete(download, part, progress, otherwise)
            found = _sha256(part)
            if not found.startswith(download.sha256) and resumed:
                # The beginning was another version's, or damaged. That is worth one fresh start.
                part.unlink()
                _complete(download, part, progress, otherwise)
                found = _sha256(part)
            if not found.startswith(download.sha256):
                part.unlink()
                raise DownloadError(
                    f"{download.url} is not the file it should be: its SHA-256 is {found}, "
                    f"expected {download.sha256}; it was deleted. Try again later, or from another "
                    "network"
                )
            os.replace(part, target)  # noqa: PTH105 - says more clearly that it is atomic
    except OSError as error:
        raise StoreError(f"cannot write {folder}: {error.strerror or error}") from error
    return target


@contextlib.contextmanager
def _claimed(part: Path) -> Iterator[Path]:
    """Take a beginning for this process alone, and put back what there is of it at the end.

    A file can be renamed by one process only, so no lock is needed that a kill could leave. What
    a killed process had claimed is taken up again once it has lain still for a while.

    Yields:
        The file to add to, which need not exist.
    """
    own = part.with_name(f"{part.stem}.{secrets.token_hex(8)}.part")
    for one in (part, *part.parent.glob(f"{glob.escape(part.stem)}.*.part")):
        with contextlib.suppress(OSError):
            if one == part or time.time() - one.stat().st_mtime > _DEAD:
                one.rename(own)
                break
    try:
        yield own
    finally:
        with contextlib.suppress(OSError):  # most often it is not there: it became the whole file
            own.replace(part)


def _complete(
    download: Download, part: Path, progress: ByteProgress | None, otherwise: str
) -> None:
    """Bring the partial file to its full length."""
    problem: object = ""
    for _ in range(_ATTEMPTS):
        if download.size is not None and _size(part) == download.size:
            return
        try:
            if _continue(download, part, progress):
                return
            problem = "the connection broke off"
        except urllib.error.HTTPError as error:
            problem = f"the server answers {error.code} {error.reason}"
            error.close()
            if error.code == 416:  # what there is does not fit what the server has
                part.unlink(missing_ok=True)
            elif error.code < 500:
                break
        except TimeoutError:
            problem = f"no answer within {_TIMEOUT:.0f} seconds"
        except urllib.error.URLError as error:
            problem = error.reason
            break  # no network, or no such host: asking again is of no use
        except (http.client.HTTPException, ConnectionError, ssl.SSLError) as error:
            problem = error
    length = "" if download.size is None else f" ({readable_size(download.size)})"
    raise DownloadError(f"cannot download {download.url}{length}: {problem}; {otherwise}")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _continue(download: Download, part: Path, progress: ByteProgress | None) -> bool:
    """Append what is missing, as far as the connection lasts; whether that is all."""
    have = _size(part)
    if download.size is not None and have > download.size:
        have = 0
    request = urllib.request.Request(download.url, headers={"User-Agent": "headstart"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:
        partial = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
        if response.status != 206 or partial is None or int(partial[1]) != have:
            have = 0  # the server begins anew, so do we
        expected = download.size
        if expected is None and (announced := response.headers.get("Content-Length")):
            expected = have + int(announced)
        with part.open("ab" if have else "wb") as file:
            while chunk := response.read(_CHUNK):
                file.write(chunk)
                have += len(chunk)
                if progress is not None:
                    progress(have, expected)
                if expected is not None and have > expected:
                    break  # not our file; the checksum will say so
    # Without any announcement the end of the answer is the end of the file.
    return expected is None or have >= expected


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def readable_size(size: int) -> str:
    """A number of bytes for people: "825 MB"."""
    amount = float(size)
    for unit in ("bytes", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"
