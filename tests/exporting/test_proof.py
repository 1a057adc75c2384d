"""How the differences of a proof are printed."""

import pytest

from headstart.exporting.proof import rounded_up


@pytest.mark.parametrize(
    ("difference", "said"), [(0.0, "0"), (1.234e-7, "1.24e-07"), (0.01234, "0.0124"), (0.5, "0.5")]
)
def test_a_printed_difference_is_never_below_the_real_one(difference: float, said: str):
    assert rounded_up(difference) == said
    assert float(said) >= difference
