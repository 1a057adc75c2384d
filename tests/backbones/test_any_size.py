"""Which networks of PyTorch take images of other sizes, and what they then compute."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from headstart.backbones.own_module import module_backbone
from headstart.backbones.stated_preprocessing import preprocessing_from
from tests.backbones.conftest import timm
from tests.backbones.onnx_file import STATED, TinyNet

pytestmark = pytest.mark.slow

HOW = preprocessing_from(STATED, where="here")
OTHER = replace(HOW, crop=64)


def transformer(side: int) -> nn.Module:
    small = {"depth": 2, "embed_dim": 24, "num_heads": 2, "num_classes": 7}
    torch.manual_seed(0)
    return timm.create_model("vit_tiny_patch16_224", img_size=side, **small).eval()


class FixedSize(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.fc = nn.Conv2d(3, 4, 3, 4, 1), nn.Linear(4 * 8 * 8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.first(x).relu().flatten(1))


@pytest.mark.parametrize(
    ("module", "expected"),
    [(TinyNet(), True), (transformer(32), True), (FixedSize(), False)],
    ids=["convolutional", "transformer", "fixed"],
)
def test_shapes_tell(module, expected):
    assert module_backbone(module, HOW).any_size is expected


def test_positions_are_interpolated_as_by_timm():
    own = transformer(32)
    backbone = replace(module_backbone(own, HOW), preprocessing=OTHER)
    fresh = transformer(64)
    filtered = timm.models.vision_transformer.checkpoint_filter_fn(own.state_dict(), fresh)
    fresh.load_state_dict(filtered)
    x = torch.rand(2, 3, 64, 64)
    network = backbone.network()
    with torch.no_grad():
        torch.testing.assert_close(network(x)[-1], fresh((x - network.mean) / network.std))
    # The weights and their digest stay those of the network's own size.
    assert backbone.tensors()["pos_embed"].shape == own.pos_embed.shape
