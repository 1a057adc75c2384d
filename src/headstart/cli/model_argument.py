"""The model that a command was given."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.errors import SavedModelError, UserError

if TYPE_CHECKING:
    from headstart.models.trained_model import Model


def given_model(verb: str, model: Path, images: Sequence[str | Path]) -> Model:
    """Load a model; one that was given in the place of the images is recognized.

    Args:
        verb: The command, whose first argument is the model.
        model: The folder of the model.
        images: The arguments after it.

    Raises:
        SavedModelError: The folder is not a model, or is damaged.
        UserError: The model is among the images.
    """
    from headstart.models.model_folder import MANIFEST
    from headstart.models.saved_model import load_model

    try:
        return load_model(model)
    except SavedModelError:
        found = [one for one in images if Path(one, MANIFEST).is_file()]
        if len(found) != 1 or Path(model, MANIFEST).exists():
            raise
    others = [str(one) for one in images if one != found[0]]
    command = shlex.join(["headstart", verb, str(found[0]), str(model), *others])
    raise UserError(f"{found[0]} is the model, which comes first; run: {command}") from None
