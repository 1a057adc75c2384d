"""Images in memory that a classifier is trained on, as files in the cache.

What comes after the training needs files: to show wrong labels, to explain, to export. Each is
named by the digest of its content, so that an image is kept once however often it is given, and its
features are found when it is predicted from memory.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from headstart.errors import HeadstartError, StoreError
from headstart.images.formats import HEAD_BYTES, TAIL_BYTES, extension
from headstart.images.source import ImageContent
from headstart.system.cache_folder import cache_errors, cache_folder
from headstart.system.digests import bytes_digest
from headstart.system.files import atomic_write, is_own, remove_stale_files
from headstart.types import Conflict, Skipped


class KeptImages:
    """Writes images to "images" in the cache, and remembers the names the caller uses for them.

    Args:
        cache: The cache folder.
    """

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._folder: Path | None = None
        self._names: dict[str, list[tuple[str, str]]] = defaultdict(list)

    def keep(self, image: ImageContent, label: str) -> Path:
        """Write an image, unless it is there, and return its file.

        Args:
            image: An image without a fault.
            label: Its class.

        Raises:
            StoreError: The cache cannot be written.
        """
        try:
            if self._folder is None:
                with cache_errors(self._cache / "images"):
                    self._folder = cache_folder(self._cache, "images")
                    remove_stale_files(self._folder)
            content = image.content
            ending = extension(content[:HEAD_BYTES], content[-TAIL_BYTES:])
            path = self._folder / f"{bytes_digest(content)}{ending}"
            if not _is_whole(path, len(content)):
                atomic_write(path, content, private=True)
        except HeadstartError as error:
            raise StoreError(
                f"{error}; or save the images to files, and give their paths: training needs files"
            ) from error
        self._names[str(path)].append((label, image.name))
        return path

    def name_skipped(self, skipped: Iterable[Skipped]) -> tuple[Skipped, ...]:
        """Return what was skipped with the names of images instead of their files."""
        return tuple(
            replace(one, path=self._names[one.path].pop(0)[1]) if self._names.get(one.path) else one
            for one in skipped
        )

    def name_conflicts(self, conflicts: Iterable[Conflict]) -> tuple[Conflict, ...]:
        """Return conflicts with the names of images instead of their files."""
        return tuple(
            replace(
                one,
                paths=tuple(
                    self._name(path, label)
                    for path, label in zip(one.paths, one.labels, strict=True)
                ),
            )
            for one in conflicts
        )

    def _name(self, path: str, label: str) -> str:
        for place, (known, name) in enumerate(self._names.get(path, [])):
            if known == label:
                del self._names[path][place]
                return name
        return path


def _is_whole(path: Path, size: int) -> bool:
    """Whether a file of this size is there that nobody else may have written."""
    try:
        found = path.lstat()
    except OSError:
        return False
    return found.st_size == size and is_own(found)
