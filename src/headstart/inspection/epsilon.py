"""Sizes of changes: how `headstart attack` and `headstart robustness` read and write them."""

from __future__ import annotations

import math

from headstart.errors import UserError
from headstart.types import Norm


def parse_epsilon(text: str, norm: Norm, *, option: str = "epsilon") -> float:
    """Return the size of a change, written as "4/255" or "0.016", of pixels in [0, 1].

    Args:
        text: What the user wrote.
        norm: The norm that measures the change.
        option: Name of the option, for messages.

    Raises:
        UserError: It is not a number, or not a possible size.
    """
    number, _, divisor = text.strip().partition("/")
    try:
        value = float(number) / (float(divisor or 1) or math.nan)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UserError(f"{option} {text!r} is not a number; write 4/255 or 0.016")
    check_epsilon(value, norm)
    return value


def check_epsilon(value: float, norm: Norm) -> None:
    """Check the size of a change of pixels in [0, 1].

    Raises:
        UserError: It is negative or not finite; or, with linf, above 1, from black to white.
    """
    if not 0 <= value < math.inf:
        raise UserError(f"epsilon is {value:g}; give a finite number, 0 or more, such as 4/255")
    if norm is Norm.LINF and value > 1:
        raise UserError(
            f"epsilon is {value:g}, but pixels range from 0 to 1; for {value:g} of 255 levels "
            f"write {value:g}/255"
        )


def epsilon_text(value: float, norm: Norm) -> str:
    """Return a size such as "4/255"; sizes of l2 are plain numbers."""
    if norm is Norm.LINF and value:
        return f"{value * 255:.3g}/255"
    return f"{value:.3g}"
