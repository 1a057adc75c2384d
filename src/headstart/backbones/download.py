"""Files of published weights: find them where each library stores them, or download them.

Downloads are stored where torch.hub, huggingface_hub and Keras store theirs, so that no network is
stored twice. Looking for a file does not need these libraries.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from headstart.errors import (
    BackboneError,
    DownloadError,
    MissingExtraError,
    NotCachedError,
    UserError,
)
from headstart.system.cache_folder import cache_root, expand_home
from headstart.system.download import Download, fetch

_TIMEOUT = 10.0
"""Seconds to wait for the size of a file."""


def torch_hub_file(url: str) -> Path:
    """Return where torch.hub stores what it downloads from a URL."""
    home = os.environ.get("TORCH_HOME") or _cache("torch")
    return _expanded(Path(home)) / "hub" / "checkpoints" / url.rpartition("/")[2]


def keras_home() -> Path:
    """Return the folder of Keras's settings and downloads."""
    return _expanded(Path(os.environ.get("KERAS_HOME") or "~/.keras"))


def keras_file(name: str) -> Path:
    """Return where Keras stores a file of weights of this name."""
    return keras_home() / "models" / name


def hub_files(repository: str) -> tuple[Path, ...]:
    """Return all files of a repository on the Hugging Face Hub that are on this machine."""
    home = _expanded(Path(os.environ.get("HF_HOME") or _cache("huggingface")))
    folder = _expanded(Path(os.environ.get("HF_HUB_CACHE") or home / "hub"))
    snapshots = folder / f"models--{repository.partition('@')[0].replace('/', '--')}" / "snapshots"
    return tuple(snapshots.glob("*/*"))


def _expanded(folder: Path) -> Path:
    """Return a folder without "~"; if there is no home folder, one of its name in the cache."""
    try:
        return expand_home(folder)
    except UserError:
        return cache_root() / folder.name


def fetch_from_url(name: str, url: str, *, allow_download: bool, file: Path | None = None) -> Path:
    """Return the file behind a URL, downloaded if it is not on this machine.

    Args:
        name: name of the backbone, for messages.
        url: address, which ends in a file name; eight or more hex digits after "-" in the file name
            are the start of its SHA-256.
        allow_download: whether to use the network.
        file: path to store it at; by default, where torch.hub stores it.

    Raises:
        DownloadError: the file is not on this machine and cannot be downloaded; a NotCachedError
            if that was not tried.
        StoreError: it cannot be written.
    """
    file = file or torch_hub_file(url)
    if file.is_file():
        return file
    advice = "on another machine and give it with --weights FILE"
    if not allow_download:
        raise NotCachedError(
            f"the weights of {name} are not on this machine; download {url} {advice}",
            addresses=[url],
        )
    checksum = re.search(r"-([0-9a-f]{8,})\.", file.name)
    download = Download(url, checksum[1] if checksum else "")
    otherwise = f"download it {advice} to use {name}"
    return fetch(download, file.parent, otherwise=otherwise).rename(file)


def fetch_from_hub(
    name: str,
    repository: str,
    files: Sequence[str],
    *,
    allow_download: bool,
    then: Sequence[str] = (),
) -> Path:
    """Return the first of these files that exists in a repository on the Hugging Face Hub.

    Args:
        name: name of the backbone, for messages.
        repository: "owner/name", or "owner/name@revision".
        files: file names in the repository, the preferred one first.
        allow_download: whether to use the network.
        then: names of the files needed next, whose addresses `NotCachedError` then gives.

    Raises:
        BackboneError: the repository has none of the files, or its name is malformed.
        DownloadError: they are not on this machine and cannot be downloaded; a NotCachedError if
            that was not tried.
        MissingExtraError: huggingface_hub, a dependency of timm, is not installed.
    """
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    try:
        from huggingface_hub import hf_hub_download, try_to_load_from_cache
        from huggingface_hub.errors import (
            EntryNotFoundError,
            HfHubHTTPError,
            HFValidationError,
            LocalEntryNotFoundError,
            RepositoryNotFoundError,
        )
    except ImportError:
        raise MissingExtraError(name, extra="torch") from None
    owner_and_name, _, revision = repository.partition("@")
    absent: Exception | None = None
    try:
        # First what is on this machine: hf_hub_download may connect even with local_files_only.
        for file in files:
            found = try_to_load_from_cache(owner_and_name, file, revision=revision or None)
            if isinstance(found, str):
                return Path(found)
        for file in files if allow_download else ():
            try:
                return Path(hf_hub_download(owner_and_name, file, revision=revision or None))
            except LocalEntryNotFoundError:  # the library has retried
                raise
            except EntryNotFoundError as error:
                absent = error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise BackboneError(
            f"the Hugging Face Hub has no public repository {owner_and_name!r}; "
            f"check the spelling of {name}"
        ) from error
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        absent = error
    address = f"https://huggingface.co/{owner_and_name}"
    if isinstance(absent, EntryNotFoundError) and not isinstance(absent, LocalEntryNotFoundError):
        raise BackboneError(f"{address} has no file {' or '.join(files)}; choose another backbone")
    advice = f"download it from {address} on another machine and give it with --weights FILE"
    if not allow_download:
        raise NotCachedError(
            f"{files[0]} of {name} is not on this machine; {advice}",
            addresses=[f"{address}/resolve/{revision or 'main'}/{one}" for one in then or files],
        )
    raise DownloadError(
        f"cannot download {files[0]} of {name}: the Hub did not answer; {advice}"
    ) from absent


def download_size(missing: NotCachedError) -> int | None:
    """Ask the servers for the size in bytes of a missing file; None if no server states it."""
    import http.client  # would delay the start of all commands, as would the next one
    import urllib.request

    for address in missing.addresses:
        request = urllib.request.Request(
            address,
            method="HEAD",
            headers={"User-Agent": "headstart", "Accept-Encoding": "identity"},
        )
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:
                length = response.headers.get("Content-Length", "")
        except (OSError, http.client.HTTPException):  # not on this server, or offline
            continue
        if length.isdecimal():
            return int(length)
    return None


def _cache(program: str) -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / program
