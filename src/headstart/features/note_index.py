"""The notes about images that were decoded earlier, so that each run can report them.

The index is a text file of lines, each a digest and a note. Lines are only appended; what is not
understood, such as the end of a line cut off by a full disk, is ignored.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from headstart.errors import HeadstartError
from headstart.images.notes import ImageNote
from headstart.system.cache_folder import cache_folder
from headstart.system.files import read_regular

_NAME = "notes-1"
"""To be changed when images are decoded differently, like the format of features."""
_MAX_BYTES = 256 * 2**20
_KNOWN = {note.value: note for note in ImageNote}


class NoteIndex:
    """Notes by content digest; without a cache folder, only those of this run."""

    def __init__(self, root: Path | None) -> None:
        self._root = root
        self._notes = set(self._load())
        self._new: list[tuple[str, ImageNote]] = []

    def add(self, digest: str, notes: Sequence[ImageNote]) -> None:
        """Remember notes about an image. Safe to call from any thread."""
        for pair in [(digest, note) for note in notes]:
            if pair not in self._notes:
                self._notes.add(pair)
                self._new.append(pair)

    def of(self, digests: Sequence[str]) -> dict[ImageNote, frozenset[str]]:
        """Return the images that each note is about."""
        found = {
            note: frozenset(one for one in digests if (one, note) in self._notes)
            for note in ImageNote
        }
        return {note: images for note, images in found.items() if images}

    def save(self) -> None:
        """Append the new notes to the file, unless the cache cannot be written."""
        if self._root is None or not self._new:
            return
        text = "".join(f"{digest} {note}\n" for digest, note in self._new)
        try:
            path = cache_folder(self._root, "index") / _NAME
            if path.exists() and not path.is_file():  # writing to a pipe would wait for a reader
                return
            with path.open("a", encoding="ascii") as file:
                file.write(text)
        except (OSError, HeadstartError):
            return
        self._new = []

    def _load(self) -> Iterator[tuple[str, ImageNote]]:
        if self._root is None:
            return
        try:
            content = read_regular(self._root / "index" / _NAME, limit=_MAX_BYTES)
        except OSError:
            return
        for line in content.decode("ascii", "replace").splitlines():
            digest, _, note = line.partition(" ")
            if (known := _KNOWN.get(note)) is not None:
                yield digest, known
