"""Each attack against what its paper, or a closed form, says."""

import pytest
import torch

from headstart.inspection.attacks import APGD, FGSM, PGD, AttackGoal, MinimumNorm, Norm, Threat
from headstart.inspection.attacks.apgd import checkpoints
from headstart.inspection.attacks.threat import l2
from tests.inspection.attacks.networks import convolutional, linear, pictures

pytestmark = pytest.mark.slow

FAR = 1e9


def two_classes(seed: int = 0):
    """A linear network of two classes: gain = w x."""
    w = torch.randn(3 * 6 * 6, generator=torch.Generator().manual_seed(seed))
    return w, lambda x: torch.stack([torch.zeros(len(x)), x.flatten(1) @ w], dim=1)


def test_fgsm_is_one_signed_step():
    w, logits = two_classes()
    x = pictures(2, 6) * 0.8 + 0.1
    found = FGSM().run(
        logits, x, AttackGoal.into([1], classes=2, pictures=2), Threat(Norm.LINF, 0.05, None),
        confidence=FAR,
    )  # fmt: skip
    assert torch.allclose(found.pixels, x + 0.05 * w.sign().view(1, 3, 6, 6))


@pytest.mark.parametrize("attack", [PGD(steps=20), APGD(steps=20)])
@pytest.mark.parametrize("norm", list(Norm))
def test_the_best_change_of_a_linear_network_is_found(attack, norm: Norm):
    w, logits = two_classes()
    x = torch.full((1, 3, 6, 6), 0.5)
    found = attack.run(
        logits, x, AttackGoal.into([1], classes=2), Threat(norm, 0.1, None), confidence=FAR
    )
    best = w.abs().sum() if norm is Norm.LINF else w.norm()
    expected = x.flatten(1) @ w + 0.1 * best
    assert torch.allclose(found.margins, expected, rtol=1e-3)


def test_the_smallest_change_of_a_linear_network_is_the_distance_to_the_plane():
    logits = linear(2)
    x = torch.full((1, 3, 6, 6), 0.5)
    out = logits(x)
    label = out.argmax(1)
    weights = torch.autograd.functional.jacobian(logits, x)[0].flatten(1)
    distance = (out.max() - out.min()) / (weights[0] - weights[1]).norm()
    found = MinimumNorm(steps=300).run(
        logits, x, AttackGoal.away(label, classes=2), Threat(Norm.L2, 5.0, None)
    )
    assert found.margins > 0
    assert distance <= l2(found.pixels - x) <= 1.1 * distance


def test_minimum_norm_stays_below_what_pgd_needs():
    logits, x = convolutional(), pictures()
    goal = AttackGoal.away(logits(x).argmax(1), classes=5)
    small = MinimumNorm(steps=100).run(logits, x, goal, Threat(Norm.L2, 10.0, None))
    assert (small.margins > 0).all()
    lengths = l2(small.pixels - x)
    within = Threat(Norm.L2, float(lengths.min()) * 0.7, None)
    assert (PGD(steps=100).run(logits, x, goal, within).margins < 0).all()


def test_out_of_reach_the_best_effort_is_given():
    logits, x = convolutional(), pictures()
    goal = AttackGoal.away(logits(x).argmax(1), classes=5)
    found = MinimumNorm(steps=30).run(logits, x, goal, Threat(Norm.L2, 1e-3, None))
    assert (found.margins < 0).all()
    assert (found.margins > goal.margin(logits(x))).all()


def test_checkpoints_of_the_paper():
    """Section 3.1: p = 0, 0.22, 0.41, 0.57, 0.70, 0.80, 0.87, 0.93, 0.99."""
    assert sorted(checkpoints(100)) == [22, 41, 57, 70, 80, 87, 93, 99]


@pytest.mark.parametrize("norm", list(Norm))
def test_apgd_climbs_as_high_as_many_fixed_steps(norm: Norm):
    logits, x = convolutional(), pictures(6)
    goal = AttackGoal.away(logits(x).argmax(1), classes=5)
    threat = Threat(norm, 0.05 if norm is Norm.LINF else 0.5, None)
    fixed = [
        PGD(steps=50, momentum=0, step=step).run(logits, x, goal, threat, confidence=FAR).margins
        for step in (0.05, 0.2, 1.0)
    ]
    found = APGD(steps=50).run(logits, x, goal, threat, confidence=FAR).margins
    assert (found >= torch.stack(fixed).amax(0) - 0.05 * torch.stack(fixed).amax(0).abs()).all()


def test_restarts_help_where_the_first_start_is_flat():
    """A network that is constant around the picture: only another start can leave."""

    def logits(x: torch.Tensor) -> torch.Tensor:
        change = (x - 0.5).mean((1, 2, 3)).abs() * 100
        out = torch.relu(change - 0.05) - 0.01
        return torch.stack([torch.zeros(len(x)), out], dim=1)

    x = torch.full((1, 3, 6, 6), 0.5)
    goal, threat = AttackGoal.into([1], classes=2), Threat(Norm.LINF, 0.2, None)
    for attack in (PGD, APGD):
        assert attack(steps=10).run(logits, x, goal, threat).margins < 0
        assert attack(steps=10, restarts=20).run(logits, x, goal, threat).margins > 0
