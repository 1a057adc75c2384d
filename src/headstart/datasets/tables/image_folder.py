"""The image files that a table names, however it spells them."""

import os
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import unquote

from headstart.images.formats import EXTENSIONS, looks_like_image
from headstart.system.text import pluralize

NO_FILE: Final = "no such file"
_OUTSIDE: Final = "outside the archive"
_REMOTE: Final = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_FILE_URI: Final = re.compile(r"file:(?://(?:localhost(?=/))?)?", re.IGNORECASE)
_DRIVE: Final = re.compile(r"/?[A-Za-z]:/")
_BASE64: Final = re.compile(r"data:|[A-Za-z0-9+/\s]{400,}={0,2}$")
_QUOTES: Final = "\"'`"


class UnusableRowError(Exception):
    """A row that cannot be used, for the reason in the message; other rows may be fine."""


@dataclass(slots=True, kw_only=True)
class ImageFolder:
    """The folder that file names are relative to.

    Attributes:
        root: The folder.
        suffix: What to add to names to get file names; None to find the ending of names that have
            none among the files.
        within: The folder that no file may be outside of; None if the table is trusted.
        completed: Files found for names without an ending, by name.
        moved: Files found by the end of a path of another machine, by that path.
    """

    root: Path
    suffix: str | None = None
    within: Path | None = None
    completed: dict[str, Path] = field(default_factory=dict)
    moved: dict[str, Path] = field(default_factory=dict)
    _listings: dict[Path, dict[str, list[str]]] = field(default_factory=dict)
    _claims: dict[Path, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.suffix and self.suffix.isalnum():
            self.suffix = f".{self.suffix}"
        if self.within is not None:
            self.within = self.within.resolve()

    def has(self, name: str) -> bool:
        """Whether an image file has this name."""
        try:
            self.find(name)
        except UnusableRowError:
            return False
        return True

    def forget(self) -> None:
        """Forget the files found so far, for the warnings."""
        for found in (self.completed, self.moved, self._claims):
            found.clear()

    def find(self, name: str) -> Path:
        """Return the file that a cell names.

        A name is tried as it stands; then without blanks and quotation marks around it, as a URI,
        as a path written on Windows, and below the home folder. After that, a missing ending is
        added, and what another machine has in front of a path is removed.

        Raises:
            UnusableRowError: There is no such file, or it must not be used.
        """
        if "\0" in name:
            raise UnusableRowError("a zero byte in the name")
        direct = self._file(name) if name.strip() else None
        if direct is None:
            spellings = list(dict.fromkeys(_spellings(name)))
            found = (self._file(text) for text in spellings)
            direct = next((one for one in found if one is not None), None)
            direct = direct or self._complete(spellings) or self._move(name, spellings)
        if direct is None:
            raise UnusableRowError(self._problem(name))
        if self.within is not None and not _is_inside(direct, self.within):
            raise UnusableRowError(_OUTSIDE)
        return direct

    def warnings(self) -> Iterator[str]:
        """Yield what was found other than the table says."""
        if self.completed:
            name, file = next(iter(self.completed.items()))
            yield (
                f"{pluralize(len(self.completed), 'name')} in the table without an ending, such as "
                f"{name!r} for {file}; --image-suffix says which ending is meant"
            )
        if self.moved:
            name, file = next(iter(self.moved.items()))
            yield (
                f"{pluralize(len(self.moved), 'path')} in the table not on this machine; found by "
                f"their ends, such as {name!r} at {file}; --image-folder says where to look"
            )

    def _file(self, text: str) -> Path | None:
        """Return the regular file of this name, with the suffix or without it."""
        for candidate in (text + self.suffix, text) if self.suffix else (text,):
            path = self.root / candidate
            if os.path.isfile(path):  # noqa: PTH113 - false for names that are not allowed
                return path
        return None

    def _complete(self, spellings: list[str]) -> Path | None:
        """Return the only image whose name without its ending is one of the spellings."""
        if self.suffix or any(looks_like_image(text) for text in spellings):
            return None
        for text in spellings:
            path = self.root / text
            files = self._by_stem(path.parent).get(path.name, ())
            if len(files) > 1:
                raise UnusableRowError(
                    f"several files of this name; give --image-suffix ({', '.join(files)})"
                )
            if files:
                return self.completed.setdefault(text, path.parent / files[0])
        return None

    def _by_stem(self, folder: Path) -> dict[str, list[str]]:
        """Return the images in a folder by their names without the ending."""
        if folder not in self._listings:
            stems: dict[str, list[str]] = {}
            try:
                for name in sorted(one.name for one in folder.iterdir()):
                    stem, dot, ending = name.rpartition(".")
                    if f"{dot}{ending.lower()}" in EXTENSIONS:
                        stems.setdefault(stem, []).append(name)
            except (OSError, ValueError):  # no such folder; the names are reported as missing
                stems = {}
            self._listings[folder] = stems
        return self._listings[folder]

    def _move(self, name: str, spellings: list[str]) -> Path | None:
        """Return the file at the end of a path that begins on another machine, or above the root.

        Of a relative path, only what the folder's own path ends with is removed.
        """
        here = self.root.absolute().parts
        for text in spellings:
            # Notebooks on Kaggle write "../input/...".
            absolute = text.startswith(("/", "../")) or _DRIVE.match(text) is not None
            parts = [part for part in PurePosixPath(text).parts if part not in ("/", "//", ".")]
            for drop in range(1, len(parts)):
                if not absolute and here[-drop:] != tuple(parts[:drop]):
                    continue
                path = self._file("/".join(parts[drop:]))
                if path is None:
                    continue
                other = self._claims.setdefault(path, name)
                if other != name:
                    raise UnusableRowError(f"its end names the same file as another row ({other})")
                if absolute:
                    self.moved[name] = path
                return path
        return None

    def _problem(self, name: str) -> str:
        """Return why there is no usable file of this name."""
        if _BASE64.match(name):
            return "an image inside the cell; save it as a file and list that"
        if _REMOTE.match(name) and not _FILE_URI.match(name):
            return "remote file; download it and list the local copy instead"
        path = self.root / name.strip()
        if self.within is not None and not _is_inside(path, self.within):
            return _OUTSIDE
        try:
            if not path.exists():
                return "broken link" if path.is_symlink() else NO_FILE
            return "a folder" if path.is_dir() else "not a regular file"
        except (OSError, ValueError, RuntimeError) as error:  # too long, a zero byte, a link loop
            return str(getattr(error, "strerror", None) or error).lower()


def _spellings(name: str) -> Iterator[str]:
    """Yield what a cell may mean, as paths with slashes."""
    text = name.strip()
    yield text
    if len(text) > 1 and text[0] == text[-1] and text[0] in _QUOTES:
        text = text[1:-1].strip()
        yield text
    if (uri := _FILE_URI.match(text)) is not None:
        rest = text[uri.end() :]
        for path in (unquote(rest), rest):
            yield path.lstrip("/") if _DRIVE.match(path) else path
        text = unquote(rest)
        if text[:1] != "/":
            yield f"//{text}"  # of another machine
    if "\\" in text:
        text = text.replace("\\", "/")
        yield text
    if not text.isascii():  # macOS writes accents as characters of their own
        yield from (unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text))
    if "%" in text:
        yield unquote(text)
    if text.startswith("~"):
        yield os.path.expanduser(text)  # noqa: PTH111 - Path raises for unknown users


def _is_inside(path: Path, folder: Path) -> bool:
    try:
        return path.resolve().is_relative_to(folder)
    except (OSError, RuntimeError, ValueError):  # a link loop, a zero byte
        return False
