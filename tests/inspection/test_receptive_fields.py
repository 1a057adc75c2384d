"""Fields are those of the rule: a filter adds what its neighbors see, a stride widens the steps."""

import pytest
import torch
from torch import nn

from headstart.backbones.staged import StagedNetwork
from headstart.images.preprocessing import Interpolation, Preprocessing
from headstart.inspection.differentiable_model import DifferentiableView
from headstart.inspection.receptive_fields import ReceptiveField, receptive_fields

SIDE = 48
STAGES = ("1", "3", "5", "7")


@pytest.fixture(scope="module")
def view() -> DifferentiableView:
    torch.manual_seed(0)
    layers = [
        *(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU6()),
        *(nn.Conv2d(8, 8, 5, 1, 2, groups=8), nn.ReLU()),
        *(nn.Conv2d(8, 8, 1), nn.MaxPool2d(2)),
        *(nn.Conv2d(8, 8, (3, 5), 1, (1, 2)), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2)),
    ]
    preprocessing = Preprocessing(
        size=SIDE, crop=SIDE, interpolation=Interpolation.BILINEAR, mean=(0, 0, 0), std=(1, 1, 1)
    )
    return DifferentiableView(
        name="small",
        backbone="small",
        preprocessing=preprocessing,
        network=StagedNetwork(nn.Sequential(*layers), preprocessing, (*STAGES, "9"), head="10"),
        head_stages=("9",),
    )


def test_the_sizes_are_those_of_the_rule(view: DifferentiableView):
    fields = receptive_fields(view, STAGES)
    # 3; 3 + 4 · 2; a maximum that adds one neighbor, of which it chooses one: at most 11 + 2.
    assert [(one.stage, one.width, one.height) for one in fields[:2]] == [
        ("1", 3, 3),
        ("3", 11, 11),
    ]
    assert 11 <= fields[2].width <= 13
    assert fields[2].width < fields[3].width <= 13 + 4 * 4
    assert fields[2].height < fields[3].height <= 13 + 2 * 4
    first = fields[0]  # the middle of 24 values is value 12, at pixels 23 to 25
    assert first == ReceptiveField(stage="1", left=23, top=23, width=3, height=3)


def test_a_field_ends_at_the_border_and_an_average_sees_all(view: DifferentiableView):
    (last,) = receptive_fields(view, ["9"])
    assert (last.left, last.top, last.width, last.height) == (0, 0, SIDE, SIDE)


def test_the_network_stays_as_it_is(view: DifferentiableView):
    receptive_fields(view, ["1"])
    assert {one.dtype for one in view.network.state_dict().values()} == {torch.float32}
