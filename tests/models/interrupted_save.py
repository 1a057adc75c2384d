"""Saves a model to FOLDER/0, FOLDER/1, ...: killed before the first file operation, the second...

Prints the number of saves that were killed. A process of its own, since it forks.
"""

import os
import sys
from pathlib import Path

from headstart.models.saved_model import save_model
from tests.models.trained_models import make_model

_OPERATIONS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate"}


def kill_before(operation: int, folder: Path) -> None:
    """End this process before it does an operation on files in a folder."""
    left = operation

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        if event in _OPERATIONS and str(arguments[0]).startswith(str(folder)):
            if left == 0:
                os._exit(9)
            left -= 1

    sys.addaudithook(hook)


def main() -> None:
    """Save until a save is no longer killed."""
    root, killed = Path(sys.argv[1]), 0
    while True:
        folder = root / str(killed)
        child = os.fork()
        if child == 0:
            kill_before(killed, folder)
            save_model(make_model(), folder)
            os._exit(0)
        if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0:
            break
        killed += 1
    sys.stdout.write(f"{killed}\n")


if __name__ == "__main__":
    main()
