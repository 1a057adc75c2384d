"""The files that a command wrote into a folder, read back."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, TypeVar

from PIL import Image
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from headstart.errors import DataError
from headstart.pages.page import Figure
from headstart.system.files import atomic_write, open_regular, read_regular
from headstart.system.text import shortened
from headstart.types import Interval

COMMAND: Final = "command.txt"
"""The file of a folder of results that has the command that wrote it."""
_NO_TEXT: Final = re.compile("[\ud800-\udfff]")
_MOST: Final = 256 * 2**20  # bytes of a file
_PIXELS_PER_INCH: Final = 96  # of a page


class Document(BaseModel):
    """A JSON file of results; the keys of other versions are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)


Read = TypeVar("Read", bound=Document)
Share = Annotated[float, Field(ge=0, le=1)]
Pair = Annotated[
    Interval, BeforeValidator(lambda pair: Interval(*pair) if isinstance(pair, list) else pair)
]
"""An interval, which JSON has as [low, high]."""


@dataclass(frozen=True, slots=True)
class ResultsFolder:
    """A folder that a command wrote results to."""

    path: Path

    def has(self, name: str) -> bool:
        """Whether there is a file of this name."""
        return (self.path / name).is_file()

    def document(self, name: str, kind: type[Read]) -> Read:
        """Read a JSON file.

        Raises:
            DataError: It cannot be read, or is not what headstart writes.
        """
        content = self._content(name)
        try:
            # Bytes of names that are not text become their escapes, which pydantic would refuse.
            text = json.dumps(json.loads(content), ensure_ascii=False)
            return kind.model_validate_json(_NO_TEXT.sub(_escaped, text))
        except (RecursionError, ValueError) as error:
            raise DataError(
                f"{self.path / name} is damaged, or was not written by headstart "
                f"({_reason(error)}); run the command that wrote it again"
            ) from error

    def rows(self, name: str) -> Iterator[dict[str, str]]:
        """Yield the rows of a CSV table by column, without incomplete ones.

        Raises:
            DataError: It cannot be read, or is not a table.
        """
        path = self.path / name
        try:
            with open_regular(path) as file:
                text = io.TextIOWrapper(file, encoding="utf-8", errors="replace", newline="")
                for row in csv.DictReader(text):
                    if None not in row and None not in row.values():
                        yield row
        except OSError as error:
            raise _unreadable(path, error) from error
        except csv.Error as error:
            raise DataError(f"{path} is not a table ({error}); delete it") from error

    def figure(self, name: str, text: str) -> Figure | None:
        """Return a figure at the size it was drawn for; None without such a file.

        Raises:
            DataError: It cannot be read.
        """
        if not self.has(name):
            return None
        try:
            return png_figure(self._content(name), text)
        except (OSError, ValueError) as error:
            raise DataError(f"{self.path / name} is not a PNG image; delete it") from error

    @property
    def command(self) -> str | None:
        """The command that wrote the folder; None if it is not known."""
        if not self.has(COMMAND):
            return None
        return self._content(COMMAND).decode("utf-8", "replace").strip()

    def write_command(self, command: str) -> None:
        """Record the command that wrote the folder.

        Raises:
            HeadstartError: The folder cannot be written.
        """
        atomic_write(self.path / COMMAND, f"{command}\n".encode(errors="backslashreplace"))

    def _content(self, name: str) -> bytes:
        try:
            return read_regular(self.path / name, limit=_MOST)
        except OSError as error:
            raise _unreadable(self.path / name, error) from error


def _escaped(match: re.Match[str]) -> str:
    return rf"\\u{ord(match[0]):04x}"  # in JSON, a backslash is written as two


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        return shortened(f"{where}: {first['msg']}" if where else first["msg"], 200)
    return shortened(str(error), 200)


def _unreadable(path: Path, error: OSError) -> DataError:
    return DataError(f"cannot read {path}: {error.strerror or error}; make it readable")


def png_figure(content: bytes, text: str) -> Figure:
    """Return a PNG as a figure that shows what `text` says, at the size it was drawn for.

    Raises:
        OSError: It is damaged.
        ValueError: It is damaged.
    """
    with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
        dots = float(image.info.get("dpi", (_PIXELS_PER_INCH,))[0])
        width = round(image.width / max(dots, 1.0) * _PIXELS_PER_INCH)
    return Figure(f"data:image/png;base64,{base64.b64encode(content).decode()}", width, text)
