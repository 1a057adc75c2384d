"""A new attack and a new attribution method need a class and one line of registration."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

from headstart.inspection.attacks import ATTACKS, Attack, AttackResult, AttackState
from headstart.inspection.attribution import (
    ATTRIBUTION_METHODS,
    AttributionMethod,
    NetworkFunctions,
    Relevance,
)
from tests.cli.conftest import Cli, cli  # noqa: F401 - a fixture

pytestmark = pytest.mark.slow

LITE = "efficientnet-lite0"


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomSearch(Attack):
    """Random changes within the threat."""

    restarts: int = 10

    def search(self, state: AttackState) -> AttackResult:
        for x in state.starts(1 + self.restarts):
            state.evaluate(x)
            state.drop_finished()
        return state.result()


class Saliency(AttributionMethod):
    """Absolute gradients (Simonyan et al. 2014)."""

    def attribute(self, network: NetworkFunctions, pixels: Tensor, targets: Tensor) -> Relevance:
        x = pixels.detach().requires_grad_()
        score = network.logits(x).gather(1, targets[:, None]).sum()
        (gradients,) = torch.autograd.grad(score, x)
        return Relevance(gradients.abs().amax(1))


def test_an_attack_from_outside(
    cli: Cli,  # noqa: F811
    cat: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    arguments = ["attack", cat, "--out", tmp_path / "a.png", "--method", "random-search"]
    unknown = cli(*arguments)
    assert unknown.code == 2
    assert "'random-search'" in unknown.err
    assert all(name in unknown.err for name in ATTACKS)
    with monkeypatch.context() as patch:
        patch.setitem(ATTACKS, "random-search", RandomSearch)
        done = cli(*arguments, "--restarts", 2, "--epsilon", "8/255", "--json")
        assert done.code == (0 if done.document["success"] else 1)
        assert done.document["method"] == "random-search"
        assert 1 <= done.document["steps"] <= 3 * 3  # restarts for each confidence
        assert (tmp_path / "a.png").is_file()
        assert "random-search has no setting 'momentum'" in cli(*arguments, "--momentum", 0.5).err
    assert cli(*arguments).code == 2


def test_an_attribution_method_from_outside(
    cli: Cli,  # noqa: F811
    cat: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    arguments = ["explain", LITE, cat, "--out", tmp_path / "out", "--method", "saliency"]
    unknown = cli(*arguments)
    assert unknown.code == 2
    assert "'saliency'" in unknown.err
    assert all(name in unknown.err for name in ATTRIBUTION_METHODS)
    with monkeypatch.context() as patch:
        patch.setitem(ATTRIBUTION_METHODS, "saliency", Saliency)
        done = cli(*arguments, "--json")
        assert done.code == 0
        (one,) = done.document["images"][0]["maps"]
        assert (one["method"], one["stage"]) == ("saliency", None)
        assert 0 <= one["deletion"] <= 1
        assert Path(one["overlay"]).is_file()
        assert "add the method grad-cam" in cli(*arguments, "--stage", "head").err
    assert cli(*arguments).code == 2
