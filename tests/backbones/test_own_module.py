"""Modules of the user's own, against hooks on the same modules."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from headstart.backbones import load_backbone
from headstart.backbones.own_module import module_backbone
from headstart.backbones.stated_preprocessing import preprocessing_from
from headstart.engines import build_engine, make_plan
from headstart.errors import BackboneError
from headstart.features.extractor import configuration_key
from headstart.types import EngineName, Precision
from tests.backbones.conftest import random_model, timm
from tests.backbones.onnx_file import STATED, TinyNet

HOW = preprocessing_from(STATED, where="here")


class Wrapped(nn.Module):
    """Somebody's network around another one."""

    def __init__(self, model: nn.Module, last: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.model, self.last = model, last

    def forward(self, x: Tensor) -> object:
        return self.last(self.model(x))


class Small(nn.Module):
    """Named like a ResNet."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv1, self.relu = nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU()
        self.layer1 = nn.Sequential(nn.Conv2d(8, 8, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(2))
        self.layer2 = nn.Sequential(nn.Conv2d(8, 64, 3, 2, 1), nn.ReLU())
        self.fc = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer2(self.layer1(self.relu(self.conv1(x))))
        return self.fc(x.mean((2, 3)))


def trunk() -> nn.Sequential:
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU())
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


@pytest.mark.slow
def test_a_classifier_of_torchvision_has_the_stages_that_its_source_finds():
    model = random_model("torchvision:resnet18")
    backbone = module_backbone(model, HOW)
    assert backbone.name == "module:ResNet"
    assert [(one.name, one.width) for one in backbone.stages] == [
        ("layer1", 64),
        ("layer2", 128),
        ("layer3", 256),
        ("layer4", 512),
    ]
    assert len(backbone.labels) == 1000
    assert backbone.any_size
    seen: dict[str, Tensor] = {}
    for name in ("layer1", "layer3"):
        model.get_submodule(name).register_forward_hook(
            lambda _m, _a, output, name=name: seen.update({name: output})
        )
    x = torch.rand(2, 3, 32, 32)
    mean, std = (torch.tensor(STATED[name]).view(3, 1, 1) for name in ("mean", "std"))
    with torch.no_grad():
        first, _, third, _, logits = backbone.network()(x)
        expected = model((x - mean) / std)
    torch.testing.assert_close(first, seen["layer1"].mean((2, 3)))
    torch.testing.assert_close(third, seen["layer3"].mean((2, 3)))
    torch.testing.assert_close(logits, expected)


@pytest.mark.parametrize("last", [lambda x: x, lambda x: x.softmax(1)])
def test_inside_a_wrapper(last):
    alone = [one.name for one in module_backbone(Small(), HOW).stages]
    backbone = module_backbone(Wrapped(Small(), last), HOW)
    assert [one.name for one in backbone.stages] == [f"model.{name}" for name in alone]
    assert len(backbone.labels) == 10


@pytest.mark.parametrize(
    ("last", "shape"),
    [
        (lambda x: x, (2, 16)),
        (lambda x: x[:, :, None, None].expand(-1, -1, 3, 3), (2, 16)),
        (lambda x: x[:, None].expand(-1, 7, -1), (2, 16)),
    ],
)
def test_features_instead_of_logits(last, shape):
    model = trunk()
    backbone = module_backbone(Wrapped(model, last), HOW)
    assert backbone.labels == ()
    assert [one.width for one in backbone.stages] == [8, 16]
    x = torch.rand(2, 3, 32, 32)
    network = backbone.network()
    with torch.no_grad():
        features = network(x)[1]
        torch.testing.assert_close(features, model((x - network.mean) / network.std))
    assert features.shape == shape


def test_a_transformer_without_classifier():
    small = {"img_size": 32, "depth": 6, "embed_dim": 24, "num_heads": 2}
    model = timm.create_model("vit_tiny_patch16_224", num_classes=0, **small)
    backbone = module_backbone(model, HOW)
    names = [one.name for one in backbone.stages]
    assert names == [f"model.blocks.{n}" for n in range(6)] + ["model.norm"]


def test_the_module_stays_as_it_was():
    model = TinyNet().train()
    backbone = module_backbone(model, HOW)
    assert model.training
    assert all(one.requires_grad for one in model.parameters())
    with torch.no_grad():
        model.fc.weight.zero_()
    assert np.abs(backbone.tensors()["fc.weight"]).max() > 0


def test_what_tells_networks_apart():
    class Other(TinyNet):
        def maps(self, x: Tensor) -> tuple[Tensor, Tensor]:
            shallow, deep = super().maps(x)
            return shallow.tanh(), deep.tanh()

    Other.__name__ = "TinyNet"
    plan = make_plan()
    first, again, other, trained = (
        module_backbone(one, HOW) for one in (TinyNet(), TinyNet(), Other(), TinyNet(1))
    )
    assert configuration_key(first, plan) == configuration_key(again, plan)
    assert first.weights == again.weights == other.weights != trained.weights
    # Features of the same name and weights are kept apart all the same.
    assert configuration_key(first, plan) != configuration_key(other, plan)


@pytest.mark.slow
def test_an_exported_program(tmp_path):
    model = TinyNet().eval()
    sizes = ({0: torch.export.Dim("n")},)
    file = tmp_path / "net.pt2"
    program = torch.export.export(model, (torch.zeros(2, 3, 32, 32),), dynamic_shapes=sizes)
    torch.export.save(program, file)
    backbone = module_backbone(torch.export.load(file), HOW)
    assert backbone.name == "module:ExportedProgram"
    assert [one.width for one in backbone.stages] == [8, 16]
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    plan = make_plan(EngineName.OPENVINO, Precision.FLOAT32)
    (found,) = build_engine(backbone, plan).stream([pixels])
    mean, std = (torch.tensor(STATED[name]).view(3, 1, 1) for name in ("mean", "std"))
    with torch.no_grad():
        expected = model((torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255 - mean) / std)
    np.testing.assert_allclose(found[-1], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (Wrapped(trunk(), lambda x: {"features": x}), "returns dict"),
        (Wrapped(trunk(), lambda x: x[:, 0]), "returns"),
        (nn.Linear(5, 2), "must map normalized pixels"),
        (nn.Flatten(), "no classifier"),
    ],
)
def test_modules_that_are_no_backbone(module, words):
    with pytest.raises(BackboneError, match=words):
        module_backbone(module, HOW)


def test_a_module_is_not_loaded_by_name():
    with pytest.raises(BackboneError, match=r"Classifier\.load\(FOLDER, backbone=MODULE\)"):
        load_backbone("module:ResNet")


class Scaled(TinyNet):
    def __init__(self, gain: object) -> None:
        super().__init__()
        self.gain = gain

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x * self.gain)


@pytest.mark.parametrize("kind", [float, torch.tensor], ids=["plain", "array"])
def test_what_is_no_parameter_is_part_of_the_key(kind):
    first, again, other = (module_backbone(Scaled(kind(gain)), HOW) for gain in (1.0, 1.0, 5.0))
    assert first.weights == other.weights
    assert first.structure == again.structure
    assert first.structure != other.structure


def test_settings_that_do_not_show_in_one_pass_are_part_of_the_key():
    first, other = TinyNet(), TinyNet()
    vars(first)["mode"], vars(other)["mode"] = ("a", 1), ("a", 2)
    first.training, other.training = True, False
    keys = [module_backbone(one, HOW).structure for one in (first, other, other.train())]
    assert keys[0] != keys[1]
    assert keys[1] == keys[2]
