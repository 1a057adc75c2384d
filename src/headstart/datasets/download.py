"""Files from the network: resumed where they broke off, checked, and whole or absent."""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from headstart.errors import DownloadError, StoreError

Progress: TypeAlias = Callable[[int, int | None], None]
"""Called with the bytes there are so far, and how many there will be, if known."""

_ATTEMPTS: Final = 5
"""Each goes on where the last broke off; a connection that fails so often will fail again."""
_TIMEOUT: Final = 30.0
_CHUNK: Final = 1 << 18


@dataclass(frozen=True, slots=True)
class Download:
    """A file that anybody can fetch.

    Attributes:
        url: where it is.
        sha256: the digest of its content, 64 hexadecimal digits.
        size: its length in bytes.
        filename: what to call it; the last part of the URL if empty.
    """

    url: str
    sha256: str
    size: int
    filename: str = ""

    @property
    def name(self) -> str:
        """What the file is called on disk."""
        return self.filename or self.url.rsplit("/", 1)[-1]


def fetch(download: Download, folder: Path, *, progress: Progress | None = None) -> Path:
    """Download a file, unless it is there and whole.

    What has arrived is kept in a file ending in `.part`, which the next call goes on with.

    Args:
        download: what to fetch.
        folder: where to put it; made if need be.
        progress: told of each piece that arrives.

    Returns:
        The file, whose content has been checked.

    Raises:
        DownloadError: no network, or what arrives is not what was expected.
        StoreError: the folder cannot be written.
    """
    target = folder / download.name
    part = folder / f"{download.name}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if target.exists():
            if _sha256(target) == download.sha256:
                return target
            target.unlink()  # put there by hand, and not the right one
        resumed = part.exists()
        _complete(download, part, target, progress)
        found = _sha256(part)
        if found != download.sha256 and resumed:
            # The beginning was another version's, or damaged. That is worth one fresh start.
            part.unlink()
            _complete(download, part, target, progress)
            found = _sha256(part)
        if found != download.sha256:
            part.unlink()
            raise DownloadError(
                f"{download.url} is not the file it should be: its SHA-256 is {found}, expected "
                f"{download.sha256}; it was deleted. Try again later, or from another network"
            )
        os.replace(part, target)  # noqa: PTH105 - says more clearly that it is atomic
    except OSError as error:
        raise StoreError(f"cannot write {folder}: {error.strerror or error}") from error
    return target


def _complete(download: Download, part: Path, target: Path, progress: Progress | None) -> None:
    """Bring the partial file to its full length."""
    problem: object = ""
    for _ in range(_ATTEMPTS):
        before = _size(part)
        if before == download.size:
            return
        try:
            _continue(download, part, progress)
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
        if _size(part) >= download.size:
            return  # if it is too long, the checksum will say so
    raise DownloadError(
        f"cannot download {download.url} ({readable_size(download.size)}): {problem}. "
        f"To go on without a network, fetch it elsewhere and put it at {target}"
    )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _continue(download: Download, part: Path, progress: Progress | None) -> None:
    """Append what is missing, as far as the connection lasts."""
    have = _size(part)
    if have > download.size:
        have = 0
    request = urllib.request.Request(download.url, headers={"User-Agent": "headstart"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:
        partial = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
        if response.status != 206 or partial is None or int(partial[1]) != have:
            have = 0  # the server begins anew, so do we
        with part.open("ab" if have else "wb") as file:
            while chunk := response.read(_CHUNK):
                file.write(chunk)
                have += len(chunk)
                if progress is not None:
                    progress(have, download.size)
                if have > download.size:  # not our file; the checksum will say so
                    return


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
