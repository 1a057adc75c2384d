"""The command line: the only package that prints and exits."""

from headstart.cli.app import main

__all__ = ["main"]
