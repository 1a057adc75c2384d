"""Values that own threads, which a forked child process does not have."""

import ctypes
import os
from collections.abc import Callable
from threading import Lock
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
        self._making = Lock()
        _places.add(self)

    def get(self, make: Callable[[], _T]) -> _T:
        """Return the value, which the first call in a process makes while others wait for it."""
        with self._making:
            value = self.value
            if value is None:
                value = self.value = make()
            return value

    def abandon(self) -> None:
        """Forget the value in a forked child, and who was making one in the parent."""
        self._making = Lock()
        if self.value is not None:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self.value))
            self.value = None


_places: WeakSet[ProcessLocal[Any]] = WeakSet()


def _abandon() -> None:
    for place in _places:
        place.abandon()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_abandon)
