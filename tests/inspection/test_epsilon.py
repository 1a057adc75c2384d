"""Sizes of changes, as attack and robustness read and write them."""

import pytest

from headstart.errors import UserError
from headstart.inspection.epsilon import epsilon_text, parse_epsilon
from headstart.types import Norm


@pytest.mark.parametrize(
    ("text", "value"),
    [("4/255", 4 / 255), (" 0.5/255", 0.5 / 255), ("0.016", 0.016), ("0", 0.0), ("1/1", 1.0)],
)
def test_fractions_and_decimals_are_sizes(text: str, value: float):
    assert parse_epsilon(text, Norm.LINF) == value


@pytest.mark.parametrize("text", ["", "four", "4/0", "nan", "1e400", "4/255/2", "4%"])
def test_other_texts_are_refused_by_the_option(text: str):
    with pytest.raises(UserError, match=r"--epsilon .* is not a number; write 4/255 or 0\.016"):
        parse_epsilon(text, Norm.LINF, option="--epsilon")


def test_levels_are_no_sizes_but_l2_may_exceed_one():
    with pytest.raises(UserError, match="for 4 of 255 levels write 4/255"):
        parse_epsilon("4", Norm.LINF)
    assert parse_epsilon("4", Norm.L2) == 4
    with pytest.raises(UserError, match="0 or more"):
        parse_epsilon("-1", Norm.L2)


def test_what_is_written_is_read_again():
    for value in (0.0, 0.25 / 255, 4 / 255, 1.0):
        assert parse_epsilon(epsilon_text(value, Norm.LINF), Norm.LINF) == pytest.approx(value)
    assert epsilon_text(0.5, Norm.L2) == "0.5"
