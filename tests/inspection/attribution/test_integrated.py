import builtins
import sys

import pytest
import torch

from headstart.errors import MissingExtraError
from headstart.inspection.attribution.baselines import blurred, mean_color
from headstart.inspection.attribution.integrated import integrated_gradients
from tests.inspection.attribution.networks import bright_corner, convolutional, pictures

TARGETS = torch.tensor([1, 3])


def test_attributions_sum_up_to_the_change_of_the_logit():
    network = convolutional()
    found = integrated_gradients(network, pictures(), TARGETS, steps=128)
    ends = [network(x)[[0, 1], TARGETS] for x in (pictures(), blurred(pictures()))]
    torch.testing.assert_close(found.change, ends[0] - ends[1])
    total = found.attributions.sum((1, 2, 3))
    torch.testing.assert_close(total, found.change, rtol=0.02, atol=1e-4)
    torch.testing.assert_close(found.gap, total - found.change)


def test_it_is_the_path_integral():
    """Against a fine midpoint rule in plain PyTorch."""
    network, x = convolutional(smooth=True), pictures(1)
    start, target = torch.zeros_like(x), 2
    found = integrated_gradients(network, x, torch.tensor([target]), baseline=start, steps=20)
    way = (torch.arange(400) + 0.5).view(-1, 1, 1, 1) / 400
    points = (start + way * (x - start)).requires_grad_()
    (gradients,) = torch.autograd.grad(network(points)[:, target].sum(), points)
    expected = (x - start) * gradients.mean(0)
    torch.testing.assert_close(found.attributions, expected, rtol=1e-3, atol=1e-6)


def test_of_a_linear_network_it_is_weight_times_change():
    x, start = pictures(1), mean_color(pictures(1))
    found = integrated_gradients(bright_corner, x, torch.tensor([0]), baseline=start, steps=2)
    expected = torch.zeros_like(x)
    expected[:, :, :8, :8] = 12 / (3 * 64)
    torch.testing.assert_close(found.attributions, expected * (x - start), rtol=1e-4, atol=1e-7)
    assert found.gap.abs().max() < 1e-5


def test_relevance_is_blurred_and_loses_nothing_inside():
    x = torch.zeros(1, 3, 65, 65)
    found = integrated_gradients(bright_corner, x + 0.5, torch.tensor([0]), baseline=x, steps=2)
    relevance = found.relevance(1 / 65)
    assert relevance.shape == (1, 65, 65)
    flat = found.attributions[0, :, 0, 0].sum()
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
    for module in ("integrated", "occlusion"):
        monkeypatch.delitem(
            sys.modules, f"headstart.inspection.attribution.{module}", raising=False
        )
        with pytest.raises(MissingExtraError, match=r"headstart\[explain\]"):
            plain(f"headstart.inspection.attribution.{module}")
