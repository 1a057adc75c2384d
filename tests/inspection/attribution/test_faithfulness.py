import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from headstart.inspection.attribution.baselines import blur, mean_color
from headstart.inspection.attribution.faithfulness import (
    Faithfulness,
    area,
    deletion_curve,
    faithfulness,
    insertion_curve,
)
from tests.inspection.attribution.networks import bright_corner, pictures
from tests.properties import examples

SIDE = 32


def corner() -> tuple[torch.Tensor, torch.Tensor]:
    """A picture that is bright in its upper left quarter, with texture, and the true map."""
    x = 0.3 * pictures(1, SIDE)[0]
    x[:, :16, :16] += 0.7
    truth = torch.zeros(SIDE, SIDE)
    truth[:16, :16] = 1
    return x, truth


def test_the_true_map_beats_the_same_map_elsewhere():
    x, truth = corner()
    found = faithfulness(bright_corner, x, truth, 0)
    assert found.deletion < found.random_deletion - 0.1
    assert found.trustworthy
    wrong = faithfulness(bright_corner, x, -truth, 0)
    assert wrong.deletion > wrong.random_deletion
    assert not wrong.trustworthy


def test_the_curves_are_those_of_a_direct_loop():
    x, _ = corner()
    heat = torch.rand(SIDE, SIDE, generator=torch.Generator().manual_seed(2))
    order = np.argsort(-heat.numpy().ravel())
    gray, soft = mean_color(x[None])[0], blur(x[None])[0]
    deletion, insertion = [], []
    for step in range(9):
        first = order[: round(step * SIDE * SIDE / 8)]
        without, given = x.clone().flatten(1), soft.clone().flatten(1)
        without[:, first] = gray.flatten(1)[:, first]
        given[:, first] = x.flatten(1)[:, first]
        for pixels, curve in ((without, deletion), (given, insertion)):
            logits = bright_corner(pixels.view(1, 3, SIDE, SIDE))
            curve.append(logits.double().softmax(1)[0, 0].item())
    np.testing.assert_allclose(deletion_curve(bright_corner, x, heat, 0, steps=8), deletion, 1e-5)
    np.testing.assert_allclose(insertion_curve(bright_corner, x, heat, 0, steps=8), insertion, 1e-5)
    found = faithfulness(bright_corner, x, heat, 0, steps=8)
    assert found.deletion == pytest.approx(np.mean((deletion[1:], deletion[:-1])))


def test_only_the_order_of_the_values_counts():
    x, _ = corner()
    heat = torch.rand(SIDE, SIDE, generator=torch.Generator().manual_seed(2)) - 0.5
    assert faithfulness(bright_corner, x, heat, 0) == faithfulness(bright_corner, x, 9 * heat, 0)


def test_chance_is_drawn_from_the_seed():
    x, truth = corner()
    first, again, other = (faithfulness(bright_corner, x, truth, 0, seed=s) for s in (1, 1, 2))
    assert first == again
    assert first.random_deletion != other.random_deletion
    assert first.deletion == other.deletion


def test_a_flat_map_is_not_trusted():
    x, _ = corner()
    found = faithfulness(bright_corner, x, torch.zeros(SIDE, SIDE), 0)
    assert found.deletion == pytest.approx(found.random_deletion)
    assert not found.trustworthy


@pytest.mark.parametrize(
    ("scores", "verdict"),
    [
        ((0.1, 0.9, 0.5, 0.5), True),
        ((0.6, 0.9, 0.5, 0.5), False),
        ((0.1, 0.4, 0.5, 0.5), False),
        ((0.136, 0.9, 0.144, 0.5), False),
        ((0.1, 0.505, 0.5, 0.5), False),
        ((0.05, 0.19, 0.11, 0.11), True),  # of an image whose probability is low
        ((0.05, 0.12, 0.11, 0.115), False),
    ],
)
def test_both_scores_must_be_better_than_by_chance(scores, verdict):
    names = ("deletion", "insertion", "random_deletion", "random_insertion")
    assert Faithfulness(**dict(zip(names, scores, strict=True))).trustworthy is verdict


@examples(100)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=9))
def test_the_area_lies_between_the_least_and_the_greatest_value(curve):
    values = np.array(curve)
    assert values.min() - 1e-9 <= area(values) <= values.max() + 1e-9


def test_a_blur_keeps_what_is_flat_and_spreads_what_is_not():
    flat = torch.full((1, 3, 20, 30), 0.25)
    torch.testing.assert_close(blur(flat), flat)
    point = torch.zeros(1, 1, 41, 41)
    point[0, 0, 20, 20] = 1
    found = blur(point, 3 / 41)[0, 0]
    scipy = pytest.importorskip("scipy.ndimage")
    expected = scipy.gaussian_filter(point[0, 0].numpy(), 3, mode="nearest", truncate=3)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)
