import builtins

import pytest
import torch

from headstart.errors import MissingExtraError
from headstart.inspection.attribution import ATTRIBUTION_METHODS
from headstart.inspection.attribution.baselines import blur, mean_color
from headstart.inspection.attribution.integrated_gradients import integrated_gradients, smooth
from tests.inspection.attribution.networks import bright_corner, convolutional, pictures

TARGETS = torch.tensor([1, 3])


def test_attributions_sum_up_to_the_change_of_the_logit():
    network = convolutional()
    found = integrated_gradients(network, pictures(), TARGETS, steps=128)
    ends = [network(x)[[0, 1], TARGETS] for x in (pictures(), blur(pictures()))]
    total = found.sum((1, 2, 3))
    torch.testing.assert_close(total, ends[0] - ends[1], rtol=0.02, atol=1e-4)


def test_it_is_the_path_integral():
    """Against a fine midpoint rule in plain PyTorch."""
    network, x = convolutional(smooth=True), pictures(1)
    start, target = torch.zeros_like(x), 2
    found = integrated_gradients(network, x, torch.tensor([target]), baseline=start, steps=20)
    way = (torch.arange(400) + 0.5).view(-1, 1, 1, 1) / 400
    points = (start + way * (x - start)).requires_grad_()
    (gradients,) = torch.autograd.grad(network(points)[:, target].sum(), points)
    expected = (x - start) * gradients.mean(0)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-6)


def test_of_a_linear_network_it_is_weight_times_change():
    x, start = pictures(1), mean_color(pictures(1))
    found = integrated_gradients(bright_corner, x, torch.tensor([0]), baseline=start, steps=2)
    expected = torch.zeros_like(x)
    expected[:, :, :8, :8] = 12 / (3 * 64)
    torch.testing.assert_close(found, expected * (x - start), rtol=1e-4, atol=1e-7)
    change = bright_corner(x)[0, 0] - bright_corner(start)[0, 0]
    assert (found.sum() - change).abs() < 1e-5


def test_relevance_is_blurred_and_loses_nothing_inside():
    x = torch.zeros(1, 3, 65, 65)
    found = integrated_gradients(bright_corner, x + 0.5, torch.tensor([0]), baseline=x, steps=2)
    relevance = smooth(found, 1 / 65)
    assert relevance.shape == (1, 65, 65)
    flat = found[0, :, 0, 0].sum()
    torch.testing.assert_close(relevance[0, :20, :20], flat.expand(20, 20))
    assert relevance[0, 40:, 40:].abs().max() == 0
    assert 0 < relevance[0, 5, 33] < flat


def test_without_captum_the_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    plain = builtins.__import__

    def refuse(name, *rest):
        if name.partition(".")[0] == "captum":
            raise ImportError(name)
        return plain(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    for method in ("integrated-gradients", "occlusion"):
        with pytest.raises(MissingExtraError, match=r"\.\[explain\]"):
            ATTRIBUTION_METHODS[method]()
    ATTRIBUTION_METHODS["grad-cam"]()
