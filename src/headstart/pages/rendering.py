"""Pages as HTML."""

import hashlib
from base64 import b64encode
from functools import cache
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from headstart.pages.page import Page
from headstart.system.files import atomic_write, head_of
from headstart.system.text import one_line, shortened

MARK: Final = '<meta name="generator" content="headstart">'
"""What tells a page of headstart from other HTML; it is within the first bytes."""
_LONGEST: Final = 1000  # characters of a name


def render(page: Page) -> str:
    """Return a page as one HTML document.

    It contains its style and script, and its policy forbids the browser to load or run anything
    else, whatever the names in it contain.
    """
    environment = _environment()
    script = environment.get_template("sort.js").render()
    digest = b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template("page.html.j2").render(page=page, mark=MARK, digest=digest)


def write_page(page: Page, path: Path) -> None:
    """Write a page.

    Raises:
        HeadstartError: The file cannot be written.
    """
    atomic_write(path, render(page).encode())


def is_page(path: Path) -> bool:
    """Whether a file is a page that headstart wrote."""
    return MARK.encode() in head_of(path)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("headstart.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    environment.filters["shown"] = _shown
    return environment


def _shown(value: Any) -> Any:
    """Return text as a page can show it: without what moves or reorders it, and in UTF-8."""
    if not isinstance(value, str) or hasattr(value, "__html__"):  # the latter is HTML already
        return value
    return one_line(shortened(value, _LONGEST)).encode("utf-8", "backslashreplace").decode()
