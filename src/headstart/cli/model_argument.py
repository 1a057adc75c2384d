"""The model, or another input, that a command takes first."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.errors import UserError

if TYPE_CHECKING:
    from headstart.models.trained_model import Model


def check_first(
    verb: str, given: Sequence[str | Path], what: str, fits: Callable[[str | Path], bool]
) -> None:
    """Refuse arguments whose first is in the place of another.

    Args:
        verb: The command.
        given: Its arguments.
        what: What comes first.
        fits: Whether an argument is that.

    Raises:
        UserError: The first one is not, but one of the others.
    """
    found = [] if fits(given[0]) else [one for one in given if fits(one)]
    if len(found) == 1:
        others = [str(one) for one in given if one != found[0]]
        command = shlex.join(["headstart", verb, str(found[0]), *others])
        raise UserError(f"{found[0]} is the {what}, which comes first; run: {command}")


def check_model_first(verb: str, given: Sequence[str | Path]) -> None:
    """Refuse arguments among which a model folder is not the first; see `check_first`."""
    from headstart.models.model_folder import MANIFEST

    check_first(verb, given, "model", lambda one: Path(one, MANIFEST).is_file())


def given_model(verb: str, model: Path, others: Sequence[str | Path]) -> Model:
    """Load the model that a command takes first.

    Args:
        verb: The command.
        model: The folder of the model.
        others: The arguments after it.

    Raises:
        SavedModelError: The folder is not a model, or is damaged.
        UserError: The model is among the other arguments.
    """
    from headstart.models.saved_model import load_model

    check_model_first(verb, [model, *others])
    return load_model(model)
