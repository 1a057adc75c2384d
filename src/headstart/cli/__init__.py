"""The command line: the only package that prints and exits."""

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line and exit, also with Ctrl-C while it is still being imported."""
    try:
        from headstart.cli.app import main as run
    except KeyboardInterrupt:
        sys.exit(130)
    run()
