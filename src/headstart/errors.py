"""Everything headstart raises on purpose.

    HeadstartError                 a failure: exit code 1
    ├── StoreError                 the cache cannot be read or written
    ├── DownloadError              a download failed, or the machine is offline
    │   └── NotHereError           weights are not on this machine, and were not to be fetched
    └── UserError                  what was asked cannot be done as asked: exit code 2
        ├── DataError              no images, one class, an unclear table ...
        ├── UnreadableImageError   one image that cannot be decoded; callers skip it and go on
        ├── BackboneError          an unknown backbone or stage, weights that do not fit
        ├── BundleError            a model folder that is damaged, too new, or not one
        └── MissingExtraError      an optional dependency is not installed

A message says what was wrong, with the value received, and what to do next.
"""

from __future__ import annotations

from collections.abc import Sequence


class HeadstartError(Exception):
    """A failure that is nobody's mistake: full disk, no network."""

    exit_code = 1


class StoreError(HeadstartError):
    """The cache cannot be read or written."""


class DownloadError(HeadstartError):
    """A download failed, or the machine is offline."""


class NotCachedError(DownloadError):
    """Weights that are not on this machine were not to be fetched.

    Attributes:
        addresses: URLs that they may be had from, the preferred one first.
    """

    def __init__(self, message: str, *, addresses: Sequence[str]) -> None:
        super().__init__(message)
        self.addresses = tuple(addresses)


class UserError(HeadstartError, ValueError):
    """What was asked cannot be done as asked."""

    exit_code = 2


class DataError(UserError):
    """The data given cannot be used as they are."""


class UnreadableImageError(UserError):
    """One image that cannot be decoded. Its message is the reason shown to the user."""


class BackboneError(UserError):
    """An unknown backbone or stage, or weights that do not fit it."""


class SavedModelError(UserError):
    """A folder that is not a saved model, is damaged, or was written by a newer headstart."""


class MissingExtraError(UserError):
    """An optional dependency is not installed."""

    def __init__(self, what: str, *, extra: str) -> None:
        super().__init__(f'{what} needs an extra: pip install "headstart[{extra}]"')
        self.extra = extra


class HeadstartWarning(UserWarning):
    """Something went less well than asked; the result says what."""
