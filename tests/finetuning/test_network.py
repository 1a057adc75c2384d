import numpy as np
import pytest
import torch

from headstart.backbones.cut import PIXELS, cut
from headstart.backbones.stages import LOGITS
from headstart.finetuning.network import interpolated
from headstart.finetuning.settings import BatchNorm
from tests.finetuning.networks import SIDE, STAGES, small_network, tuned_network

pytestmark = pytest.mark.slow

HEADS = [("top",), ("stem", "top"), ("stem", "middle", "top"), (LOGITS,)]


def pixels(count: int = 6) -> torch.Tensor:
    return torch.rand(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))


def inputs(stage: str) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """What the trunk gives for `pixels()`."""
    network = small_network()
    halves = cut(network, stage, SIDE, wanted=("top",))
    if halves.trunk is None:
        return (pixels() - network.mean) / network.std, []
    *features, flat = halves.trunk(pixels())
    return flat.view(-1, *halves.shape), features


def joined(heads: tuple[str, ...]) -> np.ndarray:
    """What the head sees of `pixels()`, by way of the whole network."""
    with torch.no_grad():
        found = dict(zip((*STAGES, LOGITS), small_network()(pixels()), strict=True))
    return torch.cat([found[one] for one in heads], 1).numpy()


@pytest.mark.parametrize("heads", HEADS, ids="+".join)
@pytest.mark.parametrize("stage", [PIXELS, "stem", "middle"])
def test_it_begins_as_the_probe(stage: str, heads: tuple[str, ...]):
    network = tuned_network(stage, heads=heads).eval()
    rng = np.random.default_rng(0)  # as `tuned_network` draws the head
    width = joined(heads).shape[1]
    weight, bias = rng.normal(size=(2, width)), rng.normal(size=2)
    expected = (joined(heads) @ weight.T + bias) / 0.7
    with torch.no_grad():
        found = network(*inputs(stage)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("heads", HEADS, ids="+".join)
def test_the_linear_head_says_the_same_on_plain_features(heads: tuple[str, ...]):
    network = tuned_network("middle", heads=heads).eval()
    with torch.no_grad():
        for parameter in network.head.parameters():
            parameter.normal_(generator=torch.Generator().manual_seed(1))
        expected = network(*inputs("middle")).numpy()
    head = network.linear_head()
    assert head.coefficients.dtype == head.intercepts.dtype == np.float32
    np.testing.assert_allclose(head.logits(joined(heads)), expected, rtol=1e-4, atol=1e-4)


def test_tensors_have_the_names_of_the_whole_network():
    whole = small_network().model.state_dict()
    tensors = tuned_network("middle").tensors()
    assert tensors
    for name, array in tensors.items():
        np.testing.assert_array_equal(array, whole[name].numpy())
    assert {name.partition(".")[0] for name in tensors} == {"top"}
    assert tuned_network(PIXELS, heads=(LOGITS,)).tensors().keys() == whole.keys()


def test_in_between_lies_the_middle_and_the_ends_are_the_ends():
    start = {"w": torch.tensor([0.0, 2.0]), "steps": torch.tensor(3)}
    end = {"w": torch.tensor([1.0, 0.0]), "steps": torch.tensor(5)}
    assert interpolated(start, end, 0.0)["w"].tolist() == [0, 2]
    assert interpolated(start, end, 1.0)["w"].tolist() == [1, 0]
    assert interpolated(start, end, 0.25)["w"].tolist() == [0.25, 1.5]
    assert interpolated(start, end, 0.25)["steps"].item() == 5
    assert start["w"].tolist() == [0, 2]


@pytest.mark.parametrize("kind", [BatchNorm.FROZEN, BatchNorm.UPDATED])
def test_running_moments_move_only_if_asked_to(kind: BatchNorm):
    network = tuned_network("stem")
    network.prepare_training(kind)
    assert network.training
    before = network.tail.graph.state_dict()["top.1.running_mean"].clone()
    network(*inputs("stem"))
    after = network.tail.graph.state_dict()["top.1.running_mean"]
    assert torch.equal(before, after) == (kind is BatchNorm.FROZEN)


def test_frozen_it_computes_in_training_what_it_does_in_use():
    network = tuned_network("stem")
    network.prepare_training(BatchNorm.FROZEN)
    training = network(*inputs("stem"))
    assert torch.equal(training, network.eval()(*inputs("stem")))


def test_dropout_is_for_training_alone():
    network = tuned_network("stem", dropout=0.5)
    network.prepare_training(BatchNorm.FROZEN)
    given = inputs("stem")
    assert not torch.equal(network(*given), network(*given))
    network.eval()
    assert torch.equal(network(*given), network(*given))


def test_all_that_is_trained_gets_a_gradient():
    network = tuned_network("stem", heads=("stem", "top"))
    network.prepare_training(BatchNorm.FROZEN)
    network(*inputs("stem")).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.requires_grad
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name
