"""The command line: the only place, with the server, that prints and exits."""

from headstart.cli.app import main

__all__ = ["main"]
