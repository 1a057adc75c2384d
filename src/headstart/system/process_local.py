"""Values that own threads, which a forked child process does not have."""

import ctypes
import os
from typing import Any, Generic, TypeVar
from weakref import WeakSet

_T = TypeVar("_T")


class ProcessLocal(Generic[_T]):
    """A place for a value that owns threads; it is empty in a forked child.

    There the value would wait for its threads forever, even to be closed when the child ends. So
    the child abandons it: its memory stays, shared with the parent.

    Attributes:
        value: The value of this process; None if there is none yet.
    """

    def __init__(self) -> None:
        self.value: _T | None = None
        _places.add(self)


_places: WeakSet[ProcessLocal[Any]] = WeakSet()


def _abandon() -> None:
    for place in _places:
        if place.value is not None:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(place.value))
            place.value = None


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_abandon)
