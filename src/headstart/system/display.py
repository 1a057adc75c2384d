"""How results are shown: as HTML in a notebook, and as figures.

What shows them is built on all layers, and is reached by its name: the one call upwards. Nothing of
it is imported before a notebook or a user asks for it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # only figures need it
    from matplotlib.figure import Figure


class Displayed:
    """A result that a notebook shows as HTML."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        """Return a compact table, without scripts, readable on a light or a dark page."""
        html: str = import_module("headstart.api.html").html(self)
        return html


class Plotted(Displayed):
    """A result that also has a figure."""

    __slots__ = ()

    def plot(self, **options: Any) -> Figure:
        """Draw the result, as its report shows it; a notebook displays the figure.

        Args:
            options: `kind` and others that some results take; see docs/python.md.

        Raises:
            UserError: The result has no such figure.
        """
        figure: Figure = import_module("headstart.api.figures").figure(self, **options)
        return figure
