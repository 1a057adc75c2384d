import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import logit, softmax

from headstart.inspection.synthesis.objective import (
    activation,
    log_likelihood,
    log_odds,
    probability,
    total_variation,
)
from tests.properties import examples

LOGITS = arrays(np.float64, (3, 4), elements=st.floats(-8, 8))
PIXELS = torch.zeros(3, 3, 2, 2)


@examples(100)
@given(logits=LOGITS, indices=st.lists(st.integers(0, 3), min_size=1, max_size=3, unique=True))
def test_classes_against_scipy(logits: np.ndarray, indices: list[int]):
    def network(pixels: torch.Tensor) -> torch.Tensor:
        assert pixels is PIXELS
        return torch.from_numpy(logits)

    def value(make) -> np.ndarray:
        return make(network, indices)(PIXELS).numpy()

    p = softmax(logits, axis=1)[:, indices].sum(axis=1)
    np.testing.assert_allclose(value(probability), p)
    np.testing.assert_allclose(value(log_likelihood), np.log(p), atol=1e-12)
    np.testing.assert_allclose(value(log_odds), logit(p), atol=1e-6)


def test_log_odds_go_on_where_the_likelihood_stops():
    x = torch.tensor([[40.0, 0.0, 0.0]], requires_grad=True)
    (flat,) = torch.autograd.grad(log_likelihood(lambda _: x, [0])(PIXELS).sum(), x)
    (steep,) = torch.autograd.grad(log_odds(lambda _: x, [0])(PIXELS).sum(), x)
    assert flat[0, 0] == 0
    assert steep[0, 0] == 1


def test_a_channel_is_its_mean_and_a_unit_is_itself():
    maps = torch.arange(2 * 3 * 4 * 5).view(2, 3, 4, 5).float()
    found = activation(lambda _: maps, 1)(PIXELS)
    np.testing.assert_allclose(found.numpy(), maps.numpy()[:, 1].reshape(2, -1).mean(1))
    unit = activation(lambda _: maps, 2, (3, 1))(PIXELS)
    assert unit.tolist() == [maps[0, 2, 3, 1].item(), maps[1, 2, 3, 1].item()]


@examples(100)
@given(pixels=arrays(np.float32, (2, 3, 4, 5), elements=st.floats(0, 1, width=32)))
def test_total_variation_against_numpy(pixels: np.ndarray):
    expected = [
        np.abs(np.diff(one, axis=1)).mean() + np.abs(np.diff(one, axis=2)).mean() for one in pixels
    ]
    found = total_variation(torch.from_numpy(pixels)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("side", [8, 64])
def test_total_variation_of_stripes_does_not_depend_on_the_size(side: int):
    stripes = (torch.arange(side) % 2).float().expand(1, 3, side, side)
    assert total_variation(stripes).item() == 1
