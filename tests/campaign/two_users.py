"""Two users and one cache: what one of them plants there changes nothing for the other."""

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Final

import numpy as np

from headstart.features.path_index import _RECORD
from headstart.features.segment_file import Segment, write_segment
from headstart.system.digests import bytes_digest
from tests.campaign.campaign import Campaign
from tests.campaign.commands import (
    Outcome,
    Reference,
    as_user,
    contents,
    environment,
    finish,
    fit,
    start,
)

_VICTIM, _OTHER = 40_001, 40_002
_MANY: Final = 5


def not_root() -> str | None:
    """Return why no other users can be had here."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "only root can start processes of other users"
    try:
        ended = subprocess.run(
            [*as_user(_VICTIM), sys.executable, "-c", "import headstart"],
            env=environment(Path("/nonexistent")),
            capture_output=True,
            text=True,
        )
    except FileNotFoundError:
        return "there is no setpriv"
    return f"no process of another user: {ended.stderr.strip()}" if ended.returncode else None


def planted_features(cache: Path) -> list[Path]:
    """Give each image the features of another one."""
    return [_turned(path) for path in list((cache / "features").glob("*/*.safetensors"))]


def _turned(path: Path) -> Path:
    """Replace a segment by one whose rows are in another order."""
    segment = Segment(path)
    count, values = len(segment.keys), {}
    at = np.random.default_rng(0).permutation(count)
    with segment.open(segment.widths) as file:
        for stage, width in segment.widths.items():
            values[stage] = np.empty((count, width), np.float32)
            segment.copy_rows(file, stage, np.arange(count), into=values[stage], at=at)
    path.unlink()
    return write_segment(
        path.parent, segment.keys, segment.widths, lambda stage, a, b: values[stage][a:b]
    )


def planted_archive(cache: Path) -> list[Path]:
    """Exchange two classes of the unpacked archive."""
    planted = []
    for noise in list((cache / "archives").rglob("noise")):
        stripes, spare = noise.with_name("stripes"), noise.with_name("spare")
        noise.rename(spare)
        for image in sorted(stripes.iterdir())[:_MANY]:
            image.rename(spare / f"stripes-{image.name}")
        spare.rename(noise)
        planted.append(noise)
    return planted


def planted_index(cache: Path) -> list[Path]:
    """Give each file the digest of another one."""
    path = cache / "index" / "stat-index-1"
    records = np.frombuffer(path.read_bytes()[16:], _RECORD).copy()
    records["digest"] = records["digest"][np.random.default_rng(0).permutation(len(records))]
    body = records.tobytes()
    path.write_bytes(bytes.fromhex(bytes_digest(body)) + body)
    return [path]


_PLANTS: Final[dict[str, tuple[str, Callable[[Path], list[Path]]]]] = {
    "features": ("photos", planted_features),
    "archives": ("archive.zip", planted_archive),
    "index": ("photos", planted_index),
}


def _own(path: Path, user: int) -> None:
    for one in (path, *path.rglob("*")):
        os.chown(one, user, user, follow_symlinks=False)


def _all_of_other(cache: Path, kind: str, _planted: list[Path]) -> None:
    """The other user was first in a cache that everyone may write to."""
    _own(cache / kind, _OTHER)
    cache.chmod(0o1777)


def _files_of_other(cache: Path, _kind: str, planted: list[Path]) -> None:
    for path in planted:
        _own(path, _OTHER)


def _writable_files(cache: Path, _kind: str, planted: list[Path]) -> None:
    for path in planted:
        for one in (path, *path.rglob("*")):
            one.chmod(one.stat().st_mode | 0o022)


def _writable_folder(cache: Path, kind: str, planted: list[Path]) -> None:
    """The folder was open to all, and the other user wrote there."""
    _files_of_other(cache, kind, planted)
    (cache / kind).chmod(0o777)


def _link(cache: Path, kind: str, _planted: list[Path]) -> None:
    elsewhere = cache.with_name("elsewhere")
    (cache / kind).rename(elsewhere)
    _own(elsewhere, _OTHER)
    (cache / kind).symlink_to(elsewhere)


_WAYS: Final = {
    "all of it another user's": _all_of_other,
    "its files another user's": _files_of_other,
    "its files writable by all": _writable_files,
    "its folder writable by all": _writable_folder,
    "a link to another user's folder": _link,
}


def two_users(_folder: Path, count: int, chance: Random) -> Iterator[str | None]:
    """Let one user plant features, archives and indices, and another one fit."""
    # The folder of the campaign is closed to other users.
    with tempfile.TemporaryDirectory(prefix="headstart-campaign-users-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        reference = Reference.of(folder, images=10)
        shutil.make_archive(str(folder / "archive"), "zip", reference.data)
        private = {data: _private(folder, data) for data in ("photos", "archive.zip")}
        cases = [(kind, way) for kind in _PLANTS for way in _WAYS]
        for kind in _PLANTS:
            _check_that_it_works(folder, kind, private)
        chance.shuffle(cases)
        for i in range(count):
            kind, way = cases[i % len(cases)]
            work, planted = _planted(folder, kind, way)
            data = _PLANTS[kind][0]
            outcome = _fit_as_victim(folder, work, data)
            fault = outcome.fault
            if not fault and outcome.code == 0:
                fault = _difference(work / "model", private[data]) or _open_file(
                    work / "cache", planted
                )
            shutil.rmtree(work)
            yield fault and f"{kind} planted, {way}: {fault}"


def _private(folder: Path, data: str) -> dict[str, bytes]:
    """Return the model of a user alone, and leave the cache for what is planted."""
    work = folder / f"private-{data}"
    outcome = finish(start(*fit(folder / data, work), cache=work / "cache"))
    if outcome.failure:
        raise RuntimeError(f"the undisturbed fit failed: {outcome.failure}")
    # Files are recorded in the index when they are no longer new.
    finish(start(*fit(folder / data, work), cache=work / "cache"))
    return contents(work / "model")


def _planted(folder: Path, kind: str, way: str | None) -> tuple[Path, list[Path]]:
    """Return a folder of the victim with a cache in which something is planted."""
    data, plant = _PLANTS[kind]
    work = folder / "work"
    shutil.copytree(folder / f"private-{data}" / "cache", work / "cache")
    for choice in (work / "cache" / "choices").glob("*.choice"):
        choice.unlink()
    planted = plant(work / "cache")
    if not planted:
        raise RuntimeError(f"there is nothing to plant in {kind}")
    _own(work, _VICTIM)
    if way:
        _WAYS[way](work / "cache", kind, planted)
    return work, planted


def _fit_as_victim(folder: Path, work: Path, data: str) -> Outcome:
    return finish(
        start(
            *fit(folder / data, work),
            cache=work / "cache",
            user=_VICTIM,
            umask=0,
            more={"HOME": str(work), "TMPDIR": tempfile.gettempdir()},
        )
    )


def _check_that_it_works(folder: Path, kind: str, private: dict[str, dict[str, bytes]]) -> None:
    """Check that what is planted changes the model of whoever uses it."""
    work, _ = _planted(folder, kind, None)
    _fit_as_victim(folder, work, _PLANTS[kind][0])
    same = _difference(work / "model", private[_PLANTS[kind][0]]) is None
    shutil.rmtree(work)
    if same and kind != "archives":  # these are unpacked again when they have changed
        raise RuntimeError(f"planted {kind} have no effect, so nothing is tested")


def _difference(model: Path, due: dict[str, bytes]) -> str | None:
    found = contents(model)
    wrong = [name for name in due if found.get(name) != due[name]]
    return f"{', '.join(wrong)} differ from a private cache's" if wrong else None


def _open_file(cache: Path, planted: list[Path]) -> str | None:
    """None unless others can write a file of the victim, or read one that names paths."""
    for path in cache.rglob("*"):
        found = path.lstat()
        known = any(path.is_relative_to(one) for one in planted)
        if known or found.st_uid != _VICTIM or not stat.S_ISREG(found.st_mode):
            continue
        names_paths = path.parent.name in ("index", "choices") and path.name != "CACHEDIR.TAG"
        if found.st_mode & 0o022 or (names_paths and found.st_mode & 0o077):
            return f"{path.relative_to(cache)} has the mode {stat.S_IMODE(found.st_mode):o}"
    return None


TWO_USERS: Final = (
    Campaign(
        kind="features, archives and indices that another user planted in the cache",
        failure="a model that differs from that of a private cache, or a file that is open to "
        "others",
        tries=two_users,
        full=30,
        short=1,
        needs=not_root,
        slow=True,
    ),
)
