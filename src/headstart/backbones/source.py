"""The interface of sources, which list and load the backbones with their name prefix."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from headstart.backbones.backbone import Backbone


@dataclass(frozen=True, slots=True, kw_only=True)
class BackboneInfo:
    """Information about a backbone that is available without loading it.

    Attributes:
        name: name for `load_backbone`.
        source: package, URL or repository of the weights.
        parameters: number of parameters, including the network's own classifier.
        multiply_adds: number of multiply-adds per image.
        input_size: side of the input in pixels.
        top1: published ImageNet accuracy, 0 to 1.
        license: license of the weights: SPDX identifier, or "unstated".
        on_this_machine: whether loading needs no download.
    """

    name: str
    source: str
    parameters: int
    multiply_adds: int
    input_size: int
    top1: float
    license: str
    on_this_machine: bool


class BackboneSource(ABC):
    """Backbones of one library, or of one collection of weights.

    A source is registered under the prefix of its names in `headstart.backbones.catalog.SOURCES`.
    Importing its module must not import PyTorch, since listing backbones does not need it.
    """

    @abstractmethod
    def infos(self) -> Sequence[BackboneInfo]:
        """List the well-known backbones of this source, without loading any."""

    @abstractmethod
    def check_name(self, name: str) -> None:
        """Check the name of a backbone, with its prefix, without loading or downloading it.

        Raises:
            BackboneError: this source has no such backbone; the message suggests similar names.
            MissingExtraError: the package that lists the names is not installed.
        """

    @abstractmethod
    def load(self, name: str, *, weights: Path | None, allow_download: bool) -> Backbone:
        """Load a backbone by its name with prefix, from the published weights or a file.

        Raises:
            BackboneError: no such backbone, no metadata on its preprocessing, or weights that do
                not fit.
            DownloadError: a published file is not on this machine and cannot be downloaded; a
                NotCachedError if that was not tried.
            MissingExtraError: the backbone needs a package that is not installed.
        """


@cache
def published_weights(table: str) -> dict[str, Mapping[str, str]]:
    """Read `table`.csv, next to this module: published weights by the name of the backbone.

    The table allows listing without the libraries or a network; tests compare it with the
    libraries' own metadata. `multiply_adds` is in millions and `top1` in percent; `checksum` is the
    MD5 (32 hex digits) or SHA-256 (64) of the file, and `file` its name on disk.
    """
    import csv  # would delay the start of all commands

    text = (files("headstart.backbones") / f"{table}.csv").read_text(encoding="utf-8")
    return {row["name"]: row for row in csv.DictReader(text.splitlines())}


def infos_of(table: str, is_here: Callable[[Mapping[str, str]], bool]) -> tuple[BackboneInfo, ...]:
    """Return the backbones of a table of `published_weights`, whose files are found by row."""
    return tuple(
        BackboneInfo(
            name=row["name"],
            source=row["url"],
            parameters=int(row["parameters"]),
            multiply_adds=int(row["multiply_adds"]) * 1_000_000,
            input_size=int(row["input_size"]),
            top1=round(float(row["top1"]) / 100, 5),
            license=row["license"],
            on_this_machine=is_here(row),
        )
        for row in published_weights(table).values()
    )
