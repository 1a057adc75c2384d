"""Verified, atomic downloads that can be resumed."""

import contextlib
import glob
import hashlib
import re
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from headstart.errors import DownloadError, StoreError

ByteProgress: TypeAlias = Callable[[int, int | None], None]
"""Called with the number of bytes received so far and in total (None if unknown)."""

_ATTEMPTS: Final = 5
"""Number of attempts, each of which resumes the last one."""
_TIMEOUT: Final = 30.0
"""Seconds to wait for a server."""
_SILENT: Final = 2
"""Attempts without a single byte after which a server is given up."""
_STALE: Final = 600.0
"""Seconds without progress after which the process of a partial download is assumed dead."""
_CHUNK: Final = 1 << 18


@dataclass(frozen=True, slots=True)
class Download:
    """A file to download.

    Attributes:
        url: address of the file; the part after the last slash is its name on disk.
        sha256: SHA-256 digest of its content in hexadecimal, or as many of the first digits as are
            known; if empty, only the length is verified.
        size: length in bytes, if known.
    """

    url: str
    sha256: str
    size: int | None = None

    @property
    def name(self) -> str:
        """File name on disk."""
        return self.url.rsplit("/", 1)[-1]


def fetch(
    download: Download,
    folder: Path,
    *,
    progress: ByteProgress | None = None,
    otherwise: str | None = None,
) -> Path:
    """Download a file, unless it exists with the right content, and return its path.

    A partial download is kept in a file ending in `.part`, which the next call resumes. During the
    download it has a unique name, so that two processes never write to the same file.

    Args:
        download: the file to fetch.
        folder: folder of the file, created if necessary.
        progress: called after each piece that arrives.
        otherwise: advice without a network, for the error message; defaults to putting the file
            into the folder by hand.

    Raises:
        DownloadError: there is no network, or the content is not as expected.
        StoreError: the folder cannot be written.
    """
    target = folder / download.name
    if otherwise is None:
        otherwise = f"without a network, fetch it on another machine and put it at {target}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if target.exists():
            if _sha256(target).startswith(download.sha256):
                return target
            target.unlink()  # put there by hand, but a different file
        with _claim(folder / f"{download.name}.part") as part:
            if not download.sha256:  # a part of another version could not be detected
                part.unlink(missing_ok=True)
            # If a resumed file is wrong, its first part may be damaged or of another version.
            for _ in range(2 if part.exists() else 1):
                _complete(download, part, progress, otherwise)
                found = _sha256(part)
                if found.startswith(download.sha256):
                    return part.replace(target)
                part.unlink()
    except OSError as error:
        raise StoreError(f"cannot write {folder}: {error.strerror or error}") from error
    raise DownloadError(
        f"{download.url} has unexpected content: its SHA-256 is {found}, expected "
        f"{download.sha256}; it was deleted, try again later or from another network"
    )


@contextlib.contextmanager
def _claim(part: Path) -> Iterator[Path]:
    """Rename a partial file for this process alone, and rename it back at the end if it remains.

    Only one process can rename a file, so there is no lock that a killed process could leave
    behind. The partial files of killed processes are taken over after some time without progress.

    Yields:
        The file to append to, which need not exist.
    """
    own = part.with_name(f"{part.stem}.{secrets.token_hex(8)}.part")
    for one in (part, *part.parent.glob(f"{glob.escape(part.stem)}.*.part")):
        with contextlib.suppress(OSError):
            if one == part or time.time() - one.stat().st_mtime > _STALE:
                one.rename(own)
                break
    try:
        yield own
    finally:
        with contextlib.suppress(OSError):  # usually missing, because it became the whole file
            own.replace(part)


def _complete(
    download: Download, part: Path, progress: ByteProgress | None, otherwise: str
) -> None:
    """Download the missing part of a file, in several attempts."""
    # These would delay the start of all commands.
    import http.client
    import ssl
    import urllib.error

    problem: object = ""
    silent = 0
    for _ in range(_ATTEMPTS):
        have = _size(part)
        if download.size is not None and _size(part) == download.size:
            return
        try:
            if _continue(download, part, progress):
                return
            problem = "the connection was lost"
        except urllib.error.HTTPError as error:
            problem = f"the server responded {error.code} {error.reason}"
            error.close()
            if error.code == 416:  # the partial file does not match the server's
                part.unlink(missing_ok=True)
            elif error.code < 500:
                break
        except TimeoutError:
            problem = f"no response within {_TIMEOUT:.0f} seconds"
            silent = silent + 1 if _size(part) == have else 0
            if silent == _SILENT:
                break
        except urllib.error.URLError as error:
            reason = getattr(error.reason, "strerror", None) or error.reason
            problem = f"no connection ({reason})"
            break  # no network or no such host; trying again is useless
        except (http.client.HTTPException, ConnectionError, ssl.SSLError) as error:
            problem = error
    length = "" if download.size is None else f" ({readable_size(download.size)})"
    raise DownloadError(f"cannot download {download.url}{length}: {problem}; {otherwise}")


def _continue(download: Download, part: Path, progress: ByteProgress | None) -> bool:
    """Append as much as the connection delivers, and return whether the file is complete."""
    import urllib.request

    have = _size(part)
    if download.size is not None and have > download.size:
        have = 0
    request = urllib.request.Request(download.url, headers={"User-Agent": "headstart"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:
        partial = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
        if response.status != 206 or partial is None or int(partial[1]) != have:
            have = 0  # the server starts from the beginning
        expected = download.size
        if expected is None and (stated := response.headers.get("Content-Length")):
            expected = have + int(stated)
        with part.open("ab" if have else "wb") as file:
            while chunk := response.read(_CHUNK):
                file.write(chunk)
                have += len(chunk)
                if progress is not None:
                    progress(have, expected)
                if expected is not None and have > expected:
                    break  # a different file, which the checksum will show
    # If the length is unknown, the end of the response is the end of the file.
    return expected is None or have >= expected


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def readable_size(size: int) -> str:
    """Return a number of bytes in readable units, such as "825 MB"."""
    amount = float(size)
    for unit in ("bytes", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"
