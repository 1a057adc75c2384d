"""What errors say besides their message."""

import copy
import pickle

import pytest

from headstart.errors import MissingExtraError, UnreadableImageError, UserError


@pytest.mark.parametrize(
    ("message", "names"),
    [
        ("use --precision f32; or add --allow-code", "precision, allow_code"),
        ("--views x and --views y", "views"),
        ("--holdout and --method", "hold_out, methods"),
        ("run 'headstart fit --holdout 0.2' with another --seed", "seed"),
        ("give --tolerance 0.1 or --half", 'tolerance, storage="float16"'),
        ("reinstall it: pip install --no-deps x", None),
        ("no option --, none in a-file--name", None),
    ],
)
def test_a_traceback_names_the_arguments_of_options(message, names):
    error = UserError(message)
    assert str(error) == message
    notes = [f"In Python, options are keyword arguments: {names}"] if names else []
    for one in (error, copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert getattr(one, "__notes__", []) == notes


def test_errors_without_a_message_or_with_arguments_of_their_own():
    assert str(UnreadableImageError()) == ""
    assert MissingExtraError("--engine pytorch", extra="torch").__notes__
