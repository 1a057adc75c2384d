"""The attack and the threat that a user's options ask for, checked."""

from __future__ import annotations

from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from headstart.errors import UserError
from headstart.inspection.epsilon import check_epsilon
from headstart.types import Norm

if TYPE_CHECKING:  # PyTorch is imported after the checks that do not need it
    from headstart.inspection.attacks import Attack, Threat

_MINIMUM_NORM: Final = "minimum-norm"
_EPSILON: Final = 4 / 255
_STEPS: Final = 100


def chosen_method(method: str | None, norm: Norm, epsilon: float | None) -> str:
    """Return the name of the attack, by default the one that suits norm and size.

    Raises:
        UserError: The attack is for another norm.
    """
    if method is None:
        return _MINIMUM_NORM if norm is Norm.L2 and epsilon is None else "apgd"
    if method == _MINIMUM_NORM and norm is not Norm.L2:
        raise UserError(
            f"the attack {method} minimizes the l2 norm, not {norm}; choose the norm l2"
        )
    return method


def chosen_attack(method: str, **options: float | None) -> Attack:
    """Return the attack with the options that are not None.

    Raises:
        UserError: There is no such attack, or it has no such option.
    """
    from headstart.inspection.attacks import ATTACKS

    if method not in ATTACKS:
        raise UserError(f"there is no attack {method!r}; choose from {', '.join(ATTACKS)}")
    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    known = signature(ATTACKS[method]).parameters.keys()
    if unknown := sorted(given.keys() - known):
        raise UserError(f"the attack {method} has no setting {unknown[0]!r}; leave it out")
    return ATTACKS[method](**({"steps": _STEPS} if "steps" in known else {}) | given)


def chosen_threat(norm: Norm, epsilon: float | None, method: str, image: Path) -> Threat:
    """Return how far an image may change.

    Raises:
        UserError: The size is impossible, less than a level of 8 bits, or missing.
    """
    from headstart.inspection.adversarial_file import largest_epsilon
    from headstart.inspection.attacks import Threat

    most = largest_epsilon(norm, image)
    if epsilon is None and method == _MINIMUM_NORM:
        return Threat(norm, most)
    if epsilon is None and norm is Norm.L2:
        raise UserError(f"the attack {method} with the norm l2 needs an epsilon, such as 3")
    size = _EPSILON if epsilon is None else epsilon
    check_epsilon(size, norm)
    if not 0 < size <= most:
        raise UserError(
            f"epsilon is {size:g}; it must be above 0 and at most {most:g}, as pixels range "
            "from 0 to 1"
        )
    if norm is Norm.LINF and size * 255 < 0.999:
        raise UserError(
            f"epsilon is {size:g}, less than one level of an 8-bit image; give at least 1/255"
        )
    return Threat(norm, size)
