"""What this process may use of the machine."""

from __future__ import annotations

import os


def cores() -> int:
    """Processors that this process may run on: fewer than there are in a container or a job."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
