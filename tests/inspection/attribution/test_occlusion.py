import pytest
import torch

from headstart.inspection.attribution.baselines import mean_color
from headstart.inspection.attribution.occlusion import occlusion
from tests.inspection.attribution.networks import bright_corner, convolutional, pictures

TARGETS = torch.tensor([1, 3])


@pytest.mark.slow
@pytest.mark.parametrize(("window", "stride"), [(4, 2), (5, 3), (16, 4), (1, 1)])
def test_it_is_the_mean_loss_over_the_windows_that_cover_a_pixel(window: int, stride: int):
    network, x = convolutional(), pictures()
    found = occlusion(network, x, TARGETS, window=window, stride=stride)
    loss, covered = torch.zeros(2, 16, 16), torch.zeros(16, 16)
    whole = network(x)[[0, 1], TARGETS]
    # As often as it takes to reach the border; what lies behind it is cut off.
    starts = [0]
    while starts[-1] + window < 16:
        starts.append(starts[-1] + stride)
    for top in starts:
        for left in starts:
            place = (slice(top, top + window), slice(left, left + window))
            hidden = x.clone()
            hidden[:, :, *place] = mean_color(x)[:, :, *place]
            change = whole - network(hidden)[[0, 1], TARGETS]
            loss[:, *place] += change[:, None, None]
            covered[place] += 1
    torch.testing.assert_close(found, loss / covered, rtol=1e-4, atol=1e-6)


def test_only_what_is_read_is_relevant():
    x = torch.zeros(1, 3, 28, 28)
    x[:, :, :14, :14] = 1  # bright where the network looks
    found = occlusion(bright_corner, x, torch.tensor([0]))[0]
    assert (found[:12, :12] > 0).all()
    assert found[18:, 18:].abs().max() == 0
