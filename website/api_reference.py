"""The reference of the package, from the docstrings of its public names."""

from __future__ import annotations

import headstart


def api_reference() -> str:
    """Return a directive of mkdocstrings for every public name, as Markdown.

    Returns:
        The functions, the classes, and the errors, each in alphabetical order. They are told apart
        by their names, because looking at some of them needs PyTorch.
    """
    names = sorted((name for name in headstart.__all__ if name[0] != "_"), key=str.lower)
    errors = [name for name in names if name.endswith(("Error", "Warning"))]
    groups = {
        "Functions": [name for name in names if name.islower()],
        "Classes": [name for name in names if not name.islower() and name not in errors],
        "Errors and warnings": errors,
    }
    return "\n".join(
        f"## {title}\n\n" + "".join(f"::: headstart.{name}\n\n" for name in members)
        for title, members in groups.items()
    )
