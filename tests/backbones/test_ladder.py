"""The ladder against timm: its metadata, costs and stages; weights are random or none at all."""

from dataclasses import asdict

import pytest
import timm
import torch
from timm.data import resolve_data_config
from torch.utils.flop_counter import FlopCounterMode

from headstart.backbones import ladder
from headstart.backbones import timm as backbones
from headstart.backbones.stages import TOKEN_BLOCKS
from headstart.backbones.timm_metadata import preprocessing_of
from headstart.backbones.torch_backbone import fitted, stages_of
from headstart.features.views import View
from headstart.images.preprocessing import Resize

RUNGS = ladder()


def without_weights(rung):
    """timm's own network on the meta device, and its config."""
    name = View.parse(rung.name).backbone.removeprefix("timm:")
    with torch.device("meta"):
        model = timm.create_model(name).eval().requires_grad_(False)
    return name, model, model.pretrained_cfg


def test_the_list():
    costs = [one.multiply_adds for one in RUNGS]
    assert costs == sorted(costs)
    assert len({one.name for one in RUNGS}) == len(RUNGS) >= 10
    for one in RUNGS:
        assert one.measure in ("fine-tuned", "linear", "zero-shot")
        assert one.reference.startswith("https://")
        assert 0.6 < one.figure < 0.9
    climbed = [one for one in RUNGS if one.climbed]
    assert len(climbed) >= 5
    assert {one.license for one in climbed} <= {"Apache-2.0", "MIT"}


@pytest.mark.slow
@pytest.mark.parametrize("rung", RUNGS, ids=lambda one: one.name)
def test_is_what_timm_says(rung):
    name, model, config = without_weights(rung)
    assert config["license"].lower() == rung.license.lower()
    assert config["hf_hub_id"] == f"timm/{name}"
    assert sum(one.numel() for one in model.parameters()) == rung.parameters
    view = View.parse(rung.name)
    assert rung.input_size == (view.size or config["input_size"][1])
    ours, theirs = preprocessing_of(config, rung.name), resolve_data_config({}, model=model)
    assert (3, ours.crop, ours.crop) == theirs["input_size"]
    assert ours.size == int(ours.crop / theirs["crop_pct"])
    assert (ours.mean, ours.std) == (theirs["mean"], theirs["std"])
    assert (str(ours.interpolation), ours.resize) == (theirs["interpolation"], Resize.SHORTER)
    network = fitted(backbones._staged(model, ours, rung.name).to("meta"), rung.input_size)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.model(torch.zeros(1, 3, rung.input_size, rung.input_size, device="meta"))
    assert counter.get_total_flops() / 2 == pytest.approx(rung.multiply_adds, rel=0.001)
    stages = stages_of(network, rung.input_size)
    assert 4 <= len(stages) <= TOKEN_BLOCKS + 1
    assert stages[-1].width == model.num_features or stages[-1].width == model.head_hidden_size


@pytest.mark.slow
def test_features_are_those_of_timm(with_random_weights):
    backbone, model = with_random_weights("timm:tiny_vit_5m_224.dist_in22k_ft_in1k")
    seen = {}
    for stage in backbone.stages[:-1]:
        model.get_submodule(stage.name).register_forward_hook(
            lambda _m, _a, output, stage=stage.name: seen.update({stage: output})
        )
    x = torch.rand(1, 3, backbone.preprocessing.crop, backbone.preprocessing.crop)
    mean, std = (
        torch.tensor(asdict(backbone.preprocessing)[key]).view(3, 1, 1) for key in ("mean", "std")
    )
    with torch.no_grad():
        shared = model.forward_features((x - mean) / std)
        *found, last, logits = backbone.network()(x)
        torch.testing.assert_close(last, model.forward_head(shared, pre_logits=True))
        torch.testing.assert_close(logits, model.forward_head(shared))
    for stage, features in zip(backbone.stages, found, strict=False):
        output = seen[stage.name]
        expected = output.mean(1) if output.ndim == 3 else output.mean((2, 3))
        torch.testing.assert_close(features, expected)
    assert backbone.any_size
