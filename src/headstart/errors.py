"""All exceptions that headstart raises on purpose.

    HeadstartError                 a failure: exit code 1
    ├── StoreError                 the cache cannot be read or written
    ├── DownloadError              a download failed, or the machine is offline
    │   └── NotCachedError         weights are not on this machine, and downloading is not allowed
    └── UserError                  the request cannot be fulfilled as given: exit code 2
        ├── DataError              no images, one class, an ambiguous table ...
        ├── UnreadableImageError   an image that cannot be decoded; callers skip it and continue
        ├── BackboneError          an unknown backbone or stage, weights that do not fit
        │   ├── UnknownBackboneError   no backbone has this name
        │   └── NoTorchFormError   a network that only OpenVINO runs
        ├── SavedModelError        a model folder that is damaged, too new, or not a model
        └── MissingExtraError      an optional dependency is not installed

A message says what was wrong with the value received, and what to do next.
"""

import re
from collections.abc import Sequence
from typing import Final

_OPTION: Final = re.compile(r"(?<![\w-])--[a-z]")
_IN_PYTHON: Final = (
    "In Python, options are keyword arguments, such as allow_code=True for --allow-code."
)
_TRACEBACK: Final = "To see where, run: import traceback; traceback.print_last()"


class HeadstartError(Exception):
    """A failure that is not the user's mistake, such as a full disk or no network.

    If the message names an option of the command line, a traceback also says how options are given
    in Python.
    """

    exit_code = 1

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        if _OPTION.search(str(self)):
            self.add_note(_IN_PYTHON)

    def _render_traceback_(self) -> list[str]:
        """Return what IPython shows instead of a traceback: the message tells what to do."""
        return [f"{type(self).__name__}: {self}", *getattr(self, "__notes__", ()), _TRACEBACK]


class StoreError(HeadstartError):
    """The cache cannot be read or written."""


class DownloadError(HeadstartError):
    """A download failed, or the machine is offline."""


class NotCachedError(DownloadError):
    """Weights are not on this machine, and downloading them is not allowed.

    Attributes:
        addresses: URLs to download them from, the preferred one first.
    """

    def __init__(self, message: str, *, addresses: Sequence[str]) -> None:
        super().__init__(message)
        self.addresses = tuple(addresses)


class UserError(HeadstartError, ValueError):
    """The request cannot be fulfilled as given."""

    exit_code = 2


class DataError(UserError):
    """The data cannot be used as given."""


class UnreadableImageError(UserError):
    """An image cannot be decoded; the message is a short reason to show the user."""


class BackboneError(UserError):
    """The backbone or stage is unknown, or the weights do not fit it."""


class UnknownBackboneError(BackboneError):
    """No backbone has this name, which may have been meant for something else."""


class NoTorchFormError(BackboneError):
    """A network that only OpenVINO runs, so that it has no gradients and gives no weights out."""


class SavedModelError(UserError):
    """A folder is not a saved model, is damaged, or was written by a newer headstart."""


class MissingExtraError(UserError):
    """An optional dependency is not installed."""

    def __init__(self, what: str, *, extra: str) -> None:
        # The package is not on PyPI yet.
        super().__init__(
            f"{what} needs the extra {extra!r}; in headstart's repository, run: "
            f'pip install ".[{extra}]"'
        )
        self.extra = extra


class UnavailableError(MissingExtraError, AttributeError):
    """A name of the package needs an optional dependency; for `hasattr` it is missing."""


class HeadstartWarning(UserWarning):
    """The result is less than requested; the message says how."""
