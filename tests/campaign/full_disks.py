"""Disks that fill up: a small tmpfs as the output folder, the cache, or for temporary files."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from tests.campaign.campaign import Campaign
from tests.campaign.commands import Outcome, Reference, environment
from tests.conftest import write_photos

_SIZES: Final = (8, 16, 32, 64, 128, 256, 512)  # kB
# Runs a command on a small disk, makes room, and runs it again; copies what it left on the disk.
_SCRIPT: Final = """
disk=$1 size=$2 printed=$3 results=$4; shift 4
mount -t tmpfs -o "size=${size}k,mode=700" campaign "$disk" || exit 1
"$@" > "$printed" 2> "$results/first.err"; echo $? > "$results/first.code"
mount -o remount,size=1g "$disk" || exit 1
"$@" > "$printed" 2> "$results/then.err"; echo $? > "$results/then.code"
cp -r "$disk" "$results/disk"
"""


@dataclass(frozen=True, slots=True)
class _Case:
    """A command, and the place that is on the small disk.

    Attributes:
        command: the arguments; names of places in braces.
        full: the place on the disk: out, cache, tmp, or stdout.
        warm: whether all features are in the cache.
    """

    command: str
    full: str
    warm: bool = True

    def arguments(self, places: dict[str, Path]) -> Sequence[str]:
        return [part.format(**places) for part in self.command.split()]


_FIT: Final = "fit {photos} --out {out}/model"
_FINETUNE: Final = (
    "finetune {model} {photos} --out {out}/model --epochs 1 --views 1 --recipe last-stage"
)
_CASES: Final = (
    _Case(_FIT, "out"),
    _Case(_FIT, "cache", warm=False),
    _Case(_FIT, "tmp", warm=False),
    _Case("fit {archive} --out {out}/model", "cache", warm=False),
    _Case("evaluate {model} {others} --out {out}/evaluation", "out"),
    _Case("audit {photos} --out {out}/audit", "out"),
    _Case("audit {photos} --out {out}/audit", "cache", warm=False),
    _Case("predict {model} {photos} --json", "stdout"),
    _Case(_FINETUNE, "out"),
    _Case(_FINETUNE, "cache", warm=False),
    _Case(_FINETUNE, "tmp"),
)


def unshare() -> list[str]:
    """Return the command that gives a command mounts of its own."""
    return ["unshare", "-m" if os.geteuid() == 0 else "-rm"]


def cannot_mount() -> str | None:
    """Return why no small disk can be mounted here."""
    command = [*unshare(), "mount", "-t", "tmpfs", "-o", "size=8k", "campaign", "/mnt"]
    try:
        ended = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        return "there is no unshare, which only Linux has"
    return f"a tmpfs cannot be mounted here: {ended.stderr.strip()}" if ended.returncode else None


def full_disks(folder: Path, count: int, chance: Random) -> Iterator[str | None]:
    """Run commands on disks too small for them, and again when there is room."""
    reference = Reference.of(folder, images=20)
    others = write_photos(folder / "others", 4, first=100)
    archive = Path(shutil.make_archive(str(folder / "archive"), "zip", reference.data))
    data = {"photos": reference.data, "others": others, "archive": archive}
    for i in range(count):
        case, size = _CASES[i % len(_CASES)], chance.choice(_SIZES)
        work = folder / f"disk-{i}"
        places = {name: work / name for name in ("out", "cache", "tmp", "disk", "model", "results")}
        for name, place in places.items():
            if name == "cache" and case.warm:
                shutil.copytree(folder / "undisturbed" / "cache", place)
            else:
                place.mkdir(parents=True)
        for name, content in reference.models[0].items():
            (places["model"] / name).write_bytes(content)
        # Nothing else is mounted over: a warm cache stays readable.
        disk = places.get(case.full, places["disk"])
        fault = _fault(case, places | data, disk, size)
        if not fault and case.command == _FIT and case.full == "out":
            left = work / "results" / "disk" / "model"
            found = {path.name: path.read_bytes() for path in left.iterdir()}
            due = reference.models[0]
            fault = None if found.items() >= due.items() else "the model in the end differs"
        shutil.rmtree(work)
        yield fault and f"{case.command}, {case.full} on a disk of {size} kB: {fault}"


def _fault(case: _Case, places: dict[str, Path], disk: Path, size: int) -> str | None:
    results = places["results"]
    printed = (disk if case.full == "stdout" else results) / "printed"
    command = [sys.executable, "-m", "headstart", *case.arguments(places)]
    ended = subprocess.run(
        [*unshare(), "sh", "-c", _SCRIPT, "sh", disk, str(size), printed, results, *command],
        env=environment(places["cache"]) | {"TMPDIR": str(places["tmp"])},
        capture_output=True,
        text=True,
        timeout=400,
    )
    if ended.returncode:
        return f"the campaign itself broke: {ended.stderr}"
    first, then = (
        Outcome(
            int((results / f"{name}.code").read_text()), "", (results / f"{name}.err").read_text()
        )
        for name in ("first", "then")
    )
    return first.fault or (then.failure and f"when there was room: {then.failure}")


FULL_DISKS: Final = (
    Campaign(
        kind="full disks: `fit`, `finetune`, `evaluate`, `audit`, `predict`, archives",
        failure="no sentence or a crash, or a command that does not work when there is room",
        tries=full_disks,
        full=15,
        short=2,
        needs=cannot_mount,
        slow=True,
    ),
)
