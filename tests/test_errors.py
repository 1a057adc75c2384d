"""What errors say besides their message."""

import copy
import pickle

import pytest

from headstart.errors import MissingExtraError, UnreadableImageError, UserError


@pytest.mark.parametrize(
    ("message", "notes"),
    [
        ("use --precision f32; or add --allow-code", 1),
        ("--views x and --views y", 1),
        ("no option --, none in a-file--name", 0),
    ],
)
def test_a_traceback_says_how_options_are_given_in_python(message, notes):
    error = UserError(message)
    assert str(error) == message
    for one in (error, copy.copy(error), pickle.loads(pickle.dumps(error))):
        found = getattr(one, "__notes__", [])
        assert len(found) == notes
        assert all("allow_code=True for --allow-code" in note for note in found)


def test_a_notebook_shows_the_message_and_the_notes():
    message, note, _ = UserError("use --views")._render_traceback_()
    assert message == "UserError: use --views"
    assert note.startswith("In Python")


def test_errors_without_a_message_or_with_arguments_of_their_own():
    assert str(UnreadableImageError()) == ""
    assert MissingExtraError("--engine pytorch", extra="torch").__notes__
