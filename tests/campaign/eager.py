"""`python -m tests.campaign.eager ARGUMENTS`: headstart, but features are stored more often.

Small data take too little time for features to be stored before the end; here they are stored
after each batch, so that kills happen between. `kill_before` ends the process at a chosen point.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Final

from headstart.cli import main
from headstart.features import buffer

POINT, WATCHED, COUNT = "CAMPAIGN_POINT", "CAMPAIGN_WATCHED", "CAMPAIGN_COUNT"
"""Environment: the number of the operation to end before, the folder whose operations count, and a
file for the number of operations."""
_CHANGES: Final = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate", "os.chmod"}
_WRITES: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


def kill_before(point: int, folder: Path, count: Path) -> None:
    """End this process before its operation number `point` on files in a folder."""
    done = 0

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal done
        match event, arguments:
            case "open", (path, _, int(flags)) if flags & _WRITES:
                pass
            case name, (path, *_) if name in _CHANGES:
                pass
            case _:
                return
        if not isinstance(path, str | bytes | os.PathLike) or not os.fspath(path):
            return
        # Names without a folder are relative to an open one, as in `rmtree`.
        name = os.fsdecode(path)
        if name.startswith(str(folder)) or (not Path(name).is_absolute() and event != "open"):
            if done == point:
                os.kill(os.getpid(), signal.SIGKILL)
            done += 1
            if point < 0:
                descriptor = os.open(count, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
                os.write(descriptor, str(done).encode())
                os.close(descriptor)

    sys.addaudithook(hook)


if __name__ == "__main__":
    buffer._FLUSH_SECONDS = 0.0
    if POINT in os.environ:
        kill_before(int(os.environ[POINT]), Path(os.environ[WATCHED]), Path(os.environ[COUNT]))
    main()
