"""Silence about damaged metadata, of which decoders warn."""

import contextlib
import re
import warnings
from typing import Any, Final, cast

# `catch_warnings` replaces a process-wide list, so two threads that use it undo each other's
# changes. This filter affects warnings of the decoders only and stays installed; it is an ordinary
# tuple, because other code reads and copies the list.
_DECODERS: Final = re.compile(
    r"(PIL|pillow_heif|tifffile|imagecodecs|pydicom)(\.|$)|headstart\.images\."
)
_FILTER: Final = ("ignore", None, Warning, _DECODERS, 0)


def silence_warnings() -> None:
    """Ignore the warnings of decoders in this process."""
    filters = cast("list[Any]", warnings.filters)
    # It must come first, before a filter such as "error", and is checked each time because a
    # `catch_warnings` elsewhere may have removed it.
    if not filters or filters[0] != _FILTER:
        with contextlib.suppress(ValueError):
            filters.remove(_FILTER)
        filters.insert(0, _FILTER)
